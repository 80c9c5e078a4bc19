//! The last argument of every mutating method: known keys are taken out, what remains is an error.

use std::collections::HashMap;

use zbus::OwnedVariant;

use super::error::BusError;

/// Options of one call.
pub(super) struct Options(HashMap<String, OwnedVariant>);

impl Options {
    pub(super) fn new(given: HashMap<String, OwnedVariant>) -> Self {
        Self(given)
    }

    /// Takes an option out. One of another type is an error.
    pub(super) fn take<T: TryFrom<OwnedVariant>>(&mut self, key: &str, type_name: &str) -> Result<Option<T>, BusError> {
        let Some(value) = self.0.remove(key) else { return Ok(None) };
        let wrong = |_| BusError::invalid(format!("option {key} must be of type {type_name}"));
        T::try_from(value).map(Some).map_err(wrong)
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<bool, BusError> {
        Ok(self.take::<bool>(key, "b")?.unwrap_or(false))
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), BusError> {
        let mut keys: Vec<&String> = self.0.keys().collect();
        keys.sort();
        match keys.as_slice() {
            [] => Ok(()),
            [key] => Err(BusError::invalid(format!("there is no option {key}"))),
            keys => {
                let keys: Vec<&str> = keys.iter().map(|k| k.as_str()).collect();
                Err(BusError::invalid(format!("there are no options {}", keys.join(", "))))
            }
        }
    }
}
