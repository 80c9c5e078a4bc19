//! One change of the store, as a value.

use super::error::Result;
use super::path;
use super::perms::Perms;
use super::wire::{self, Kind};

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Gives a node a value; it and its missing parents are made.
    Write {
        /// The node.
        path: String,
        /// Its value: any bytes.
        value: Vec<u8>,
    },
    /// Makes a node with an empty value, and its missing parents; leaves one that is there alone.
    Mkdir {
        /// The node.
        path: String,
    },
    /// Sets the permissions of one node; those below it keep theirs.
    SetPerms {
        /// The node.
        path: String,
        /// Its new permissions.
        perms: Perms,
    },
    /// Removes a node and everything below it. One that is not there is no error.
    Rm {
        /// The node.
        path: String,
    },
}

impl Op {
    /// Gives `path` a value.
    pub fn write(path: impl Into<String>, value: impl ToString) -> Op {
        Op::Write { path: path.into(), value: value.to_string().into_bytes() }
    }

    /// Makes `path`.
    pub fn mkdir(path: impl Into<String>) -> Op {
        Op::Mkdir { path: path.into() }
    }

    /// Sets the permissions of `path`.
    pub fn set_perms(path: impl Into<String>, perms: Perms) -> Op {
        Op::SetPerms { path: path.into(), perms }
    }

    /// Removes `path`.
    pub fn rm(path: impl Into<String>) -> Op {
        Op::Rm { path: path.into() }
    }

    /// The node it changes.
    pub fn path(&self) -> &str {
        match self {
            Op::Write { path, .. } | Op::Mkdir { path } | Op::SetPerms { path, .. } | Op::Rm { path } => path,
        }
    }

    /// The type of its message.
    pub fn kind(&self) -> Kind {
        match self {
            Op::Write { .. } => Kind::Write,
            Op::Mkdir { .. } => Kind::Mkdir,
            Op::SetPerms { .. } => Kind::SetPerms,
            Op::Rm { .. } => Kind::Rm,
        }
    }

    /// Appends its message to `out`.
    ///
    /// # Errors
    /// A path that is none, or more than a message holds; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>, request: u32, transaction: u32) -> Result<()> {
        path::check(self.path())?;
        let node = self.path().as_bytes();
        match self {
            // No NUL after a value: it would become a part of it.
            Op::Write { value, .. } => wire::encode(out, self.kind(), request, transaction, &[node, b"\0", value]),
            Op::Mkdir { .. } | Op::Rm { .. } => wire::encode(out, self.kind(), request, transaction, &[node, b"\0"]),
            Op::SetPerms { perms, .. } => {
                wire::encode(out, self.kind(), request, transaction, &[node, b"\0", &perms.to_wire()])
            }
        }
    }
}
