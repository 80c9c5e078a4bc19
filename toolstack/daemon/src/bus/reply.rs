//! An answer, encoded where its type is known and sent elsewhere.

use serde::Serialize;
use zbus::message::Header;
use zbus::{Connection, DynamicType, Message};

use super::error::BusError;

/// Builds the message once the call that it answers is at hand.
type Build = Box<dyn FnOnce(&Header<'_>) -> zbus::Result<Message> + Send>;

/// An answer to a call.
pub(super) struct Reply(Build);

impl Reply {
    /// An answer with this body, encoded when it is sent.
    pub(super) fn with<B: Serialize + DynamicType + Send + 'static>(body: B) -> Result<Self, BusError> {
        Ok(Self(Box::new(move |call| Message::method_return(call).build(&body))))
    }

    /// An answer with a body that is cheap to copy.
    pub(super) fn of<B: Serialize + DynamicType + ToOwned + ?Sized>(body: &B) -> Result<Self, BusError>
    where
        B::Owned: Serialize + DynamicType + Send + 'static,
    {
        Self::with(body.to_owned())
    }

    /// Sends it, unless the caller said that it wants no answer.
    pub(super) async fn send(self, bus: &Connection, call: &Header<'_>) -> zbus::Result<()> {
        if call.primary().flags().contains(zbus::message::Flags::NO_REPLY_EXPECTED) {
            return Ok(());
        }
        bus.send(&(self.0)(call)?).await
    }
}
