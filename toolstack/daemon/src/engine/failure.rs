//! What can go wrong with a pod, and what it is called on the bus.

use xenpod_api::error::ErrorName;
use xenpod_api::manifest::ManifestError;
use xenpod_images::error::ErrorKind as ImageErrorKind;
use xenpod_protocol::message::ErrorKind as GuestErrorKind;
use xenpod_xen::hypervisor::HypervisorError;

use super::transition::Refusal;
use super::world::{DomainError, ImageError, NetError};
use crate::devices::DeviceError;
use crate::guest::GuestError;
use crate::journal::JournalError;
use crate::kernels::KernelStoreError;

/// Why a request was not carried out. The text names the object, the cause and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It does not fit the pod's state; nothing was done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No pod of that name or id.
    #[error("no pod has the name or id {0:?}; `xenpodctl ps -a` lists them")]
    NoSuchPod(String),
    /// The pod has no such container.
    #[error("pod {pod} has no container {container:?}")]
    NoSuchContainer {
        /// The pod.
        pod: String,
        /// What was asked for.
        container: String,
    },
    /// The container does not run.
    #[error("container {container} of pod {pod} is {state}")]
    ContainerNotRunning {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// What it is.
        state: String,
    },
    /// It does not fit the container's state; nothing was done.
    #[error("container {container} of pod {pod}: cannot {verb} it while it is {state}{hint}")]
    ContainerRefused {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// What was asked.
        verb: &'static str,
        /// What it is.
        state: &'static str,
        /// What to do instead, with its separator; or empty.
        hint: &'static str,
    },
    /// The pod has a container of that name.
    #[error("pod {pod} has a container {container:?} already; remove it or choose another name")]
    ContainerExists {
        /// The pod.
        pod: String,
        /// The name.
        container: String,
    },
    /// The container has no standard input that could be written to.
    #[error("container {container} of pod {pod} has no standard input: {why}")]
    NoStdin {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// Why not.
        why: &'static str,
    },
    /// The container has no terminal.
    #[error("container {container} of pod {pod} has no terminal: its manifest does not say `tty: true`")]
    NoTerminal {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// The name is taken.
    #[error("a pod named {0} exists already; remove it or choose another name")]
    PodExists(String),
    /// What is to be said of a pod cannot be.
    #[error("pod {pod}: {why}")]
    BadDescription {
        /// The pod.
        pod: String,
        /// Why not.
        why: String,
    },
    /// Its memory is in use.
    #[error(
        "pod {pod}: cannot shrink it to {wanted_mib} MiB: its containers use the memory; {least_mib} MiB is the least now"
    )]
    MemoryInUse {
        /// The pod.
        pod: String,
        /// What was asked for.
        wanted_mib: u64,
        /// What is possible.
        least_mib: u64,
    },
    /// A container's memory is in use.
    #[error("pod {pod}: {text}")]
    LimitInUse {
        /// The pod.
        pod: String,
        /// The guest's words.
        text: String,
    },
    /// It was built for fewer vCPUs.
    #[error(
        "pod {pod}: cannot give it {wanted} vCPUs while it runs: its domain was built with room for {room}; stop it first, or          make it with more in annotation xenpod.org/max-cpus"
    )]
    NoRoom {
        /// The pod.
        pod: String,
        /// What was asked for.
        wanted: u32,
        /// What it was built for.
        room: u32,
    },
    /// It is being resized.
    #[error("pod {0}: it is being resized already; wait for that job to end, or cancel it")]
    Resizing(String),
    /// Not all of a resize could be done.
    #[error("pod {pod}: it has {reached}, not {asked}: its guest {}", if *in_use { "can give no more back" } else { "took no more" })]
    ResizeIncomplete {
        /// The pod.
        pod: String,
        /// What was asked for.
        asked: String,
        /// What was reached.
        reached: String,
        /// Memory that could not be had back.
        in_use: bool,
    },
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A bound of the host or of the user.
    #[error("{0}")]
    Limit(String),
    /// Images.
    #[error("{}{source}", prefix(.pod))]
    Image {
        /// The pod that wanted it, if one did.
        pod: Option<String>,
        /// Why.
        source: ImageError,
    },
    /// No image of that name.
    #[error("no image has the name or digest {0:?}; `xenpodctl images` lists them")]
    NoSuchImage(String),
    /// Something about a container that cannot work with its image.
    #[error("pod {pod}: container {container}: {why}")]
    BadContainer {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// What is wrong.
        why: String,
    },
    /// A config map or secret, or a key of one, that the pod needs and nobody has given.
    #[error("pod {pod}: {who} needs {what}, which was not given; {how}")]
    ContentMissing {
        /// The pod.
        pod: String,
        /// What needs it: a volume, a variable.
        who: String,
        /// What is missing.
        what: String,
        /// What to do.
        how: String,
    },
    /// A config map or secret that cannot be what it is to be.
    #[error("{0}")]
    BadContents(String),
    /// A guest kernel.
    #[error(transparent)]
    Kernel(#[from] KernelStoreError),
    /// The kernel that the pod pins.
    #[error(
        "pod {pod}: its kernel {name:?} ({digest}) is not here any more; import the same bytes again, or make the pod anew"
    )]
    KernelGone {
        /// The pod.
        pod: String,
        /// What the kernel was called.
        name: String,
        /// Its digest.
        digest: String,
    },
    /// The domain.
    #[error("pod {pod}: {source}")]
    Domain {
        /// The pod.
        pod: String,
        /// Why.
        source: DomainError,
    },
    /// A block device.
    #[error("pod {pod}: {source}")]
    Device {
        /// The pod.
        pod: String,
        /// Why.
        source: DeviceError,
    },
    /// The network.
    #[error("pod {pod}: {source}")]
    Net {
        /// The pod.
        pod: String,
        /// Why.
        source: NetError,
    },
    /// The guest.
    #[error("pod {pod}: {}{source}", prefix(.container))]
    Guest {
        /// The pod.
        pod: String,
        /// The container it was about.
        container: Option<String>,
        /// Why.
        source: GuestError,
    },
    /// An init container has failed for good.
    #[error(
        "pod {pod}: init container {container} ended with {code}; `xenpodctl logs {pod} -c {container}` shows its output"
    )]
    InitFailed {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// Its exit code.
        code: i32,
    },
    /// The domain ended while it was needed.
    #[error("pod {pod}: its domain {how} while it was being started")]
    DomainEnded {
        /// The pod.
        pod: String,
        /// What became of it.
        how: String,
    },
    /// The record.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A log.
    #[error("pod {pod}: {source}")]
    Log {
        /// The pod.
        pod: String,
        /// Why.
        source: crate::logs::LogError,
    },
    /// Somebody asked for it to end.
    #[error("{0} was cancelled")]
    Cancelled(String),
    /// The job cannot be.
    #[error("job {job} ({kind}) cannot be cancelled: what it ends cannot be taken back; wait for it")]
    NotCancellable {
        /// Its number.
        job: u32,
        /// Its type.
        kind: &'static str,
    },
    /// The pod went away while it was asked.
    #[error("pod {0} has been removed")]
    Removed(String),
    /// There is no Xen.
    #[error("{0}")]
    NoXen(String),
    /// Several things, all of which a person should see.
    #[error("{}", join(.0))]
    Several(Vec<Failure>),
}

