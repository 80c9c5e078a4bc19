//! What goes wrong, and when.

use std::time::Duration;

use crate::xenstore::error::Code;
use crate::xenstore::path;
use crate::xenstore::wire::Kind;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is answered with this error and not carried out.
    Refuse(Code),
    /// Its connection breaks before it is carried out.
    Disconnect,
    /// It is carried out, and its connection breaks before the answer.
    DisconnectAfter,
    /// It is carried out after this long, and so is all that follows on its connection.
    Delay(Duration),
    /// It is neither carried out nor answered.
    Ignore,
}

/// A planned fault. Without a condition it strikes the next request.
#[derive(Clone, Debug)]
pub struct Fault {
    act: Act,
    kind: Option<Kind>,
    within: Option<String>,
    skip: u64,
    times: u64,
}

impl Fault {
    /// This, once, to the next request that meets the conditions.
    pub fn new(act: Act) -> Fault {
        Fault { act, kind: None, within: None, skip: 0, times: 1 }
    }

    /// Refuses with an error by its name on the wire.
    pub fn refuse(name: &str) -> Fault {
        Fault::new(Act::Refuse(Code::from_name(name)))
    }

    /// Commits fail as if others had been faster, this many times.
    pub fn again(times: u64) -> Fault {
        Fault::refuse("EAGAIN").on(Kind::TransactionEnd).times(times)
    }

    /// Only to requests of this type.
    #[must_use]
    pub fn on(mut self, kind: Kind) -> Fault {
        self.kind = Some(kind);
        self
    }

    /// Only to requests about this node or one below it.
    #[must_use]
    pub fn within(mut self, path: &str) -> Fault {
        self.within = Some(path.to_owned());
        self
    }

    /// Lets this many requests that meet the conditions pass before.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Fault {
        self.skip = skip;
        self
    }

    /// Strikes this often.
    #[must_use]
    pub fn times(mut self, times: u64) -> Fault {
        self.times = times;
        self
    }

    /// What this fault does to a request, if anything; counts it.
    pub(super) fn strikes(&mut self, kind: Kind, path: &str) -> Option<Act> {
        if self.kind.is_some_and(|wanted| wanted != kind) {
            return None;
        }
        if self.within.as_ref().is_some_and(|root| !path::is_within(path, root)) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.checked_sub(1)?;
        Some(self.act.clone())
    }
}
