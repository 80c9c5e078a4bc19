//! Where everything goes: numbers, sizes and addresses, before the first byte is written.

use std::collections::HashMap;

use super::format::{BLOCK, DIRENT, Layout, SLOT, SUPER_OFFSET, SUPER_SIZE, xattr_count, xattr_size};
use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::tree::{InodeId, Node, Tree};

/// Tails of files up to this many bytes go behind their inode and save a block; longer ones would only spread the
/// inodes, and every walk of the tree reads those.
const FILE_TAIL_MAX: u64 = 1024;

/// An inode's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Byte offset of the inode; a multiple of [`SLOT`].
    pub at: u64,
    pub extended: bool,
    pub layout: Layout,
    pub xattr_size: u64,
    /// Bytes of data: of the directory, the target, the file.
    pub size: u64,
    /// First block of the data that is not inline.
    pub block: u32,
    pub nlink: u32,
    /// For directories: the inode above.
    pub parent: InodeId,
}

impl Place {
    const UNSET: Self = Self {
        at: 0,
        extended: false,
        layout: Layout::Plain,
        xattr_size: 0,
        size: 0,
        block: 0,
        nlink: 0,
        parent: Tree::ROOT,
    };

    /// `nid` on disk.
    pub fn nid(&self) -> u64 {
        self.at / SLOT
    }

    /// Bytes of data that stand behind the inode.
    pub fn inline(&self) -> u64 {
        match self.layout {
            Layout::Inline => self.size % BLOCK,
            Layout::Plain => 0,
        }
    }

    fn header(&self) -> u64 {
        if self.extended { 64 } else { 32 }
    }
}

/// The whole layout.
#[derive(Debug)]
pub(super) struct Plan {
    /// Reachable inodes, in the order of their offsets.
    pub order: Vec<InodeId>,
    places: Vec<Option<Place>>,
    pub build_time: i64,
    pub blocks: u32,
}

impl Plan {
    pub fn new(tree: &Tree, object: &str, limits: &Limits) -> Result<Self, ErrorKind> {
        let mut plan = Self { order: Vec::new(), places: vec![None; tree.arena_len()], build_time: 0, blocks: 0 };
        plan.number(tree);
        plan.build_time = commonest_time(tree, &plan.order);
        let meta_end = plan.place_inodes(tree, object, limits)?;
        let total = plan.place_data(tree, meta_end);
        let too_large = || ErrorKind::TooLarge {
            object: object.to_owned(),
            what: "the size of all its files",
            limit: limits.max_image_bytes,
        };
        plan.blocks = total.filter(|&b| u64::from(b) * BLOCK <= limits.max_image_bytes).ok_or_else(too_large)?;
        Ok(plan)
    }

    /// The place of a reachable inode.
    pub fn place(&self, id: InodeId) -> &Place {
        self.places[id.index()].as_ref().unwrap_or(&Place::UNSET)
    }

    /// Finds what is reachable, counts links, and settles the order: a directory's children stand together, in the
    /// order of their names, so that listing it with attributes reads few blocks.
    fn number(&mut self, tree: &Tree) {
        let new = |nlink, parent| Place { nlink, parent, ..Place::UNSET };
        self.places[Tree::ROOT.index()] = Some(new(2, Tree::ROOT));
        self.order.push(Tree::ROOT);
        let mut todo = vec![Tree::ROOT];
        while let Some(dir) = todo.pop() {
            let first = todo.len();
            for (_, id) in tree.names(dir) {
                let is_dir = tree.get(id).is_dir();
                match &mut self.places[id.index()] {
                    Some(place) => place.nlink += 1,
                    slot => {
                        *slot = Some(new(if is_dir { 2 } else { 1 }, dir));
                        self.order.push(id);
                        if is_dir {
                            todo.push(id);
                        }
                    }
                }
                if is_dir && let Some(place) = &mut self.places[dir.index()] {
                    place.nlink += 1;
                }
            }
            todo[first..].reverse();
        }
    }

