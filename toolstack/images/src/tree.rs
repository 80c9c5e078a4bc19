//! The image's files as one tree in memory: what all layers together amount to.
//!
//! An arena of [`Inode`]s; directories hold names, several names may share an inode (hard links). Contents are not here
//! but in the layers' spools. Neighbours: [`apply`] merges a layer in, [`path`] judges names, [`crate::erofs`] writes
//! the result.

pub mod apply;
mod path;

use std::collections::BTreeMap;

use crate::layer::tar::Content;

/// Index into the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(u32);

/// A file of any type.
#[derive(Debug)]
pub struct Inode {
    /// 12 permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Full names and values, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it is.
    pub node: Node,
}

/// What an inode is.
#[derive(Debug)]
pub enum Node {
    /// Names in byte order.
    Dir(BTreeMap<Box<[u8]>, InodeId>),
    /// Contents, and in which layer's spool.
    File {
        /// Index of the layer, lowest first.
        layer: u32,
        /// Where in the spool.
        content: Content,
    },
    /// Target.
    Symlink(Box<[u8]>),
    /// Character device: major, minor.
    Char(u32, u32),
    /// Block device: major, minor.
    Block(u32, u32),
    /// Named pipe.
    Fifo,
}

/// The tree. Inodes that no name leads to any more stay in the arena until the end; nothing reads them.
#[derive(Debug)]
pub struct Tree {
    inodes: Vec<Inode>,
    /// Bytes of names, targets and attributes taken in, also of what was replaced later.
    metadata: u64,
    /// Entries taken in.
    entries: u64,
}

impl Tree {
    /// The root, always there.
    pub const ROOT: InodeId = InodeId(0);

    /// An image without layers: an empty root directory.
    pub fn new() -> Self {
        Self { inodes: vec![Inode::implicit_dir()], metadata: 0, entries: 0 }
    }

    /// The inode of that id.
    pub fn get(&self, id: InodeId) -> &Inode {
        &self.inodes[id.0 as usize]
    }

    /// Length of the arena: every [`InodeId`]'s index is below it.
    pub fn arena_len(&self) -> usize {
        self.inodes.len()
    }

    fn get_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id.0 as usize]
    }

    fn add(&mut self, inode: Inode) -> InodeId {
        // `Limits::max_entries` and `max_path_depth` keep this far below 2^32; saturate rather than wrap.
        let id = InodeId(u32::try_from(self.inodes.len()).unwrap_or(u32::MAX));
        self.inodes.push(inode);
        id
    }

    /// The names of a directory; nothing for anything else.
    pub fn names(&self, id: InodeId) -> impl Iterator<Item = (&[u8], InodeId)> {
        let names = match &self.get(id).node {
            Node::Dir(names) => Some(names),
            _ => None,
        };
        names.into_iter().flatten().map(|(name, &id)| (&**name, id))
    }

    fn lookup(&self, dir: InodeId, name: &[u8]) -> Option<InodeId> {
        match &self.get(dir).node {
            Node::Dir(names) => names.get(name).copied(),
            _ => None,
        }
    }

    fn link(&mut self, dir: InodeId, name: &[u8], inode: InodeId) {
        if let Node::Dir(names) = &mut self.get_mut(dir).node {
            names.insert(name.into(), inode);
        }
    }

    fn unlink(&mut self, dir: InodeId, name: &[u8]) {
        if let Node::Dir(names) = &mut self.get_mut(dir).node {
            names.remove(name);
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl InodeId {
    /// Position in the arena.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Inode {
    /// A directory that no layer describes but something lies in. The time is fixed: the image must not depend on when
    /// it was built.
    fn implicit_dir() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime: (0, 0), xattrs: Vec::new(), node: Node::Dir(BTreeMap::new()) }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.node, Node::Dir(_))
    }
}
