//! Guest kernels: which one a pod gets, and what may be done with them while pods pin them.

use std::sync::Arc;

use xenpod_api::ids::kernel_path;
use xenpod_api::manifest::{self, KERNEL, KERNEL_ARGS};
use xenpod_api::spec::PodSpec;

use super::failure::Failure;
use super::jobs::{Job, JobKind};
use super::world::World;
use super::{Change, Engine};
use crate::journal::Record;
use crate::kernels::{Import, KernelInfo, KernelStoreError, Kernels, first_refused};

/// Runs what blocks off the runtime's thread.
async fn blocking<T: Send + 'static>(kernels: &Arc<Kernels>, work: impl FnOnce(&Kernels) -> T + Send + 'static) -> T {
    let kernels = kernels.clone();
    crate::blocking::blocking(move || work(&kernels)).await
}

/// A digest that a pod pins. What daemons before the first with a store of kernels noted is a mere note of what was built with.
fn pins(record: &Record) -> bool {
    record.kernel_digest.starts_with("sha256:")
}

/// The kernel that a new pod is to have: the one its manifest names, else the default. Refused, as the rest of the manifest is, when it is
/// not here, or when a parameter is not allowed.
///
/// # Errors
/// [`Failure::Manifest`]; there is no default.
pub(super) fn wanted(world: &World, spec: &PodSpec, text: &str) -> Result<Arc<KernelInfo>, Failure> {
    let at = |annotation: &str| format!("metadata.annotations.{annotation}");
    if let Some(parameter) = first_refused(&spec.kernel_args, &world.settings.kernel_args_allowed) {
        let allowed = match world.settings.kernel_args_allowed.as_slice() {
            [] => "none is".to_string(),
            names => format!("allowed are {}", names.join(", ")),
        };
        let why =
            format!("{parameter:?} is not allowed on this host; {allowed} (kernel_args_allowed in its configuration)");
        return Err(manifest::refuse(text, at(KERNEL_ARGS), why).into());
    }
    match &spec.kernel {
        None => Ok(world.kernels.default()?),
        Some(name) => world.kernels.find(name).ok_or_else(|| {
            let error = KernelStoreError::NotFound { name: name.clone() };
            manifest::refuse(text, at(KERNEL), error.to_string()).into()
        }),
    }
}

/// Pins the default in the record of a pod that an older daemon made.
///
/// # Errors
/// There is no default; the kernel that the pod pins is not here.
pub(super) fn settle(world: &World, record: &mut Record) -> Result<(), Failure> {
    if !pins(record) {
        let kernel = world.kernels.default()?;
        record.kernel_digest.clone_from(&kernel.digest);
        record.kernel_name.clone_from(&kernel.name);
    } else if world.kernels.find(&record.kernel_digest).is_none() {
        let (pod, name) = (record.spec.name.clone(), record.kernel_name.clone());
        return Err(Failure::KernelGone { pod, name, digest: record.kernel_digest.clone() });
    }
    // That it can be read is seen here, and said.
    world.kernels.image(&record.kernel_digest)?;
    Ok(())
}

impl Engine {
    /// Looks for the package's kernel again if there is no default. Nothing waits when there is one.
    pub(super) async fn kernels_ready(&self) {
        if !self.world.kernels.is_ready() {
            blocking(&self.world.kernels, Kernels::look).await;
        }
    }

    /// A kernel by its name or digest.
    ///
    /// # Errors
    /// [`KernelStoreError::NotFound`].
    pub fn kernel(&self, name_or_digest: &str) -> Result<Arc<KernelInfo>, Failure> {
        let found = self.world.kernels.find(name_or_digest);
        Ok(found.ok_or_else(|| KernelStoreError::NotFound { name: name_or_digest.into() })?)
    }

