//! Merging one layer into the tree (OCI image specification, "Image Layer Filesystem Changeset").
//!
//! Two passes over the layer's headers. Whiteouts hide what lower layers hold and nothing else, wherever in the layer
//! they stand, so they go first. Then entries, in order: a directory over a directory changes its attributes, anything
//! else replaces what had the name. The last entry of a name wins.

use crate::error::{ErrorKind, printable};
use crate::layer::Spool;
use crate::layer::tar::{Entry, Kind, Reader};
use crate::limits::Limits;
use crate::progress::Cancel;
use crate::tree::path::{Fault, Missing, components, walk};
use crate::tree::{Inode, InodeId, Node, Tree};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a name asks for.
enum Name<'a> {
    /// The root directory itself.
    Root,
    /// Hide this name of the directory.
    Whiteout(&'a [&'a [u8]], &'a [u8]),
    /// Hide everything in the directory.
    Opaque(&'a [&'a [u8]]),
    /// An entry of that name.
    Plain(&'a [&'a [u8]], &'a [u8]),
}

impl Tree {
    /// Merges `spool`, the layer of index `index`, over what is there.
    pub fn apply(&mut self, index: u32, spool: &Spool, limits: &Limits, cancel: &Cancel) -> Result<(), ErrorKind> {
        let mut layer = Layer { tree: self, index, name: &spool.name, limits };
        let mut reader = Reader::new(spool, limits);
        while let Some(entry) = reader.next_entry()? {
            cancel.check()?;
            layer.count(&entry)?;
            layer.hide(&entry)?;
        }
        let mut reader = Reader::new(spool, limits);
        while let Some(entry) = reader.next_entry()? {
            cancel.check()?;
            layer.place(entry)?;
        }
        Ok(())
    }
}

struct Layer<'a> {
    tree: &'a mut Tree,
    index: u32,
    name: &'a str,
    limits: &'a Limits,
}

