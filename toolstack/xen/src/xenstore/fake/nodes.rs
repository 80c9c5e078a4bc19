//! The tree itself: nodes, permissions, transactions.

use std::collections::BTreeMap;

use crate::ids::Domid;
use crate::xenstore::error::Code;
use crate::xenstore::op::Op;
use crate::xenstore::path;
use crate::xenstore::perms::{Access, Perms};

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Vec<u8>,
    pub perms: Perms,
    /// Grows with every change of the node or of the list of its children.
    generation: u64,
}

/// All nodes, by absolute path.
#[derive(Clone, Debug)]
pub struct Nodes {
    nodes: BTreeMap<String, Node>,
    clock: u64,
}

/// What a change did, for watches.
pub enum Changed {
    Nothing,
    Node,
    /// The tree as it was.
    Removed(Nodes),
}

/// An open transaction: its own view, what it looked at, and what it did.
pub struct Transaction {
    pub nodes: Nodes,
    /// The generation of each node it touched, in the tree it began with.
    seen: BTreeMap<String, Option<u64>>,
    start: Nodes,
    pub ops: Vec<Op>,
}

impl Transaction {
    pub fn start(nodes: &Nodes) -> Transaction {
        Transaction { nodes: nodes.clone(), seen: BTreeMap::new(), start: nodes.clone(), ops: Vec::new() }
    }

    /// Notes that a node was looked at: and, when it is not there, the first of its parents that is.
    pub fn touch(&mut self, path: &str) {
        let mut at = Some(path);
        while let Some(node) = at {
            let generation = self.start.nodes.get(node).map(|node| node.generation);
            self.seen.insert(node.to_owned(), generation);
            at = if generation.is_none() { path::parent(node) } else { None };
        }
    }

    /// Whether nobody changed what it looked at.
    pub fn holds(&self, nodes: &Nodes) -> bool {
        self.seen.iter().all(|(path, seen)| nodes.nodes.get(path).map(|node| node.generation) == *seen)
    }
}

