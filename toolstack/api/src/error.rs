//! The names errors have on the bus.
//!
//! One enum for daemon and clients. The message of an error names the object, the cause and what to do; the name is what a
//! program may act on.

macro_rules! names {
    ($(#[doc = $doc:literal] $variant:ident = $name:literal,)+) => {
        /// The name of an error on the bus.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorName { $(#[doc = $doc] $variant,)+ }

        impl ErrorName {
            /// Every name.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// The full D-Bus name.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $name),+ } }
            /// When it happens, in a sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str { match self { $(Self::$variant => $doc),+ }.trim() }
            /// The name's meaning, if it is one of ours or a standard one that we use.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> { Self::ALL.iter().copied().find(|n| n.as_str() == name) }
        }
    };
}

names! {
    /// No pod has that name or id.
    NoSuchPod = "org.xenpod1.Error.NoSuchPod",
    /// The pod has no container of that name.
    NoSuchContainer = "org.xenpod1.Error.NoSuchContainer",
    /// No image here has that name or digest.
    NoSuchImage = "org.xenpod1.Error.NoSuchImage",
    /// The container has no log of that kind: it has not run before.
    NoSuchLog = "org.xenpod1.Error.NoSuchLog",
    /// No job has that number, or it ended too long ago.
    NoSuchJob = "org.xenpod1.Error.NoSuchJob",
    /// The pod's name is taken.
    PodExists = "org.xenpod1.Error.PodExists",
    /// The pod has a container of that name already.
    ContainerExists = "org.xenpod1.Error.ContainerExists",
    /// The request does not fit the object's state. Nothing was done.
    BadState = "org.xenpod1.Error.BadState",
    /// The manifest is not YAML, not a Pod, or holds a value that is out of bounds.
    ManifestInvalid = "org.xenpod1.Error.ManifestInvalid",
    /// The manifest asks for what xenpod does not do.
    ManifestUnsupported = "org.xenpod1.Error.ManifestUnsupported",
    /// A config map or secret that the pod needs was not given.
    ContentMissing = "org.xenpod1.Error.ContentMissing",
    /// The image's bytes are wrong: a digest, a length, an entry that reaches outside.
    ImageInvalid = "org.xenpod1.Error.ImageInvalid",
    /// The image cannot be had: no such repository or tag, no registry, no permission.
    ImageUnavailable = "org.xenpod1.Error.ImageUnavailable",
    /// Pods use the image.
    ImageInUse = "org.xenpod1.Error.ImageInUse",
    /// The guest kernel or boot image is missing, is no PVH kernel, or lacks what pods need.
    KernelInvalid = "org.xenpod1.Error.KernelInvalid",
    /// No kernel here has that name or digest.
    NoSuchKernel = "org.xenpod1.Error.NoSuchKernel",
    /// There is a kernel of that name, or one with those bytes.
    KernelExists = "org.xenpod1.Error.KernelExists",
    /// Pods pin the kernel, or it is the default or the package's own.
    KernelInUse = "org.xenpod1.Error.KernelInUse",
    /// The host has not the memory.
    NotEnoughMemory = "org.xenpod1.Error.NotEnoughMemory",
    /// Memory that was to be given back is in use.
    MemoryInUse = "org.xenpod1.Error.MemoryInUse",
    /// This machine does not run Xen, or the daemon cannot reach it.
    NoXen = "org.xenpod1.Error.NoXen",
    /// The hypervisor refused.
    HypervisorFailed = "org.xenpod1.Error.HypervisorFailed",
    /// Xenstore refused.
    StoreFailed = "org.xenpod1.Error.StoreFailed",
    /// A block device could not be made or connected.
    DeviceFailed = "org.xenpod1.Error.DeviceFailed",
    /// The network could not be set up.
    NetworkFailed = "org.xenpod1.Error.NetworkFailed",
    /// The guest did not boot, or does not keep to the protocol.
    GuestFailed = "org.xenpod1.Error.GuestFailed",
    /// An init container of the pod failed, and is not to be run again.
    InitFailed = "org.xenpod1.Error.InitFailed",
    /// The command does not exist in the container.
    CommandNotFound = "org.xenpod1.Error.CommandNotFound",
    /// The command exists and could not be executed.
    ExecFailed = "org.xenpod1.Error.ExecFailed",
    /// Nobody in the pod listens on the port, or it does not answer.
    ConnectionRefused = "org.xenpod1.Error.ConnectionRefused",
    /// The work was cancelled.
    Cancelled = "org.xenpod1.Error.Cancelled",
    /// The daemon's own state could not be read or written.
    StateFailed = "org.xenpod1.Error.StateFailed",
    /// A fault of xenpod's own.
    Internal = "org.xenpod1.Error.Internal",
    /// An argument or option is wrong.
    InvalidArgs = "org.freedesktop.DBus.Error.InvalidArgs",
    /// The caller may not.
    AccessDenied = "org.freedesktop.DBus.Error.AccessDenied",
    /// Too many of something.
    LimitsExceeded = "org.freedesktop.DBus.Error.LimitsExceeded",
    /// No object has that path.
    UnknownObject = "org.freedesktop.DBus.Error.UnknownObject",
    /// The thing is not supported.
    NotSupported = "org.freedesktop.DBus.Error.NotSupported",
}

impl std::fmt::Display for ErrorName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