impl Layer<'_> {
    fn count(&mut self, entry: &Entry) -> Result<(), ErrorKind> {
        let target = match &entry.kind {
            Kind::HardLink(target) | Kind::Symlink(target) => target.len(),
            Kind::File(content) => content.extents.len() * size_of::<crate::layer::tar::Extent>(),
            _ => 0,
        };
        let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.tree.entries += 1;
        self.tree.metadata += (entry.path.len() + target + xattrs) as u64;
        self.bound(self.tree.entries, self.limits.max_entries, "the number of entries of all layers")?;
        self.bound(self.tree.metadata, self.limits.max_metadata_bytes, "the size of all names and attributes")
    }

    fn bound(&self, value: u64, limit: u64, what: &'static str) -> Result<(), ErrorKind> {
        if value <= limit {
            return Ok(());
        }
        Err(ErrorKind::TooLarge { object: format!("layer {}", self.name), what, limit })
    }

    /// First pass: whiteouts. Symbolic links are not followed here: where a layer puts a directory in a link's place
    /// and makes it opaque, the link's target is not what is meant.
    fn hide(&mut self, entry: &Entry) -> Result<(), ErrorKind> {
        let parts = self.components(&entry.path)?;
        let (dir, name) = match self.classify(&entry.path, &parts)? {
            Name::Whiteout(dir, name) => (dir, Some(name)),
            Name::Opaque(dir) => (dir, None),
            Name::Root | Name::Plain(..) => return Ok(()),
        };
        let mut at = Tree::ROOT;
        for part in dir {
            match self.tree.lookup(at, part) {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
        match (name, &mut self.tree.get_mut(at).node) {
            (Some(name), _) => self.tree.unlink(at, name),
            (None, Node::Dir(names)) => names.clear(),
            (None, _) => {}
        }
        Ok(())
    }

    /// Second pass: everything else.
    fn place(&mut self, entry: Entry) -> Result<(), ErrorKind> {
        let path = entry.path.clone();
        let parts = self.components(&path)?;
        let (dir, name) = match self.classify(&path, &parts)? {
            Name::Root => return self.place_root(entry),
            Name::Plain(dir, name) => (dir, name),
            Name::Whiteout(dir, _) | Name::Opaque(dir) => {
                // Applied already; here only its way is judged, as for any other entry.
                let reached = walk(self.tree, dir, Missing::Stop).map_err(|fault| self.fault(&path, fault))?;
                let direct = dir.iter().try_fold(Tree::ROOT, |at, part| self.tree.lookup(at, part));
                if reached != direct {
                    return Err(self.bad(&path, "is a whiteout behind a symbolic link".to_owned()));
                }
                return Ok(());
            }
        };
        let dir =
            walk(self.tree, dir, Missing::Create).map_err(|fault| self.fault(&path, fault))?.unwrap_or(Tree::ROOT);
        let old = self.tree.lookup(dir, name);
        if let Kind::HardLink(target) = &entry.kind {
            let target = self.link_target(&path, target)?;
            self.tree.link(dir, name, target);
            return Ok(());
        }
        let inode = self.inode(entry)?;
        match old {
            Some(old) if inode.is_dir() && self.tree.get(old).is_dir() => self.tree.get_mut(old).adopt(inode),
            _ => {
                let id = self.tree.add(inode);
                self.tree.link(dir, name, id);
            }
        }
        Ok(())
    }

    fn place_root(&mut self, entry: Entry) -> Result<(), ErrorKind> {
        let path = entry.path.clone();
        let inode = self.inode(entry)?;
        if !inode.is_dir() {
            return Err(self.bad(&path, "is the root of the image, but not a directory".to_owned()));
        }
        self.tree.get_mut(Tree::ROOT).adopt(inode);
        Ok(())
    }

    /// The inode a hard link names. It must be there already, in this layer or a lower one.
    fn link_target(&mut self, path: &[u8], target: &[u8]) -> Result<InodeId, ErrorKind> {
        let shown = printable(target);
        let outside = |how: &str| ErrorKind::Escape {
            layer: self.name.to_owned(),
            entry: printable(path),
            how: format!("it is a hard link to \"{shown}\": {how}"),
        };
        let parts = components(target, self.limits.max_path_depth).map_err(|fault| match fault {
            Fault::Escape(how) => outside(&how),
            Fault::Bad(reason) => self.bad(path, format!("is a hard link to \"{shown}\", which {reason}")),
        })?;
        let Some((name, dir)) = parts.split_last() else {
            return Err(self.bad(path, format!("is a hard link to \"{shown}\", a directory")));
        };
        let dir = match walk(self.tree, dir, Missing::Stop) {
            Ok(dir) => dir,
            Err(Fault::Escape(how)) => return Err(outside(&how)),
            Err(Fault::Bad(reason)) => return Err(self.bad(path, format!("is a hard link to \"{shown}\": {reason}"))),
        };
        let Some(id) = dir.and_then(|dir| self.tree.lookup(dir, name)) else {
            return Err(self.bad(path, format!("is a hard link to \"{shown}\", which does not exist")));
        };
        if self.tree.get(id).is_dir() {
            return Err(self.bad(path, format!("is a hard link to \"{shown}\", a directory")));
        }
        Ok(id)
    }

    fn inode(&self, entry: Entry) -> Result<Inode, ErrorKind> {
        let Entry { path, mode, uid, gid, mtime, mut xattrs, kind } = entry;
        let node = match kind {
            Kind::Dir => Node::Dir(Default::default()),
            Kind::File(content) => Node::File { layer: self.index, content },
            Kind::Symlink(target) => Node::Symlink(target.into()),
            Kind::Char(major, minor) => Node::Char(major, minor),
            Kind::Block(major, minor) => Node::Block(major, minor),
            Kind::Fifo => Node::Fifo,
            Kind::HardLink(_) => return Err(self.bad(&path, "is a hard link without a target".to_owned())),
        };
        self.check_xattrs(&path, &xattrs)?;
        xattrs.sort();
        Ok(Inode { mode, uid, gid, mtime, xattrs, node })
    }

    fn check_xattrs(&self, path: &[u8], xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), ErrorKind> {
        let object = || format!("layer {}: entry \"{}\"", self.name, printable(path));
        let mut total = 0;
        for (name, value) in xattrs {
            if crate::erofs::xattr_index(name).is_none() {
                return Err(ErrorKind::Unsupported {
                    object: object(),
                    what: format!("extended attribute \"{}\"", printable(name)),
                });
            }
            if value.len() > self.limits.max_xattr_bytes.min(0xffff) {
                let limit = self.limits.max_xattr_bytes.min(0xffff) as u64;
                return Err(ErrorKind::TooLarge { object: object(), what: "the size of an extended attribute", limit });
            }
            total += name.len() + value.len() + 8;
        }
        if total > self.limits.max_xattrs_bytes {
            let limit = self.limits.max_xattrs_bytes as u64;
            return Err(ErrorKind::TooLarge { object: object(), what: "the size of its extended attributes", limit });
        }
        Ok(())
    }

    fn components<'p>(&self, path: &'p [u8]) -> Result<Vec<&'p [u8]>, ErrorKind> {
        components(path, self.limits.max_path_depth).map_err(|fault| self.fault(path, fault))
    }

    fn classify<'p>(&self, path: &[u8], parts: &'p [&'p [u8]]) -> Result<Name<'p>, ErrorKind> {
        let Some((&name, dir)) = parts.split_last() else {
            return Ok(Name::Root);
        };
        if dir.iter().any(|part| part.starts_with(WHITEOUT)) {
            return Err(self.bad(path, "lies in a whiteout".to_owned()));
        }
        if name == OPAQUE {
            return Ok(Name::Opaque(dir));
        }
        match name.strip_prefix(WHITEOUT) {
            None => Ok(Name::Plain(dir, name)),
            Some(b"" | b"." | b"..") => Err(self.bad(path, "is a whiteout of nothing".to_owned())),
            Some(hidden) if hidden.starts_with(WHITEOUT) => Err(ErrorKind::Unsupported {
                object: format!("layer {}: entry \"{}\"", self.name, printable(path)),
                what: "a whiteout of the AUFS kind".to_owned(),
            }),
            Some(hidden) => Ok(Name::Whiteout(dir, hidden)),
        }
    }

    fn fault(&self, path: &[u8], fault: Fault) -> ErrorKind {
        match fault {
            Fault::Escape(how) => ErrorKind::Escape { layer: self.name.to_owned(), entry: printable(path), how },
            Fault::Bad(reason) => self.bad(path, reason),
        }
    }

    fn bad(&self, path: &[u8], reason: String) -> ErrorKind {
        ErrorKind::BadEntry { layer: self.name.to_owned(), entry: printable(path), reason }
    }
}

impl Inode {
    /// Takes over the attributes of a later entry of the same directory; the names stay.
    fn adopt(&mut self, from: Inode) {
        let Inode { mode, uid, gid, mtime, xattrs, node: _ } = from;
        (self.mode, self.uid, self.gid, self.mtime, self.xattrs) = (mode, uid, gid, mtime, xattrs);
    }
}

#[cfg(test)]
mod tests;