impl Nodes {
    pub fn after_boot() -> Nodes {
        let mut nodes = Nodes { nodes: BTreeMap::new(), clock: 0 };
        let root = Node { value: Vec::new(), perms: Perms::owned_by(Domid::DOM0), generation: 0 };
        nodes.nodes.insert("/".to_owned(), root);
        for (path, value) in
            [("/tool/xenstored", ""), ("/local/domain/0/domid", "0"), ("/local/domain/0/name", "Domain-0")]
        {
            // dom0 may make any node.
            let _ = nodes.apply(Domid::DOM0, &Op::write(path, value));
        }
        nodes
    }

    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter()
    }

    pub fn owned_by(&self, domid: Domid) -> usize {
        self.nodes.values().filter(|node| node.perms.owner == domid).count()
    }

    /// The node, when the domain may do that with it. What is missing shows as missing only to one who may read there.
    fn permitted(&self, domid: Domid, path: &str, may: impl Fn(Access) -> bool) -> Result<&Node, Code> {
        match self.nodes.get(path) {
            Some(node) if may(node.perms.access(domid)) => Ok(node),
            Some(_) => Err(Code::Denied),
            None if may(self.nearest(path).1.perms.access(domid)) => Err(Code::NotFound),
            None => Err(Code::Denied),
        }
    }

    /// The path itself or the first parent that is there.
    fn nearest(&self, path: &str) -> (String, &Node) {
        let mut at = path;
        loop {
            match self.nodes.get(at) {
                Some(node) => return (at.to_owned(), node),
                None => at = path::parent(at).unwrap_or("/"),
            }
        }
    }

    pub fn read(&self, domid: Domid, path: &str) -> Result<Vec<u8>, Code> {
        self.permitted(domid, path, Access::may_read).map(|node| node.value.clone())
    }

    pub fn perms(&self, domid: Domid, path: &str) -> Result<Perms, Code> {
        self.permitted(domid, path, Access::may_read).map(|node| node.perms.clone())
    }

    /// The names of a node's children, and the generation of that list.
    pub fn list(&self, domid: Domid, path: &str) -> Result<(Vec<String>, u64), Code> {
        let generation = self.permitted(domid, path, Access::may_read)?.generation;
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let below = self.nodes.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let names = below.map(|(path, _)| &path[prefix.len()..]).filter(|name| !name.is_empty() && !name.contains('/'));
        Ok((names.map(str::to_owned).collect(), generation))
    }

    /// Whether a watch event about this path may be shown to the domain.
    pub fn may_see(&self, path: &str, domid: Domid) -> bool {
        self.nearest(path).1.perms.access(domid).may_read()
    }

    /// Carries out a change for the domain.
    pub fn apply(&mut self, domid: Domid, op: &Op) -> Result<Changed, Code> {
        let path = op.path();
        let permitted = self.permitted(domid, path, Access::may_write).map(|_| ());
        match op {
            Op::Write { value, .. } => {
                self.make(domid, path, permitted)?;
                let clock = self.tick();
                if let Some(node) = self.nodes.get_mut(path) {
                    node.value = value.clone();
                    node.generation = clock;
                }
                Ok(Changed::Node)
            }
            Op::Mkdir { .. } => match self.make(domid, path, permitted)? {
                true => Ok(Changed::Node),
                false => Ok(Changed::Nothing),
            },
            Op::SetPerms { perms, .. } => {
                permitted?;
                let clock = self.tick();
                let node = self.nodes.get_mut(path).ok_or(Code::NotFound)?;
                if domid != Domid::DOM0 && (domid != node.perms.owner || perms.owner != domid) {
                    return Err(Code::Denied);
                }
                node.perms = perms.clone();
                node.generation = clock;
                Ok(Changed::Node)
            }
            Op::Rm { .. } => {
                match permitted {
                    Err(Code::NotFound) if path::parent(path).is_some_and(|parent| self.nodes.contains_key(parent)) => {
                        return Ok(Changed::Nothing);
                    }
                    other => other?,
                }
                if path == "/" {
                    return Err(Code::Invalid);
                }
                let before = self.clone();
                self.remove(path);
                Ok(Changed::Removed(before))
            }
        }
    }

    /// Makes a node and its parents; false when it was there.
    fn make(&mut self, domid: Domid, path: &str, permitted: Result<(), Code>) -> Result<bool, Code> {
        match permitted {
            Ok(()) => return Ok(false),
            Err(Code::NotFound) => {}
            Err(code) => return Err(code),
        }
        let (parent, node) = self.nearest(path);
        // A new node takes its parent's permissions; what a guest makes is the guest's.
        let mut perms = node.perms.clone();
        if domid != Domid::DOM0 {
            perms.owner = domid;
        }
        let generation = self.tick();
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.generation = generation;
        }
        let mut at = path;
        while at != parent {
            self.nodes.insert(at.to_owned(), Node { value: Vec::new(), perms: perms.clone(), generation });
            at = path::parent(at).unwrap_or("/");
        }
        Ok(true)
    }

    fn remove(&mut self, path: &str) {
        self.nodes.retain(|node, _| !path::is_within(node, path));
        let clock = self.tick();
        if let Some(parent) = path::parent(path).and_then(|parent| self.nodes.get_mut(parent)) {
            parent.generation = clock;
        }
    }

    /// A domain is gone: so is what it owned, and it is struck from the lists of others' nodes.
    pub fn forget_domain(&mut self, domid: Domid) {
        let owned: Vec<String> =
            self.nodes.iter().filter(|(_, node)| node.perms.owner == domid).map(|(path, _)| path.clone()).collect();
        owned.iter().for_each(|path| self.remove(path));
        for node in self.nodes.values_mut() {
            node.perms.others.retain(|(other, _)| *other != domid);
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}
