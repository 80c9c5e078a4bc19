//! What each request does.

use std::time::Duration;

use super::fault::Act;
use super::nodes::{Changed, Transaction};
use super::{Dialect, State, Watching};
use crate::ids::Domid;
use crate::xenstore::error::Code;
use crate::xenstore::op::Op;
use crate::xenstore::path;
use crate::xenstore::perms::Perms;
use crate::xenstore::wire::{self, HEADER_LEN, Header, Kind, Message, NO_TRANSACTION, PAYLOAD_MAX};

type Answer = Result<Vec<u8>, Code>;

impl State {
    /// Carries out one request and puts its answer; returns how long its connection stalls afterwards.
    pub fn request(&mut self, id: u64, message: &Message<'_>) -> Option<Duration> {
        self.requests += 1;
        let domid = self.connections.get(&id).filter(|connection| !connection.closed)?.domid;
        let header = message.header;
        let Some(kind) = Kind::from_wire(header.kind) else {
            self.answer(id, header, Err(Code::Unknown));
            return None;
        };
        let object = wire::text(message.payload);
        let absolute = absolute(domid, &object);
        let act = self.faults.iter_mut().find_map(|fault| fault.strikes(kind, &absolute));
        match act {
            Some(Act::Refuse(code)) => {
                // A transaction that is refused at its end is over all the same.
                if kind == Kind::TransactionEnd
                    && let Some(connection) = self.connections.get_mut(&id)
                {
                    connection.transactions.remove(&header.transaction);
                }
                self.answer(id, header, Err(code));
                return None;
            }
            Some(Act::Ignore) => return None,
            Some(Act::Disconnect) => {
                self.close(id);
                return None;
            }
            _ => {}
        }
        let answer = self.execute(id, domid, kind, header.transaction, message.payload, &absolute);
        if act == Some(Act::DisconnectAfter) {
            self.close(id);
            return None;
        }
        // The first event of a watch follows the answer.
        let first_event = (kind == Kind::Watch && answer.is_ok()).then(|| message.payload.to_vec());
        self.answer(id, header, answer);
        if let (Some(payload), Some(connection)) = (first_event, self.connections.get_mut(&id)) {
            let _ = wire::encode(&mut connection.out, Kind::WatchEvent, 0, 0, &[&payload]);
        }
        self.run_backends();
        match act {
            Some(Act::Delay(delay)) => Some(delay),
            _ => None,
        }
    }

