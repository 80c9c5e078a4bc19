//! polkit: asked after the arguments have been checked and before anything is done.

use std::collections::HashMap;

use xenpod_api::error::ErrorName;
use zbus::message::Header;
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use super::Service;
use super::caller::Caller;
use super::error::BusError;

/// An action of the policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    ManagePods,
    EnterPods,
    ManageImages,
}

impl Action {
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::ManagePods => "org.xenpod1.manage-pods",
            Self::EnterPods => "org.xenpod1.enter-pods",
            Self::ManageImages => "org.xenpod1.manage-images",
        }
    }
}

/// Whether the caller may do `verb` to `object` (a pod's or an image's name). Root may, with or without polkit.
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
    let owner = format!("uid:{}", caller.uid);
    let key = if action == Action::ManageImages { "image" } else { "pod" };
    let details = HashMap::from([(key, object), ("owner", owner.as_str()), ("verb", verb)]);
    let asked = async {
        let authority = AuthorityProxy::new(&service.bus).await?;
        let subject = Subject::new_for_message_header(header).map_err(|e| zbus::Error::Failure(e.to_string()))?;
        authority.check_authorization(&subject, action.id(), &details, CheckAuthorizationFlags::empty(), "").await
    };
    match asked.await {
        Ok(result) if result.is_authorized => Ok(()),
        Ok(_) => Err(denied("polkit does not authorise it".into())),
        Err(e) => Err(denied(format!("polkit cannot be asked: {e}"))),
    }
}
