//! Judging the names in a layer, and walking to a name's directory without ever leaving the tree.

use std::collections::VecDeque;

use super::{Inode, InodeId, Node, Tree};

/// Symbolic links followed for one name; Linux's own bound (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Why a name is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It leads outside the image.
    Escape(String),
    /// It leads nowhere.
    Bad(String),
}

/// The components of a relative name; `.` and doubled slashes are dropped. Empty for the root itself, which umoci
/// calls `/`.
pub(super) fn components(path: &[u8], max_depth: usize) -> Result<Vec<&[u8]>, Fault> {
    if path.starts_with(b"/") && path.iter().any(|&b| b != b'/') {
        return Err(Fault::Escape("the name is absolute".to_owned()));
    }
    let mut components = Vec::new();
    for component in path.split(|&b| b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(Fault::Escape("the name contains \"..\"".to_owned())),
            // NAME_MAX on Linux.
            long if long.len() > 255 => {
                return Err(Fault::Bad("a part of its name is longer than 255 bytes".to_owned()));
            }
            name => components.push(name),
        }
    }
    if components.len() > max_depth {
        return Err(Fault::Bad(format!("is more than {max_depth} directories deep")));
    }
    Ok(components)
}

/// How [`walk`] treats what it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Makes directories that are not there, as every runtime does.
    Create,
    /// Stops.
    Stop,
}

/// Walks to a directory.
///
/// A symbolic link on the way is followed when it is relative and stays inside: that is how layers made by tools write
/// below a merged `/usr`. One that is absolute or climbs above the root is an attempt to reach outside.
pub(super) fn walk(tree: &mut Tree, components: &[&[u8]], missing: Missing) -> Result<Option<InodeId>, Fault> {
    let mut trail = vec![Tree::ROOT];
    let mut todo: VecDeque<Box<[u8]>> = components.iter().map(|&c| c.into()).collect();
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        let here = trail.last().copied().unwrap_or(Tree::ROOT);
        if &*name == b".." {
            trail.pop();
            if trail.is_empty() {
                return Err(Fault::Escape("a symbolic link on its way leads above the root".to_owned()));
            }
            continue;
        }
        let Some(next) = tree.lookup(here, &name) else {
            if missing == Missing::Stop {
                return Ok(None);
            }
            let dir = tree.add(Inode::implicit_dir());
            tree.link(here, &name, dir);
            trail.push(dir);
            continue;
        };
        match &tree.get(next).node {
            Node::Dir(_) => trail.push(next),
            Node::Symlink(target) => {
                let shown = crate::error::printable(&name);
                if target.starts_with(b"/") {
                    let to = crate::error::printable(target);
                    return Err(Fault::Escape(format!("\"{shown}\" on its way is a symbolic link to \"{to}\"")));
                }
                links += 1;
                if links > MAX_LINKS {
                    return Err(Fault::Bad(format!("more than {MAX_LINKS} symbolic links on its way")));
                }
                for part in target.split(|&b| b == b'/').rev().filter(|part| !part.is_empty() && *part != b".") {
                    todo.push_front(part.into());
                }
            }
            _ => {
                let shown = crate::error::printable(&name);
                return Err(Fault::Bad(format!("\"{shown}\" on its way is not a directory")));
            }
        }
    }
    Ok(trail.last().copied())
}