    pub fn close(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.closed = true;
        }
    }

    fn answer(&mut self, id: u64, header: Header, answer: Answer) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (kind, payload) = match answer {
            // oxenstored has no limit for the answers it gives on a socket.
            Ok(payload) if payload.len() <= PAYLOAD_MAX || self.dialect == Dialect::Oxenstored => {
                (header.kind, payload)
            }
            Ok(_) => (Kind::Error as u32, b"E2BIG\0".to_vec()),
            Err(code) => (Kind::Error as u32, [code.name().as_bytes(), b"\0"].concat()),
        };
        let reply = Header { kind, len: payload.len() as u32, ..header };
        connection.out.reserve(HEADER_LEN + payload.len());
        connection.out.extend_from_slice(&reply.to_bytes());
        connection.out.extend_from_slice(&payload);
    }

    fn execute(&mut self, id: u64, domid: Domid, kind: Kind, transaction: u32, payload: &[u8], path: &str) -> Answer {
        match kind {
            Kind::Read | Kind::Directory | Kind::GetPerms | Kind::DirectoryPart => {
                path::check(path).map_err(|_| Code::Invalid)?;
                self.look(id, domid, kind, transaction, payload, path)
            }
            Kind::Write | Kind::Mkdir | Kind::Rm | Kind::SetPerms => {
                path::check(path).map_err(|_| Code::Invalid)?;
                self.change(id, domid, transaction, &decode_op(kind, payload, path)?).map(|()| ok())
            }
            Kind::Watch | Kind::Unwatch => self.watch(id, domid, kind, payload).map(|()| ok()),
            Kind::ResetWatches => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.watches.clear();
                    connection.transactions.clear();
                }
                Ok(ok())
            }
            Kind::TransactionStart => self.start(id, domid),
            Kind::TransactionEnd => self.end(id, transaction, payload).map(|()| ok()),
            Kind::GetDomainPath => Ok(format!("/local/domain/{}\0", number(payload, 0)?).into_bytes()),
            Kind::Introduce | Kind::Release | Kind::IsDomainIntroduced | Kind::SetTarget if domid != Domid::DOM0 => {
                Err(Code::Denied)
            }
            Kind::Introduce => {
                let who = Domid(number(payload, 0)? as u16);
                let ring = (number(payload, 1)?, number(payload, 2)? as u32);
                if self.introduced.insert(who, ring).is_none() {
                    self.fire(path::INTRODUCE_DOMAIN, None);
                }
                Ok(ok())
            }
            Kind::Release => {
                let who = Domid(number(payload, 0)? as u16);
                self.introduced.remove(&who).ok_or(Code::NotFound)?;
                self.nodes.forget_domain(who);
                self.fire(path::RELEASE_DOMAIN, None);
                Ok(ok())
            }
            Kind::IsDomainIntroduced => {
                let who = Domid(number(payload, 0)? as u16);
                let known = who == Domid::DOM0 || self.introduced.contains_key(&who);
                Ok(if known { b"T\0".to_vec() } else { b"F\0".to_vec() })
            }
            Kind::SetTarget => {
                number(payload, 1)?;
                let who = Domid(number(payload, 0)? as u16);
                self.introduced.get(&who).map(|_| ok()).ok_or(Code::NotFound)
            }
            Kind::Control | Kind::Resume | Kind::WatchEvent | Kind::Error => Err(Code::Unknown),
        }
    }

    fn look(&mut self, id: u64, domid: Domid, kind: Kind, transaction: u32, payload: &[u8], path: &str) -> Answer {
        let dialect = self.dialect;
        let nodes = match self.transaction(id, transaction)? {
            None => &self.nodes,
            Some(open) => {
                open.touch(path);
                &open.nodes
            }
        };
        match kind {
            Kind::Read => nodes.read(domid, path),
            Kind::GetPerms => Ok(nodes.perms(domid, path)?.to_wire()),
            Kind::Directory => {
                let (names, _) = nodes.list(domid, path)?;
                Ok(names.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect())
            }
            _ if dialect == Dialect::Oxenstored => Err(Code::Unknown),
            _ => {
                let offset = number(payload, 1)? as usize;
                let (names, generation) = nodes.list(domid, path)?;
                let list: Vec<u8> = names.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect();
                let mut part = format!("{generation}\0").into_bytes();
                let rest = list.get(offset..).unwrap_or_default();
                let room = PAYLOAD_MAX - part.len() - 1;
                let whole = rest.len() <= room;
                // Cut behind a name.
                let cut = if whole {
                    rest.len()
                } else {
                    rest[..room].iter().rposition(|byte| *byte == 0).map_or(0, |at| at + 1)
                };
                part.extend_from_slice(&rest[..cut]);
                if whole {
                    part.push(0);
                }
                Ok(part)
            }
        }
    }

    fn change(&mut self, id: u64, domid: Domid, transaction: u32, op: &Op) -> Result<(), Code> {
        let quotas = self.quotas;
        let dialect = self.dialect;
        let over = || if dialect == Dialect::C { Code::Other("ENOSPC".to_owned()) } else { Code::Quota };
        if domid != Domid::DOM0 {
            match op {
                Op::Write { value, .. } if value.len() > quotas.value => return Err(over()),
                Op::Write { path, .. } | Op::Mkdir { path }
                    if self.nodes.get(path).is_none() && self.nodes.owned_by(domid) >= quotas.nodes =>
                {
                    return Err(over());
                }
                _ => {}
            }
        }
        if let Some(open) = self.transaction(id, transaction)? {
            open.touch(op.path());
            if let (Op::Rm { path }, true) = (op, open.nodes.get(op.path()).is_some()) {
                open.touch(path::parent(path).unwrap_or("/"));
            }
            open.nodes.apply(domid, op)?;
            open.ops.push(op.clone());
            return Ok(());
        }
        self.change_now(domid, op)
    }

    /// Changes the tree itself, and tells the watchers.
    pub fn change_now(&mut self, domid: Domid, op: &Op) -> Result<(), Code> {
        match self.nodes.apply(domid, op)? {
            Changed::Nothing => {}
            Changed::Node => self.fire(op.path(), None),
            Changed::Removed(before) => self.fire(op.path(), Some(&before)),
        }
        Ok(())
    }

    fn transaction(&mut self, id: u64, transaction: u32) -> Result<Option<&mut Transaction>, Code> {
        if transaction == NO_TRANSACTION {
            return Ok(None);
        }
        let connection = self.connections.get_mut(&id).ok_or(Code::NotFound)?;
        connection.transactions.get_mut(&transaction).map(Some).ok_or(Code::NotFound)
    }

    fn start(&mut self, id: u64, domid: Domid) -> Answer {
        let number = self.next_transaction;
        self.next_transaction += 1;
        let begun = Transaction::start(&self.nodes);
        let connection = self.connections.get_mut(&id).ok_or(Code::NotFound)?;
        if domid != Domid::DOM0 && connection.transactions.len() >= self.quotas.transactions {
            return Err(Code::Quota);
        }
        connection.transactions.insert(number, begun);
        Ok(format!("{number}\0").into_bytes())
    }

    fn end(&mut self, id: u64, transaction: u32, payload: &[u8]) -> Result<(), Code> {
        let connection = self.connections.get_mut(&id).ok_or(Code::NotFound)?;
        let open = connection.transactions.remove(&transaction).ok_or(Code::NotFound)?;
        let domid = connection.domid;
        match payload {
            b"F\0" => return Ok(()),
            b"T\0" => {}
            _ => return Err(Code::Invalid),
        }
        if !open.holds(&self.nodes) {
            return Err(Code::Again);
        }
        for op in &open.ops {
            // It worked in the transaction's view, and nothing that it touched has changed.
            self.change_now(domid, op)?;
        }
        Ok(())
    }

    fn watch(&mut self, id: u64, domid: Domid, kind: Kind, payload: &[u8]) -> Result<(), Code> {
        let strings = wire::strings(payload);
        let [path, token] = strings.as_slice() else { return Err(Code::Invalid) };
        path::check_watch(path).map_err(|_| Code::Invalid)?;
        let limit = self.quotas.watches;
        let connection = self.connections.get_mut(&id).ok_or(Code::NotFound)?;
        let at = connection.watches.iter().position(|watch| watch.path == *path && watch.token == *token);
        match (kind, at) {
            (Kind::Watch, Some(_)) => Err(Code::Exists),
            (Kind::Watch, None) if domid != Domid::DOM0 && connection.watches.len() >= limit => Err(Code::TooBig),
            (Kind::Watch, None) => {
                let absolute = absolute(domid, path);
                connection.watches.push(Watching { path: path.clone(), absolute, token: token.clone() });
                Ok(())
            }
            (_, Some(at)) => {
                connection.watches.remove(at);
                Ok(())
            }
            (_, None) => Err(Code::NotFound),
        }
    }
}

fn ok() -> Vec<u8> {
    b"OK\0".to_vec()
}

/// A path as seen from the root.
fn absolute(domid: Domid, path: &str) -> String {
    if path.starts_with(['/', '@']) { path.to_owned() } else { format!("/local/domain/{domid}/{path}") }
}

fn decode_op(kind: Kind, payload: &[u8], path: &str) -> Result<Op, Code> {
    let path = path.to_owned();
    let rest = payload.iter().position(|byte| *byte == 0).map(|at| &payload[at + 1..]).ok_or(Code::Invalid)?;
    Ok(match kind {
        Kind::Write => Op::Write { path, value: rest.to_vec() },
        Kind::Mkdir => Op::Mkdir { path },
        Kind::Rm => Op::Rm { path },
        _ => Op::SetPerms { path, perms: Perms::from_wire(rest).map_err(|_| Code::Invalid)? },
    })
}

fn number(payload: &[u8], index: usize) -> Result<u64, Code> {
    wire::strings(payload).get(index).and_then(|text| text.parse().ok()).ok_or(Code::Invalid)
}