fn prefix(of: &Option<String>) -> String {
    of.as_ref().map(|name| format!("{name}: ")).unwrap_or_default()
}

fn join(failures: &[Failure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Failure {
    /// The error's name on the bus.
    #[must_use]
    pub fn name(&self) -> ErrorName {
        use ErrorName as N;
        match self {
            Self::Refused(_)
            | Self::NotCancellable { .. }
            | Self::ContainerNotRunning { .. }
            | Self::ContainerRefused { .. }
            | Self::NoStdin { .. }
            | Self::NoTerminal { .. }
            | Self::NoRoom { .. }
            | Self::Resizing(_) => N::BadState,
            Self::MemoryInUse { .. } | Self::LimitInUse { .. } | Self::ResizeIncomplete { in_use: true, .. } => {
                N::MemoryInUse
            }
            Self::ResizeIncomplete { .. } => N::GuestFailed,
            Self::ContainerExists { .. } => N::ContainerExists,
            Self::NoSuchPod(_) | Self::Removed(_) => N::NoSuchPod,
            Self::NoSuchContainer { .. } => N::NoSuchContainer,
            Self::PodExists(_) => N::PodExists,
            Self::Manifest(e) => e.name(),
            Self::Limit(_) => N::LimitsExceeded,
            Self::NoSuchImage(_) => N::NoSuchImage,
            Self::Image { source, .. } => image_name(source),
            Self::BadContainer { .. } => N::ManifestInvalid,
            Self::ContentMissing { .. } => N::ContentMissing,
            Self::BadContents(_) | Self::BadDescription { .. } => N::InvalidArgs,
            Self::Kernel(e) => kernel_name(e),
            Self::KernelGone { .. } => N::NoSuchKernel,
            Self::Domain { source, .. } => domain_name(source),
            Self::Device { .. } => N::DeviceFailed,
            Self::Net { .. } => N::NetworkFailed,
            Self::Guest { source, .. } => guest_name(source),
            Self::InitFailed { .. } => N::InitFailed,
            Self::DomainEnded { .. } => N::GuestFailed,
            Self::Journal(_) | Self::Log { .. } => N::StateFailed,
            Self::Cancelled(_) => N::Cancelled,
            Self::NoXen(_) => N::NoXen,
            Self::Several(all) => all.first().map_or(N::Internal, Failure::name),
        }
    }

    /// One word for a pod's `Reason`: the last part of the error's name.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.name().as_str().rsplit('.').next().unwrap_or_default()
    }
}

fn image_name(error: &ImageError) -> ErrorName {
    match error {
        ImageError::InUse { .. } => ErrorName::ImageInUse,
        ImageError::NotHere { .. } => ErrorName::ImageUnavailable,
        ImageError::Store(e) => match e.kind {
            ImageErrorKind::NotFound { .. }
            | ImageErrorKind::Ambiguous { .. }
            | ImageErrorKind::Unauthorized { .. }
            | ImageErrorKind::Unreachable { .. }
            | ImageErrorKind::Registry { .. } => ErrorName::ImageUnavailable,
            ImageErrorKind::BadReference { .. } => ErrorName::InvalidArgs,
            ImageErrorKind::Cancelled => ErrorName::Cancelled,
            _ => ErrorName::ImageInvalid,
        },
    }
}

fn kernel_name(error: &KernelStoreError) -> ErrorName {
    use KernelStoreError as K;
    match error {
        K::Name { .. } | K::NotAFile { .. } => ErrorName::InvalidArgs,
        K::TooLarge { .. }
        | K::Kernel(_)
        | K::NoProof { .. }
        | K::BadConfig { .. }
        | K::Lacks { .. }
        | K::NoDefault { .. } => ErrorName::KernelInvalid,
        K::Exists { .. } | K::SameBytes { .. } => ErrorName::KernelExists,
        K::NotFound { .. } => ErrorName::NoSuchKernel,
        K::InUse { .. } | K::IsDefault { .. } | K::Packaged { .. } => ErrorName::KernelInUse,
        K::TooMany(_) => ErrorName::LimitsExceeded,
        K::Cancelled { .. } => ErrorName::Cancelled,
        K::Io { .. } => ErrorName::StateFailed,
    }
}

fn domain_name(error: &DomainError) -> ErrorName {
    match error {
        DomainError::Hypervisor(HypervisorError::Unavailable { .. }) => ErrorName::NoXen,
        DomainError::Hypervisor(HypervisorError::NotEnoughMemory { .. }) => ErrorName::NotEnoughMemory,
        DomainError::Hypervisor(HypervisorError::Kernel { .. }) | DomainError::Kernel(_) => ErrorName::KernelInvalid,
        DomainError::Hypervisor(_) | DomainError::Dying { .. } => ErrorName::HypervisorFailed,
        DomainError::Store { .. } => ErrorName::StoreFailed,
        DomainError::Device { .. } => ErrorName::DeviceFailed,
        DomainError::NoHello { .. } | DomainError::Channel(_) => ErrorName::GuestFailed,
    }
}

fn guest_name(error: &GuestError) -> ErrorName {
    let GuestError::Refused(refused) = error else { return ErrorName::GuestFailed };
    match refused.kind() {
        GuestErrorKind::NotFound => ErrorName::CommandNotFound,
        GuestErrorKind::PermissionDenied | GuestErrorKind::BadFormat | GuestErrorKind::BadUser => ErrorName::ExecFailed,
        GuestErrorKind::BadState => ErrorName::BadState,
        GuestErrorKind::Unconnected => ErrorName::ConnectionRefused,
        GuestErrorKind::NoMemory => ErrorName::NotEnoughMemory,
        _ => ErrorName::GuestFailed,
    }
}
