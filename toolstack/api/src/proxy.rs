//! Typed clients of `org.xenpod1`, for `xenpodctl` and the node agent.
//!
//! The interfaces are documented where they are defined: in the introspection XML that is installed with the daemon, and in the manual pages.

use std::collections::{BTreeMap, HashMap};

use zbus::{OwnedFd, OwnedObjectPath, Variant};

/// The last argument of every mutating method. A key that the method does not know is refused.
pub type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// What `ListPods` says of a pod: id, name, state, path.
pub type PodEntry = (String, String, String, OwnedObjectPath);
/// What `ListImages` says of an image: digest, names, size in bytes, path.
pub type ImageEntry = (String, Vec<String>, u64, OwnedObjectPath);
/// What `ListEvents` says of an event: number, time in microseconds since the epoch, type, object, pod's name, attributes.
pub type EventEntry = (u64, u64, String, OwnedObjectPath, String, BTreeMap<String, String>);
/// What `ListKernels` says of a kernel: digest, name, version, size in bytes, whether it is the default, path.
pub type KernelEntry = (String, String, String, u64, bool, OwnedObjectPath);
/// One check of the host: its name, `ok`, `warn` or `fail`, what was found, what to do.
pub type HostCheck = (String, String, String, String);

/// The service itself.
#[zbus::proxy(interface = "org.xenpod1.Manager", default_service = "org.xenpod1", default_path = "/org/xenpod1")]
pub trait Manager {
    /// Makes a pod from a manifest. The job is its creation; option `start` (b) starts it as well.
    fn create_pod(&self, manifest: &str, options: Options<'_>) -> zbus::Result<(OwnedObjectPath, OwnedObjectPath)>;
    /// Finds a pod by name or id.
    fn get_pod(&self, name_or_id: &str) -> zbus::Result<OwnedObjectPath>;
    /// The caller's pods.
    fn list_pods(&self, options: Options<'_>) -> zbus::Result<Vec<PodEntry>>;
    /// Fetches an image from a registry. Option `insecure` (b): plain HTTP is allowed.
    fn pull_image(&self, reference: &str, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    /// Takes an image from an archive or layout that the caller has opened. Transports: `oci-archive`, `docker-archive`, `oci`.
    fn import_image(
        &self,
        transport: &str,
        source: zbus::Fd<'_>,
        name: &str,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    /// Finds an image by name or digest.
    fn get_image(&self, name_or_digest: &str) -> zbus::Result<OwnedObjectPath>;
    /// The images here.
    fn list_images(&self, options: Options<'_>) -> zbus::Result<Vec<ImageEntry>>;
    /// Takes a guest kernel in. Options `config` (h), the configuration it was built with; `unchecked` (b); `default` (b).
    fn import_kernel(&self, kernel: zbus::Fd<'_>, name: &str, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    /// Finds a guest kernel by name or digest.
    fn get_kernel(&self, name_or_digest: &str) -> zbus::Result<OwnedObjectPath>;
    /// The guest kernels here.
    fn list_kernels(&self, options: Options<'_>) -> zbus::Result<Vec<KernelEntry>>;
    /// The jobs that run or ended lately: path, type, state.
    fn list_jobs(&self, options: Options<'_>) -> zbus::Result<Vec<(OwnedObjectPath, String, String)>>;
    /// Looks at the host: Xen, HAP, xenstored, modules, kernel, free memory.
    fn check_host(&self, options: Options<'_>) -> zbus::Result<Vec<HostCheck>>;
    /// What has happened: the events, the number of the oldest that is kept, and the `since` to go on with. Options `since` (t),
    /// `limit` (u), `pod` (s), `type` (s), `label` (s).
    fn list_events(&self, options: Options<'_>) -> zbus::Result<(Vec<EventEntry>, u64, u64)>;
    /// What the caller's pods use. Options: `pods` (as), `guest` (b).
    fn get_stats(&self, options: Options<'_>) -> zbus::Result<Vec<HashMap<String, zbus::OwnedVariant>>>;
    /// Asks for signals about the caller's own objects.
    fn subscribe(&self) -> zbus::Result<()>;
    /// Takes [`subscribe`](Self::subscribe) back.
    fn unsubscribe(&self) -> zbus::Result<()>;

    /// A pod was made.
    #[zbus(signal)]
    fn pod_new(&self, id: String, pod: OwnedObjectPath) -> zbus::Result<()>;
    /// A pod is gone.
    #[zbus(signal)]
    fn pod_removed(&self, id: String, pod: OwnedObjectPath) -> zbus::Result<()>;
    /// A job was begun.
    #[zbus(signal)]
    fn job_new(&self, id: u32, job: OwnedObjectPath) -> zbus::Result<()>;
    /// A job ended.
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: OwnedObjectPath,
        result: String,
        error_name: String,
        message: String,
    ) -> zbus::Result<()>;

    /// Something happened.
    #[zbus(signal)]
    fn event(
        &self,
        number: u64,
        time: u64,
        kind: String,
        object: OwnedObjectPath,
        pod: String,
        attributes: HashMap<String, String>,
    ) -> zbus::Result<()>;

    /// The daemon's version.
    #[zbus(property)]
    fn version(&self) -> zbus::Result<String>;
    /// The hypervisor's version, empty without one.
    #[zbus(property)]
    fn xen_version(&self) -> zbus::Result<String>;
    /// `oxenstored`, `xenstored` or empty.
    #[zbus(property)]
    fn xenstored(&self) -> zbus::Result<String>;
    /// `ready`, `degraded` or `no-xen`.
    #[zbus(property)]
    fn host_state(&self) -> zbus::Result<String>;
    /// Why it is not ready.
    #[zbus(property)]
    fn host_message(&self) -> zbus::Result<String>;
    /// `sha256:…` of the guest kernel that new pods get.
    #[zbus(property)]
    fn kernel_digest(&self) -> zbus::Result<String>;
    /// Its name.
    #[zbus(property)]
    fn default_kernel(&self) -> zbus::Result<String>;
}

/// A pod.
#[zbus::proxy(interface = "org.xenpod1.Pod", default_service = "org.xenpod1")]
pub trait Pod {
    /// Starts it.
    fn start(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    /// Stops it in order. Option `grace_seconds` (u).
    fn stop(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    /// Removes it. Option `force` (b): even while it runs.
    fn remove(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    /// Makes a container in it. Options `start` (b), `restart_policy` (s). Returns the job and the container.
    fn create_container(
        &self,
        container: &str,
        options: Options<'_>,
    ) -> zbus::Result<(OwnedObjectPath, OwnedObjectPath)>;
    /// Pauses its domain.
    fn pause(&self, options: Options<'_>) -> zbus::Result<()>;
    /// Lets its domain run again.
    fn resume(&self, options: Options<'_>) -> zbus::Result<()>;
    /// Gives it another size. Options `memory_mib` (t), `vcpus` (u), `wait` (u).
    fn resize(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    /// Gives it another name.
    fn rename(&self, name: &str, options: Options<'_>) -> zbus::Result<()>;
    /// Sets labels, and removes some.
    fn set_labels(&self, set: HashMap<&str, &str>, remove: &[&str], options: Options<'_>) -> zbus::Result<()>;
    /// Sets annotations, and removes some.
    fn set_annotations(&self, set: HashMap<&str, &str>, remove: &[&str], options: Options<'_>) -> zbus::Result<()>;
    /// Connects to a TCP port inside it.
    fn port_forward(&self, port: u16, options: Options<'_>) -> zbus::Result<OwnedFd>;
    /// What it uses. Option `guest` (b).
    fn get_stats(&self, options: Options<'_>) -> zbus::Result<HashMap<String, zbus::OwnedVariant>>;
    /// A pipe with a sample a line, as JSON. Options: `interval_ms` (u), `guest` (b).
    fn stream_stats(&self, options: Options<'_>) -> zbus::Result<OwnedFd>;
    /// Returns its state and exit code when it has stopped or failed.
    fn wait(&self, options: Options<'_>) -> zbus::Result<(String, i32)>;

    /// Its id.
    #[zbus(property)]
    fn id(&self) -> zbus::Result<String>;
    /// Its name.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;
    /// Its state.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// Why it is in that state.
    #[zbus(property)]
    fn message(&self) -> zbus::Result<String>;
    /// Its containers.
    #[zbus(property)]
    fn containers(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
    /// Microseconds from the request to the end of each phase of its last start.
    #[zbus(property)]
    fn start_phases(&self) -> zbus::Result<Vec<(String, u64)>>;
}

/// A container.
#[zbus::proxy(interface = "org.xenpod1.Container", default_service = "org.xenpod1")]
pub trait Container {
    /// Runs its command.
    fn start(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    /// Ends it in order. Option `grace_seconds` (u).
    fn stop(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    /// Sends it a signal. Option `all` (b): to all its processes.
    fn kill(&self, signal: u32, options: Options<'_>) -> zbus::Result<()>;
    /// Removes it. Option `force` (b): even while it runs.
    fn remove(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    /// Gives it another name.
    fn rename(&self, name: &str, options: Options<'_>) -> zbus::Result<()>;
    /// Changes its limits. Options `memory_limit` (t), `memory_request` (t), `cpu_limit_milli` (u), `cpu_request_milli` (u).
    fn update(&self, options: Options<'_>) -> zbus::Result<()>;
    /// Its output so far, and with option `follow` (b) what comes, as two pipes: standard output and standard error. More options:
    /// `tail` (t), `since` (t), `timestamps` (b), `previous` (b).
    fn logs(&self, options: Options<'_>) -> zbus::Result<(OwnedFd, OwnedFd)>;
    /// Runs a command in it: the object to wait on, and its standard input, output and error.
    fn exec(
        &self,
        command: &[&str],
        options: Options<'_>,
    ) -> zbus::Result<(OwnedObjectPath, OwnedFd, OwnedFd, OwnedFd)>;
    /// Its standard input, and what it writes from now on, as pipes. Options: `stdin` (b), connect standard input; `logs` (b), what
    /// it has written so far as well.
    fn attach(&self, options: Options<'_>) -> zbus::Result<(OwnedFd, OwnedFd, OwnedFd)>;
    /// Tells its terminal its size.
    fn resize(&self, rows: u32, columns: u32, options: Options<'_>) -> zbus::Result<()>;
    /// Returns its exit code and reason when it has ended for good.
    fn wait(&self, options: Options<'_>) -> zbus::Result<(i32, String)>;

    /// Its name.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;
    /// `app`, `init`, `sidecar` or `added`.
    #[zbus(property)]
    fn role(&self) -> zbus::Result<String>;
    /// Its state.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// Its last exit code.
    #[zbus(property)]
    fn exit_code(&self) -> zbus::Result<i32>;
    /// How often the restart policy started it again.
    #[zbus(property)]
    fn restart_count(&self) -> zbus::Result<u32>;
    /// It has a terminal.
    #[zbus(property)]
    fn tty(&self) -> zbus::Result<bool>;
    /// Its standard input can be attached to.
    #[zbus(property)]
    fn stdin(&self) -> zbus::Result<bool>;
}

/// A command that runs in a container.
#[zbus::proxy(interface = "org.xenpod1.Exec", default_service = "org.xenpod1")]
pub trait Exec {
    /// Returns its exit code and reason when it has ended.
    fn wait(&self, options: Options<'_>) -> zbus::Result<(i32, String)>;
    /// Tells its terminal its size.
    fn resize(&self, rows: u32, columns: u32, options: Options<'_>) -> zbus::Result<()>;
    /// Lets it go on when its pipes are closed.
    fn detach(&self, options: Options<'_>) -> zbus::Result<()>;
}

/// An image.
#[zbus::proxy(interface = "org.xenpod1.Image", default_service = "org.xenpod1")]
pub trait Image {
    /// Removes the name, and with the last name the image. Option `name` (s): only that one.
    fn remove(&self, options: Options<'_>) -> zbus::Result<()>;
    /// `sha256:…` of its manifest.
    #[zbus(property)]
    fn id(&self) -> zbus::Result<String>;
}

/// A guest kernel.
#[zbus::proxy(interface = "org.xenpod1.Kernel", default_service = "org.xenpod1")]
pub trait Kernel {
    /// Removes it, unless a pod uses it, or it is the default or the package's own.
    fn remove(&self, options: Options<'_>) -> zbus::Result<()>;
    /// Makes it the kernel of pods that are made from now on and name none.
    fn set_default(&self, options: Options<'_>) -> zbus::Result<()>;
    /// Its name.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;
    /// `sha256:…` of its bytes.
    #[zbus(property)]
    fn digest(&self) -> zbus::Result<String>;
}

/// A piece of work that takes time.
#[zbus::proxy(interface = "org.xenpod1.Job", default_service = "org.xenpod1")]
pub trait Job {
    /// Ends it and takes back what it did.
    fn cancel(&self, options: Options<'_>) -> zbus::Result<()>;
    /// Returns result, error name and message when it has ended.
    fn wait(&self, options: Options<'_>) -> zbus::Result<(String, String, String)>;
    /// 0 to 1.
    #[zbus(property)]
    fn progress(&self) -> zbus::Result<f64>;
    /// Item, bytes done, bytes in all.
    #[zbus(property)]
    fn progress_detail(&self) -> zbus::Result<Vec<(String, u64, u64)>>;
    /// What it came to, in figures.
    #[zbus(property)]
    fn reached(&self) -> zbus::Result<HashMap<String, u64>>;
    /// What it makes or works on.
    #[zbus(property)]
    fn objects(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
}
