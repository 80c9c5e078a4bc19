//! Who may read and write a node.
//!
//! A node has an owner, who may do everything, an access for everybody else, and a list of exceptions. dom0 may always do
//! everything. **A new node takes its parent's permissions** (C xenstored `construct_node`, oxenstored `path_mkdir` and
//! `path_write`; a guest becomes the owner of what it makes), so a directory's permissions are set once, before anything
//! is written below it.

use std::fmt;
use std::str::FromStr;

use crate::ids::Domid;

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nothing.
    None,
    /// Read it and list its children.
    Read,
    /// Change it. Rarely of use without reading.
    Write,
    /// Both.
    Both,
}

impl Access {
    fn letter(self) -> char {
        match self {
            Access::None => 'n',
            Access::Read => 'r',
            Access::Write => 'w',
            Access::Both => 'b',
        }
    }

    /// Whether it includes reading.
    pub fn may_read(self) -> bool {
        matches!(self, Access::Read | Access::Both)
    }

    /// Whether it includes writing.
    pub fn may_write(self) -> bool {
        matches!(self, Access::Write | Access::Both)
    }
}

/// The permissions of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Perms {
    /// Who owns the node.
    pub owner: Domid,
    /// What domains may do that are neither the owner nor in `others`.
    pub everybody: Access,
    /// Exceptions, one domain each.
    pub others: Vec<(Domid, Access)>,
}

impl Perms {
    /// `nN`: the domain's own, nobody else's (but dom0's).
    pub fn owned_by(domid: Domid) -> Perms {
        Perms { owner: domid, everybody: Access::None, others: Vec::new() }
    }

    /// `n0,rN`: ours, and the domain may read it.
    pub fn readable_by(domid: Domid) -> Perms {
        Perms { owner: Domid::DOM0, everybody: Access::None, others: vec![(domid, Access::Read)] }
    }

    /// What `domid` may do with a node of these permissions.
    pub fn access(&self, domid: Domid) -> Access {
        if domid == Domid::DOM0 || domid == self.owner {
            return Access::Both;
        }
        self.others.iter().find(|(other, _)| *other == domid).map_or(self.everybody, |(_, access)| *access)
    }

    /// As SET_PERMS carries them: one string per entry, each closed by a NUL.
    pub fn to_wire(&self) -> Vec<u8> {
        self.entries().flat_map(|(domid, access)| format!("{}{domid}\0", access.letter()).into_bytes()).collect()
    }

    /// What GET_PERMS answered.
    ///
    /// # Errors
    /// The entry that is not a letter of `nrwb` and a domain number, or an empty list.
    pub fn from_wire(payload: &[u8]) -> Result<Perms, ParsePermsError> {
        Self::from_entries(super::wire::strings(payload).iter().map(String::as_str))
    }

    fn entries(&self) -> impl Iterator<Item = (Domid, Access)> + '_ {
        std::iter::once((self.owner, self.everybody)).chain(self.others.iter().copied())
    }

    fn from_entries<'a>(entries: impl Iterator<Item = &'a str>) -> Result<Perms, ParsePermsError> {
        let mut parsed = entries.map(|entry| {
            let error = || ParsePermsError(entry.chars().take(32).collect());
            let access = match entry.chars().next() {
                Some('n') => Access::None,
                Some('r') => Access::Read,
                Some('w') => Access::Write,
                Some('b') => Access::Both,
                _ => return Err(error()),
            };
            // Not through Domid's own parser: a daemon may name reserved ids, and what it says is what is there.
            entry[1..].parse().map(|domid| (Domid(domid), access)).map_err(|_| error())
        });
        let (owner, everybody) = parsed.next().unwrap_or_else(|| Err(ParsePermsError(String::new())))?;
        Ok(Perms { owner, everybody, others: parsed.collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Perms {
    /// `n0,r5`, as `xenstore-ls -p` shows them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (domid, access)) in self.entries().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}{domid}", access.letter())?;
        }
        Ok(())
    }
}

impl FromStr for Perms {
    type Err = ParsePermsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_entries(text.split(','))
    }
}

/// A text that is no list of permissions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no permission (a letter of n, r, w, b and a domain number)")]
pub struct ParsePermsError(String);

#[cfg(test)]
#[path = "perms_tests.rs"]
mod tests;