    /// Names of the pods that pin a kernel, of those users who may be told of.
    #[must_use]
    pub fn users_of_kernel(&self, digest: &str, of: impl Fn(u32) -> bool) -> Vec<String> {
        let pods = self.list();
        let pin = pods.iter().filter(|p| of(p.owner_uid) && p.status().record.kernel_digest == digest);
        let mut users: Vec<String> = pin.map(|p| p.name.to_string()).collect();
        users.sort();
        users
    }

    /// Begins to take a kernel in. `default`: it is to be the default then.
    ///
    /// # Errors
    /// [`Failure::Limit`]; it cannot be called that.
    pub fn import_kernel(self: &Arc<Self>, import: Import, default: bool) -> Result<Job, Failure> {
        Import::check_name(&import.name)?;
        let job = self.jobs.begin(JobKind::ImportKernel, import.by_uid, Vec::new())?;
        let (this, work) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let result = this.take_kernel(&work, import, default).await;
            work.end(&result);
        });
        Ok(job)
    }

    async fn take_kernel(&self, job: &Job, import: Import, default: bool) -> Result<(), Failure> {
        let (progress, cancel) = (job.progress(), job.canceller().clone());
        let taken = blocking(&self.world.kernels, move |kernels| {
            kernels.import(import, &|done, size| progress.set("kernel", done, size), &|| cancel.is_cancelled())
        });
        let kernel = taken.await.map_err(|error| match error {
            KernelStoreError::Cancelled { name } => Failure::Cancelled(format!("the import of kernel {name}")),
            error => error.into(),
        })?;
        job.add_object(kernel_path(&kernel.digest));
        let _ = self.changes.send(Change::KernelNew(kernel.digest.clone()));
        tracing::info!(digest = kernel.digest, "kernel {} ({}) is here", kernel.name, kernel.version);
        if default { self.set_default_kernel(&kernel.digest).await } else { Ok(()) }
    }

    /// Makes a kernel the default of new pods. Those that are here keep theirs.
    ///
    /// # Errors
    /// It is not here; the disk.
    pub async fn set_default_kernel(&self, digest: &str) -> Result<(), Failure> {
        let new = digest.to_string();
        let before = blocking(&self.world.kernels, move |kernels| kernels.set_default(&new)).await?;
        if before.as_deref() != Some(digest) {
            for changed in before.into_iter().chain([digest.to_string()]) {
                let _ = self.changes.send(Change::Kernel(changed));
            }
            if let Ok(kernel) = self.kernel(digest) {
                tracing::info!(digest, "kernel {} is the default of new pods", kernel.name);
            }
        }
        self.prune_kernels().await;
        Ok(())
    }

    /// Removes a kernel that no pod pins.
    ///
    /// # Errors
    /// Pods pin it, it is the default or the package's own; the disk.
    pub async fn remove_kernel(&self, digest: &str) -> Result<(), Failure> {
        let gone = self.world.kernels.withdraw(digest, self.users_of_kernel(digest, |_| true))?;
        blocking(&self.world.kernels, |kernels| kernels.erase(gone)).await?;
        let _ = self.changes.send(Change::KernelGone(digest.into()));
        tracing::info!(digest, "kernel {digest} removed");
        Ok(())
    }

    /// A pod that pinned it is gone: if it was the last one of an older package's kernel, that goes too.
    pub(super) fn kernel_let_go(self: &Arc<Self>, digest: &str) {
        if self.world.kernels.is_outdated(digest) {
            let this = self.clone();
            tokio::spawn(async move { this.prune_kernels().await });
        }
    }

    /// Removes what is left of older packages' kernels and no pod pins. Returns how many.
    pub async fn prune_kernels(&self) -> usize {
        let kernels = &self.world.kernels;
        let mut gone = 0;
        for kernel in kernels.list().into_iter().filter(|k| kernels.is_outdated(&k.digest)) {
            match self.remove_kernel(&kernel.digest).await {
                Ok(()) => gone += 1,
                Err(Failure::Kernel(KernelStoreError::InUse { .. })) => {}
                Err(error) => tracing::warn!(digest = kernel.digest, "an outdated kernel stays: {error}"),
            }
        }
        gone
    }
}
