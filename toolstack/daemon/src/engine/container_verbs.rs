//! What may be asked of a container in which state: a pure function. That its pod runs has been seen to already.
//!
//! ```text
//!   created --start--> running --ends--> exited --start--> running
//!                         |                 ^
//!                         +--ends, policy--> waiting --policy, start--> running
//! ```

use xenpod_api::spec::Role;
use xenpod_api::state::ContainerState;

use super::transition::Verdict;

/// What can be asked of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerVerb {
    /// Run its command.
    Start,
    /// Stop signal, grace, kill.
    Stop,
    /// Send it a signal.
    Kill,
    /// Remove it, when it does not run.
    Remove,
    /// Remove it, whatever it does.
    ForceRemove,
}

impl ContainerVerb {
    /// As a person says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "signal",
            Self::Remove => "remove",
            Self::ForceRemove => "remove by force",
        }
    }
}

/// Judges `verb` in `state`.
///
/// # Errors
/// What to do instead, with its separator, or empty.
pub fn judge(verb: ContainerVerb, state: ContainerState, role: Role) -> Result<Verdict, &'static str> {
    use ContainerState as S;
    use ContainerVerb as V;
    match (verb, state) {
        (V::Start, _) if role == Role::Init => Err(": the start of the pod runs it"),
        (V::Start, S::Created | S::Exited | S::Waiting) => Ok(Verdict::Do),
        (V::Start, S::Running) => Ok(Verdict::Already),

        (V::Stop, S::Running | S::Waiting) => Ok(Verdict::Do),
        (V::Stop, S::Created | S::Exited) => Ok(Verdict::Already),

        (V::Kill, S::Running) => Ok(Verdict::Do),
        (V::Kill, S::Created) => Err(": start it first"),
        (V::Kill, _) => Err(""),

        (V::Remove, S::Created | S::Exited) | (V::ForceRemove, _) => Ok(Verdict::Do),
        (V::Remove, S::Running | S::Waiting) => Err(": stop it first, or remove it by force"),
    }
}

#[cfg(test)]
#[path = "container_verbs_tests.rs"]
mod tests;
