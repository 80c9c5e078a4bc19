//! Methods of `org.xenpod1.Kernel`, and those of the Manager about kernels.
//!
//! Everybody sees the kernels: who may make pods may choose one, if polkit does not say otherwise. Only an administrator brings them.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use xenpod_api::ids::kernel_path;
use zbus::message::{Body, Header};
use zbus::{ObjectPath, OwnedFd, OwnedVariant, Variant};

use super::Service;
use super::access::{Action, check};
use super::caller::Caller;
use super::error::BusError;
use super::options::Options;
use super::properties::{Properties, job_object, path};
use super::reply::Reply;
use crate::kernels::{Import, KernelInfo};

/// Does what `member` says.
pub(super) async fn call(
    service: &Arc<Service>,
    caller: &Caller,
    header: &Header<'_>,
    kernel: &Arc<KernelInfo>,
    member: &str,
    body: &Body,
) -> Result<Reply, BusError> {
    match member {
        "Remove" => {
            Options::new(body.deserialize()?).end()?;
            check(service, caller, header, Action::ManageKernels, "remove", &kernel.name).await?;
            service.engine.remove_kernel(&kernel.digest).await?;
            Reply::of(&())
        }
        "SetDefault" => {
            Options::new(body.deserialize()?).end()?;
            check(service, caller, header, Action::ManageKernels, "set-default", &kernel.name).await?;
            service.engine.set_default_kernel(&kernel.digest).await?;
            Reply::of(&())
        }
        _ => Err(BusError::unknown_method("org.xenpod1.Kernel", member)),
    }
}

/// `Manager.ImportKernel`.
pub(super) async fn import(
    service: &Arc<Service>,
    caller: &Caller,
    header: &Header<'_>,
    body: &Body,
) -> Result<Reply, BusError> {
    let (kernel, name, given): (OwnedFd, String, HashMap<String, OwnedVariant>) = body.deserialize()?;
    let mut options = Options::new(given);
    let config = match options.take::<OwnedVariant>("config", "h")?.map(Variant::from) {
        None => None,
        Some(Variant::Fd(fd)) => {
            let own = fd.as_fd().try_clone_to_owned();
            Some(own.map_err(|e| BusError::invalid(format!("option config: {e}")))?)
        }
        Some(_) => return Err(BusError::invalid("option config must be of type h")),
    };
    let (unchecked, default) = (options.flag("unchecked")?, options.flag("default")?);
    options.end()?;
    Import::check_name(&name).map_err(crate::engine::Failure::from)?;
    check(service, caller, header, Action::ManageKernels, "import", &name).await?;
    let import = Import { name, kernel: kernel.into(), config, unchecked, by_uid: caller.uid };
    let job = service.engine.import_kernel(import, default)?;
    Reply::with(job_object(job.id())?)
}

/// `Manager.GetKernel`.
pub(super) fn get(service: &Service, body: &Body) -> Result<Reply, BusError> {
    let kernel = service.engine.kernel(&body.deserialize::<String>()?)?;
    Reply::with(path(kernel_path(&kernel.digest)).unwrap_or_default())
}

/// `Manager.ListKernels`.
pub(super) fn list(service: &Service, body: &Body) -> Result<Reply, BusError> {
    Options::new(body.deserialize()?).end()?;
    let kernels = &service.engine.world().kernels;
    let all: Vec<(String, String, String, u64, bool, ObjectPath<'static>)> = kernels
        .list()
        .iter()
        .map(|k| {
            let (digest, name, version) = (k.digest.clone(), k.name.clone(), k.version.clone());
            let default = kernels.is_default(&k.digest);
            (digest, name, version, k.size, default, path(kernel_path(&k.digest)).unwrap_or_default())
        })
        .collect();
    Reply::with(all)
}

/// What a kernel shows to everybody. What it shows besides depends on who looks: see [`used_by`].
pub(super) fn properties(service: &Service, kernel: &KernelInfo) -> Properties {
    let default = service.engine.world().kernels.is_default(&kernel.digest);
    Properties::from([
        ("Name", kernel.name.clone().into()),
        ("Digest", kernel.digest.clone().into()),
        ("Size", kernel.size.into()),
        ("Version", kernel.version.clone().into()),
        ("Imported", kernel.imported_usec.into()),
        ("ImportedBy", format!("uid:{}", kernel.by_uid).into()),
        ("Packaged", kernel.packaged.into()),
        ("Default", default.into()),
        ("Checked", kernel.proof.as_str().into()),
        ("Options", kernel.options.clone().into()),
    ])
}

/// Names of those pods that pin it and that the caller may see.
pub(super) fn used_by(service: &Service, caller: &Caller, kernel: &KernelInfo) -> Vec<String> {
    service.engine.users_of_kernel(&kernel.digest, |owner| caller.may_see(owner))
}
