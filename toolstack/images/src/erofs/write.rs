//! Streaming the planned image out, front to back.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::format::{
    BLOCK, CHECKSUM_OFFSET, DIRENT, InodeHeader, SUPER_OFFSET, Super, append_xattrs, checksum, device, xattr_count,
};
use super::plan::{Place, Plan, dir_blocks, dirents};
use crate::error::ErrorKind;
use crate::layer::Spool;
use crate::layer::tar::Content;
use crate::progress::Cancel;
use crate::tree::{InodeId, Node, Tree};

const CHUNK: usize = 1 << 20;

pub(super) fn write(
    tree: &Tree,
    plan: &Plan,
    spools: &[Spool],
    uuid: [u8; 16],
    file: &File,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, ErrorKind> {
    let len = u64::from(plan.blocks) * BLOCK;
    let mut out = Out { file, buf: Vec::with_capacity(CHUNK), at: 0, len, cancel, progress };
    let root_nid = plan.place(Tree::ROOT).nid();
    let sb = Super {
        // The root is the first inode, right behind the superblock.
        root_nid: root_nid as u16,
        inodes: plan.order.len() as u64,
        build_time: plan.build_time,
        blocks: plan.blocks,
        uuid,
    };
    out.seek(SUPER_OFFSET)?;
    out.put(&sb.bytes())?;
    let mut scratch = Vec::new();
    for (ino, &id) in plan.order.iter().enumerate() {
        let place = plan.place(id);
        out.seek(place.at)?;
        scratch.clear();
        header(tree, place, id, ino).append(&mut scratch);
        append_xattrs(&tree.get(id).xattrs, &mut scratch);
        out.put(&scratch)?;
        if place.inline() > 0 {
            data(tree, plan, id, place.size - place.inline()..place.size, spools, &mut out)?;
        }
    }
    for dirs in [true, false] {
        for &id in plan.order.iter().filter(|&&id| tree.get(id).is_dir() == dirs) {
            let place = plan.place(id);
            if place.size > place.inline() {
                out.seek(u64::from(place.block) * BLOCK)?;
                data(tree, plan, id, 0..place.size - place.inline(), spools, &mut out)?;
            }
        }
    }
    out.flush()?;
    file.set_len(len).map_err(Out::failed)?;
    let mut block = [0; (BLOCK - SUPER_OFFSET) as usize];
    file.read_exact_at(&mut block, SUPER_OFFSET).map_err(Out::failed)?;
    file.write_all_at(&checksum(&block).to_le_bytes(), SUPER_OFFSET + CHECKSUM_OFFSET).map_err(Out::failed)?;
    (out.progress)(len, len);
    Ok(len)
}

fn header(tree: &Tree, place: &Place, id: InodeId, ino: usize) -> InodeHeader {
    let inode = tree.get(id);
    // <linux/stat.h>
    let (kind, union) = match inode.node {
        Node::Dir(_) => (0o040_000, place.block),
        Node::File { .. } => (0o100_000, place.block),
        Node::Symlink(_) => (0o120_000, place.block),
        Node::Char(major, minor) => (0o020_000, device(major, minor)),
        Node::Block(major, minor) => (0o060_000, device(major, minor)),
        Node::Fifo => (0o010_000, 0),
    };
    InodeHeader {
        extended: place.extended,
        layout: place.layout,
        xattr_count: xattr_count(place.xattr_size).unwrap_or(0),
        mode: kind | inode.mode,
        size: place.size,
        union,
        // For 32-bit stat only; from 1.
        ino: ino as u32 + 1,
        uid: inode.uid,
        gid: inode.gid,
        mtime: inode.mtime,
        nlink: place.nlink,
    }
}

/// Writes a range of an inode's data at the current place.
fn data(
    tree: &Tree,
    plan: &Plan,
    id: InodeId,
    range: std::ops::Range<u64>,
    spools: &[Spool],
    out: &mut Out<'_>,
) -> Result<(), ErrorKind> {
    match &tree.get(id).node {
        Node::Dir(_) => {
            let names = dirents(tree, plan, id);
            let mut block = Vec::with_capacity(BLOCK as usize);
            let first = (range.start / BLOCK) as usize;
            let count = (range.end - range.start).div_ceil(BLOCK) as usize;
            let start = out.at;
            for (i, names) in dir_blocks(&names).skip(first).take(count).enumerate() {
                block.clear();
                dir_block(tree, plan, names, &mut block);
                out.seek(start + i as u64 * BLOCK)?;
                out.put(&block)?;
            }
            Ok(())
        }
        Node::Symlink(target) => out.put(&target[range.start as usize..range.end as usize]),
        Node::File { layer, content } => contents(content, range, &spools[*layer as usize], out),
        Node::Char(..) | Node::Block(..) | Node::Fifo => Ok(()),
    }
}

/// `struct erofs_dirent` for each name, then the names.
fn dir_block(tree: &Tree, plan: &Plan, names: &[(&[u8], InodeId)], block: &mut Vec<u8>) {
    let mut name_at = names.len() * DIRENT;
    for &(name, id) in names {
        // `FT_*` of <linux/fs_types.h>.
        let kind = match tree.get(id).node {
            Node::File { .. } => 1,
            Node::Dir(_) => 2,
            Node::Char(..) => 3,
            Node::Block(..) => 4,
            Node::Fifo => 5,
            Node::Symlink(_) => 7,
        };
        block.extend_from_slice(&plan.place(id).nid().to_le_bytes());
        block.extend_from_slice(&(name_at as u16).to_le_bytes());
        block.extend_from_slice(&[kind, 0]);
        name_at += name.len();
    }
    for (name, _) in names {
        block.extend_from_slice(name);
    }
}

/// Copies a range of a file from its spool; holes are skipped over and stay holes.
fn contents(content: &Content, range: std::ops::Range<u64>, spool: &Spool, out: &mut Out<'_>) -> Result<(), ErrorKind> {
    let start = out.at;
    for extent in &content.extents {
        let from = extent.at.max(range.start);
        let to = (extent.at + extent.len).min(range.end);
        if from < to {
            out.seek(start + (from - range.start))?;
            out.copy(&spool.file, extent.spool + (from - extent.at), to - from)?;
        }
    }
    out.seek(start + (range.end - range.start))
}

/// A buffered writer that leaves holes where it is told to seek.
struct Out<'a> {
    file: &'a File,
    /// What precedes `at` and is not yet written.
    buf: Vec<u8>,
    at: u64,
    len: u64,
    cancel: &'a Cancel,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Out<'_> {
    fn failed(e: std::io::Error) -> ErrorKind {
        ErrorKind::store("write", "the filesystem image", e)
    }

    /// Goes on at `to`, at or behind the current place.
    fn seek(&mut self, to: u64) -> Result<(), ErrorKind> {
        let gap = to.saturating_sub(self.at);
        // Short gaps are padding: cheaper to write.
        if gap as usize <= BLOCK as usize && gap > 0 && !self.buf.is_empty() {
            self.buf.resize(self.buf.len() + gap as usize, 0);
        } else if gap > 0 {
            self.flush()?;
        }
        self.at += gap;
        if self.buf.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ErrorKind> {
        self.buf.extend_from_slice(bytes);
        self.at += bytes.len() as u64;
        if self.buf.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn copy(&mut self, from: &File, mut at: u64, mut len: u64) -> Result<(), ErrorKind> {
        while len > 0 {
            let n = (CHUNK - self.buf.len()).min(usize::try_from(len).unwrap_or(CHUNK));
            let old = self.buf.len();
            self.buf.resize(old + n, 0);
            from.read_exact_at(&mut self.buf[old..], at)
                .map_err(|e| ErrorKind::store("read back", "a spool file", e))?;
            self.at += n as u64;
            at += n as u64;
            len -= n as u64;
            if self.buf.len() >= CHUNK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.cancel.check()?;
        if !self.buf.is_empty() {
            let start = self.at - self.buf.len() as u64;
            self.file.write_all_at(&self.buf, start).map_err(Self::failed)?;
            self.buf.clear();
            if self.at < self.len {
                (self.progress)(self.at, self.len);
            }
        }
        Ok(())
    }
}
