//! The ways in which the test registry misbehaves.

/// A misdeed, where, and how often.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Requests whose path contains this.
    pub path: String,
    /// How many of them; `None` for all.
    pub times: Option<u32>,
    /// What is done to them.
    pub misdeed: Misdeed,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Misdeed {
    /// Only the first bytes, as if that were all.
    Truncate(usize),
    /// So many bytes more.
    Append(usize),
    /// One byte, at this offset, is another.
    Corrupt(usize),
    /// The connection breaks after so many bytes of the body.
    Drop(usize),
    /// The whole is sent whatever part was asked for, and the connection breaks after so many bytes.
    IgnoreRange(usize),
    /// This status, and a `Retry-After` in seconds.
    Status(u16, Option<u32>),
    /// A redirection.
    Redirect(String),
    /// A bearer token is wanted; `/token` gives it.
    Token,
    /// A password is wanted.
    Basic,
    /// No answer ever.
    Hang,
}

/// The first fault that applies, used up once.
pub(super) fn take(faults: &mut Vec<Fault>, path: &str) -> Option<Misdeed> {
    let fault = faults.iter_mut().find(|f| path.contains(&f.path) && f.times != Some(0))?;
    if let Some(times) = &mut fault.times {
        *times -= 1;
    }
    let misdeed = fault.misdeed.clone();
    faults.retain(|f| f.times != Some(0));
    Some(misdeed)
}
