//! Errors as they go out: a name and a text.

use xenpod_api::error::ErrorName;

use crate::engine::Failure;

/// An error reply.
#[derive(Debug)]
pub(super) struct BusError {
    /// Its D-Bus name.
    pub(super) name: &'static str,
    /// What a person reads.
    pub(super) message: String,
}

impl BusError {
    pub(super) fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self { name: name.as_str(), message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorName::InvalidArgs, message)
    }

    pub(super) fn unknown_object(path: &str) -> Self {
        Self::new(ErrorName::UnknownObject, format!("there is no object {path}, or not for you"))
    }

    pub(super) fn unknown_interface(interface: &str, path: &str) -> Self {
        let message = format!("object {path} has no interface {interface}");
        Self { name: "org.freedesktop.DBus.Error.UnknownInterface", message }
    }

    pub(super) fn unknown_method(interface: &str, member: &str) -> Self {
        let message = format!("interface {interface} has no method {member}");
        Self { name: "org.freedesktop.DBus.Error.UnknownMethod", message }
    }

    pub(super) fn unknown_property(interface: &str, name: &str) -> Self {
        let message = format!("interface {interface} has no property {name}");
        Self { name: "org.freedesktop.DBus.Error.UnknownProperty", message }
    }
}

impl From<Failure> for BusError {
    fn from(failure: Failure) -> Self {
        Self { name: failure.name().as_str(), message: failure.to_string() }
    }
}

/// A body that does not fit, or a value that cannot be put on the wire.
impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Self::invalid(error.to_string())
    }
}
