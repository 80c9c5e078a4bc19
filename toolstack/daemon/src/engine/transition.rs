//! What may be asked of a pod in which state: a pure function.
//!
//! ```text
//!              start          guest up           stop
//! creating -> created -> starting -> running <-> paused
//!     |          |           |          |          |
//!     v          v           v          v          v
//!   failed    stopping  ->  stopped  (or failed)  --start--> creating
//! ```
//!
//! A refusal is not a failure: nothing was done, and the pod is what it was.

use xenpod_api::state::PodState;

/// What can be asked of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Boot it and start its containers.
    Start,
    /// End its containers and its domain.
    Stop,
    /// Stop its vCPUs.
    Pause,
    /// Let them go on.
    Resume,
    /// Remove it, when it has no domain.
    Remove,
    /// Remove it, whatever it does.
    ForceRemove,
    /// Run a command in a container.
    Exec,
    /// Make, start, remove or rename a container.
    Container,
    /// End a container, or send it a signal.
    EndContainer,
    /// Reach a container's own streams.
    Attach,
    /// Connect to a port.
    Forward,
    /// Give it, or a container of it, another size.
    Resize,
    /// Change its name, its labels, its annotations.
    Describe,
}

impl Verb {
    /// Every verb.
    pub const ALL: &[Self] = &[
        Self::Start,
        Self::Stop,
        Self::Pause,
        Self::Resume,
        Self::Remove,
        Self::ForceRemove,
        Self::Exec,
        Self::Container,
        Self::EndContainer,
        Self::Attach,
        Self::Forward,
        Self::Resize,
        Self::Describe,
    ];

    /// As a person says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Remove => "remove",
            Self::ForceRemove => "remove by force",
            Self::Exec => "execute a command in",
            Self::Container => "change the containers of",
            Self::EndContainer => "end a container of",
            Self::Attach => "attach to",
            Self::Forward => "forward a port of",
            Self::Resize => "resize",
            Self::Describe => "change what is said of",
        }
    }
}

/// What is to be done about an allowed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Do it.
    Do,
    /// It is so already: success, nothing to do.
    Already,
    /// Cancel the work in progress, then do it.
    Interrupt,
}

/// The request does not fit the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pod {pod}: cannot {} it while it is {state}{hint}", verb.as_str())]
pub struct Refusal {
    /// The pod's name.
    pub pod: String,
    /// What was asked.
    pub verb: Verb,
    /// The state it does not fit.
    pub state: PodState,
    /// What to do instead, with its separator; or empty.
    pub hint: &'static str,
}

/// Judges `verb` in `state`.
///
/// # Errors
/// A [`Refusal`], when the two do not fit.
pub fn judge(pod: &str, verb: Verb, state: PodState) -> Result<Verdict, Refusal> {
    use PodState as S;
    use Verb as V;
    let verdict = match (verb, state) {
        (V::Start, S::Created | S::Stopped | S::Failed) => Verdict::Do,
        (V::Start, S::Starting | S::Running) => Verdict::Already,

        (V::Stop, S::Created | S::Running | S::Paused) => Verdict::Do,
        (V::Stop, S::Creating | S::Starting) => Verdict::Interrupt,
        (V::Stop, S::Stopping | S::Stopped | S::Failed) => Verdict::Already,

        (V::Pause, S::Running) => Verdict::Do,
        (V::Pause, S::Paused) => Verdict::Already,
        (V::Resume, S::Paused) => Verdict::Do,
        (V::Resume, S::Running) => Verdict::Already,

        (V::Remove, S::Created | S::Stopped | S::Failed) => Verdict::Do,
        (V::ForceRemove, S::Created | S::Running | S::Paused | S::Stopped | S::Failed) => Verdict::Do,
        (V::ForceRemove, S::Creating | S::Starting | S::Stopping) => Verdict::Interrupt,

        (V::Resize, S::Running | S::Stopped | S::Failed) => Verdict::Do,
        (V::Describe, S::Created | S::Starting | S::Running | S::Paused | S::Stopped | S::Failed) => Verdict::Do,

        (V::Exec | V::EndContainer, S::Starting | S::Running) | (V::Container | V::Attach | V::Forward, S::Running) => {
            Verdict::Do
        }
        _ => {
            let hint = match (verb, state) {
                (V::Remove, S::Running | S::Paused) => ": stop it first, or remove it by force",
                (
                    V::Exec | V::Attach | V::Forward | V::Start | V::Container | V::EndContainer | V::Resize,
                    S::Paused,
                ) => ": resume it first",
                (
                    V::Exec | V::Attach | V::Forward | V::Container | V::EndContainer,
                    S::Created | S::Stopped | S::Failed,
                ) => ": start it first",
                (V::Resize, S::Created) => ": start it first",
                (_, S::Creating | S::Starting | S::Stopping) => ": wait for its job to end",
                _ => "",
            };
            return Err(Refusal { pod: pod.into(), verb, state, hint });
        }
    };
    Ok(verdict)
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;