    /// Gives each inode its offset; returns where the metadata ends.
    fn place_inodes(&mut self, tree: &Tree, object: &str, limits: &Limits) -> Result<u64, ErrorKind> {
        let mut pos = SUPER_OFFSET + SUPER_SIZE;
        for &id in &self.order {
            let inode = tree.get(id);
            let Some(place) = &mut self.places[id.index()] else { continue };
            place.size = match &inode.node {
                Node::Dir(_) => dir_size(tree, id),
                Node::File { content, .. } => content.size,
                Node::Symlink(target) => target.len() as u64,
                Node::Char(..) | Node::Block(..) | Node::Fifo => 0,
            };
            place.extended = inode.mtime != (self.build_time, 0)
                || inode.uid > 0xffff
                || inode.gid > 0xffff
                || place.nlink > 0xffff
                || place.size > 0xffff_ffff;
            place.xattr_size = xattr_size(&inode.xattrs);
            if xattr_count(place.xattr_size).is_none() {
                let limit = limits.max_xattrs_bytes as u64;
                return Err(ErrorKind::TooLarge {
                    object: object.to_owned(),
                    what: "the size of a file's attributes",
                    limit,
                });
            }
            let head = place.header() + place.xattr_size;
            let tail = place.size % BLOCK;
            let wanted = match &inode.node {
                Node::Dir(_) | Node::Symlink(_) => BLOCK,
                _ => FILE_TAIL_MAX,
            };
            // Linux wants inode, attributes and tail of such an inode within one block (`erofs_fill_symlink`,
            // `erofs_map_blocks_flatmode`).
            let inline = tail > 0 && tail <= wanted && head + tail <= BLOCK;
            place.layout = if inline { Layout::Inline } else { Layout::Plain };
            pos = pos.next_multiple_of(SLOT);
            let unbroken = if inline { head + tail } else { place.header() };
            if pos % BLOCK + unbroken > BLOCK {
                pos = pos.next_multiple_of(BLOCK);
            }
            place.at = pos;
            pos += head + place.inline();
        }
        Ok(pos)
    }

    /// Gives blocks to directories, then to everything else; returns how many blocks there are, `None` if they do not
    /// fit the format's 32 bits.
    fn place_data(&mut self, tree: &Tree, meta_end: u64) -> Option<u32> {
        let mut next = meta_end.div_ceil(BLOCK);
        for dirs in [true, false] {
            for &id in &self.order {
                let Some(place) = &mut self.places[id.index()] else { continue };
                if tree.get(id).is_dir() != dirs {
                    continue;
                }
                let blocks = (place.size - place.inline()).div_ceil(BLOCK);
                if blocks > 0 {
                    place.block = u32::try_from(next).ok()?;
                }
                next = next.checked_add(blocks)?;
            }
        }
        u32::try_from(next).ok()
    }
}

/// Names of a directory with `.` and `..`, in the order they are stored: by their bytes.
pub(super) fn dirents<'a>(tree: &'a Tree, plan: &Plan, id: InodeId) -> Vec<(&'a [u8], InodeId)> {
    sorted(tree, id, plan.place(id).parent)
}

fn sorted(tree: &Tree, id: InodeId, parent: InodeId) -> Vec<(&[u8], InodeId)> {
    let mut names: Vec<(&[u8], InodeId)> = tree.names(id).collect();
    for (name, to) in [(&b"."[..], id), (&b".."[..], parent)] {
        let at = names.partition_point(|&(other, _)| other < name);
        names.insert(at, (name, to));
    }
    names
}

/// Splits sorted names into those of each block: entries and names of a block lie in it whole.
pub(super) fn dir_blocks<'a, T>(names: &'a [(&'a [u8], T)]) -> impl Iterator<Item = &'a [(&'a [u8], T)]> {
    let mut rest = names;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut used = 0;
        let fit = rest.iter().take_while(|(name, _)| {
            used += DIRENT + name.len();
            used <= BLOCK as usize
        });
        let (block, after) = rest.split_at(fit.count().max(1));
        rest = after;
        Some(block)
    })
}

/// Full blocks, and what is used of the last.
fn dir_size(tree: &Tree, id: InodeId) -> u64 {
    let names = sorted(tree, id, id);
    let (mut blocks, mut last) = (0u64, 0u64);
    for block in dir_blocks(&names) {
        blocks += 1;
        last = block.iter().map(|(name, _)| (DIRENT + name.len()) as u64).sum();
    }
    blocks.saturating_sub(1) * BLOCK + last
}

/// Compact inodes share the superblock's time, so the commonest is worth half an inode for each that has it. The
/// smaller wins a tie, for the image must not depend on the order of a hash map.
fn commonest_time(tree: &Tree, order: &[InodeId]) -> i64 {
    let mut counts: HashMap<i64, u32> = HashMap::new();
    for &id in order {
        if let (seconds, 0) = tree.get(id).mtime {
            *counts.entry(seconds).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|&(time, count)| (count, std::cmp::Reverse(time))).map_or(0, |(time, _)| time)
}
