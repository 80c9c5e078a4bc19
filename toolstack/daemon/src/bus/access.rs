//! polkit: asked after the arguments have been checked and before anything is done. Its rules see the name of the pod (image,
//! kernel), the owner and the verb.

use std::collections::HashMap;

use xenpod_api::error::ErrorName;
use zbus::message::Header;
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use super::Service;
use super::caller::Caller;
use super::error::BusError;

/// An action of the policy file: a class of verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Make pods: this takes memory and disk of the host.
    CreatePods,
    /// Start, stop, change and remove one's pods.
    ManagePods,
    /// Run commands in one's pods and read what they write.
    EnterPods,
    /// Fetch images from registries.
    PullImages,
    /// Take images from files under any name, and remove them: other users' pods may use the same names.
    ManageImages,
    /// Make pods with another kernel than the default.
    ChooseKernels,
    /// Bring guest kernels, remove them, and say which is the default.
    ManageKernels,
}

impl Action {
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::CreatePods => "org.xenpod1.create-pods",
            Self::ManagePods => "org.xenpod1.manage-pods",
            Self::EnterPods => "org.xenpod1.enter-pods",
            Self::PullImages => "org.xenpod1.pull-images",
            Self::ManageImages => "org.xenpod1.manage-images",
            Self::ChooseKernels => "org.xenpod1.choose-kernels",
            Self::ManageKernels => "org.xenpod1.manage-kernels",
        }
    }

    /// What the object is called in the details.
    const fn object(self) -> &'static str {
        match self {
            Self::CreatePods | Self::ManagePods | Self::EnterPods => "pod",
            Self::PullImages | Self::ManageImages => "image",
            Self::ChooseKernels | Self::ManageKernels => "kernel",
        }
    }
}

/// Whether the caller may do `verb` to `object` (the name of a pod, an image or a kernel). Root may, with or without polkit.
pub(super) async fn check(
    service: &Service,
    caller: &Caller,
    header: &Header<'_>,
    action: Action,
    verb: &str,
    object: &str,
) -> Result<(), BusError> {
    if caller.uid == 0 {
        return Ok(());
    }
    let denied = |why: String| {
        let text = format!("user {} may not {verb} {object}: {why}; the polkit action is {}", caller.uid, action.id());
        BusError::new(ErrorName::AccessDenied, text)
    };
    // Who is not root reaches only what is his own.
    let owner = format!("uid:{}", caller.uid);
    let details = HashMap::from([(action.object(), object), ("owner", owner.as_str()), ("verb", verb)]);
    let may_ask_the_person = header.primary().flags().contains(zbus::message::Flags::ALLOW_INTERACTIVE_AUTH);
    let flags = if may_ask_the_person {
        CheckAuthorizationFlags::ALLOW_USER_INTERACTION
    } else {
        CheckAuthorizationFlags::empty()
    };
    let asked = async {
        let authority = AuthorityProxy::new(&service.bus).await?;
        let subject = Subject::new_for_message_header(header).map_err(|e| zbus::Error::Failure(e.to_string()))?;
        authority.check_authorization(&subject, action.id(), &details, flags, "").await
    };
    match asked.await {
        Ok(result) if result.is_authorized => Ok(()),
        Ok(_) => Err(denied("polkit does not authorise it".into())),
        Err(e) => Err(denied(format!("polkit cannot be asked: {e}"))),
    }
}
