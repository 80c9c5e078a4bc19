//! Shared pages and event channels between two ends in one process.
//!
//! Pages are a real shared mapping, so that two threads (or a fuzzer and its victim) race on it as two domains would.
//! A dropped mapping clears its byte and fires its event, as the kernel's drivers do for a process that has died.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::event::EventfdFlags;
use rustix::mm::{MapFlags, ProtFlags};

use crate::evtchn::{EventChannel, EventChannels, Port};
use crate::grants::{GrantMaps, GrantOffers, GrantRef, Offered, PAGE_SIZE, SharedPages, UnmapNotify};
use crate::ids::Domid;

/// One anonymous shared mapping.
struct Memory {
    base: NonNull<u8>,
    count: usize,
}

// SAFETY: the address is handed out only inside SharedPages, which accesses it through atomics.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(count: usize) -> io::Result<Arc<Self>> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), count * PAGE_SIZE, prot, MapFlags::SHARED)? };
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("a mapping at address zero"))?;
        Ok(Arc::new(Memory { base, count }))
    }

    fn pages(self: &Arc<Self>, first: usize, count: usize, owner: Box<dyn Any + Send + Sync>) -> SharedPages {
        assert!(first + count <= self.count);
        // SAFETY: within the mapping, which the owner keeps alive; all ends access it through SharedPages only.
        unsafe { SharedPages::new(self.base.add(first * PAGE_SIZE), count, owner) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; every SharedPages of it has kept this alive.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.count * PAGE_SIZE) };
    }
}

#[derive(Default)]
struct GrantTable {
    next: GrantRef,
    entries: BTreeMap<GrantRef, (Weak<Memory>, usize)>,
}

/// A grant table that both ends see.
#[derive(Clone, Default)]
pub struct FakeGrants {
    table: Arc<Mutex<GrantTable>>,
    events: FakeEvents,
}

/// Keeps the memory and does what was asked for at the unmap.
struct Mapping {
    memory: Arc<Memory>,
    first: usize,
    notify: Option<(UnmapNotify, FakeEvents)>,
    /// References that go with it (the offering end's).
    offered: Option<(Arc<Mutex<GrantTable>>, Vec<GrantRef>)>,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Some((table, refs)) = &self.offered {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            refs.iter().for_each(|gref| drop(table.entries.remove(gref)));
        }
        if let Some((UnmapNotify { clear_byte, port }, events)) = &self.notify {
            let pages = self.memory.pages(self.first, 1, Box::new(self.memory.clone()));
            pages.u8(*clear_byte).store(0, Ordering::SeqCst);
            events.fire(*port);
        }
    }
}

impl FakeGrants {
    /// A table whose notifications go through these event channels.
    pub fn new(events: &FakeEvents) -> Self {
        FakeGrants { table: Arc::default(), events: events.clone() }
    }

    /// How many pages are offered now.
    pub fn offered(&self) -> usize {
        self.table().entries.len()
    }

    fn table(&self) -> MutexGuard<'_, GrantTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GrantOffers for FakeGrants {
    fn offer(&self, _peer: Domid, count: usize, notify: Option<UnmapNotify>) -> io::Result<Offered> {
        let memory = Memory::new(count)?;
        let refs: Vec<GrantRef> = {
            let mut table = self.table();
            (0..count)
                .map(|page| {
                    table.next += 8;
                    let gref = table.next;
                    table.entries.insert(gref, (Arc::downgrade(&memory), page));
                    gref
                })
                .collect()
        };
        let owner = Mapping {
            memory: memory.clone(),
            first: 0,
            notify: notify.map(|notify| (notify, self.events.clone())),
            offered: Some((self.table.clone(), refs.clone())),
        };
        Ok(Offered { refs, pages: memory.pages(0, count, Box::new(owner)) })
    }
}

impl GrantMaps for FakeGrants {
    /// Only runs of references that were offered together, in order, can be mapped.
    fn map(&self, _peer: Domid, refs: &[GrantRef], notify: Option<UnmapNotify>) -> io::Result<SharedPages> {
        let bad = |gref: GrantRef| io::Error::new(io::ErrorKind::InvalidInput, format!("bad grant reference {gref}"));
        let table = self.table();
        let find = |gref: GrantRef| -> io::Result<(Arc<Memory>, usize)> {
            let (memory, page) = table.entries.get(&gref).ok_or_else(|| bad(gref))?;
            Ok((memory.upgrade().ok_or_else(|| bad(gref))?, *page))
        };
        let first_ref = *refs.first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (memory, first) = find(first_ref)?;
        for (index, gref) in refs.iter().enumerate() {
            let (other, page) = find(*gref)?;
            if !Arc::ptr_eq(&memory, &other) || page != first + index {
                return Err(bad(*gref));
            }
        }
        let notify = notify.map(|notify| (notify, self.events.clone()));
        let owner = Mapping { memory: memory.clone(), first, notify, offered: None };
        Ok(memory.pages(first, refs.len(), Box::new(owner)))
    }
}

struct PortState {
    signal: Arc<OwnedFd>,
    peer: Option<Port>,
}

/// Event channels; ports are numbered across both ends.
#[derive(Clone, Default)]
pub struct FakeEvents(Arc<Mutex<(Port, BTreeMap<Port, PortState>)>>);

impl FakeEvents {
    fn ports(&self) -> MutexGuard<'_, (Port, BTreeMap<Port, PortState>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, peer: Option<Port>) -> io::Result<FakeChannel> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let signal = Arc::new(rustix::event::eventfd(0, flags)?);
        let mut ports = self.ports();
        ports.0 += 1;
        let port = ports.0;
        ports.1.insert(port, PortState { signal: signal.clone(), peer });
        Ok(FakeChannel { events: self.clone(), port, signal })
    }

    /// Signals the other end of `port`, if there is one.
    fn fire(&self, port: Port) {
        let signal = {
            let ports = self.ports();
            let peer = ports.1.get(&port).and_then(|state| state.peer);
            peer.and_then(|peer| ports.1.get(&peer)).map(|state| state.signal.clone())
        };
        if let Some(signal) = signal {
            let _ = rustix::io::write(&*signal, &1u64.to_ne_bytes());
        }
    }

    /// How many ports are open.
    pub fn open_ports(&self) -> usize {
        self.ports().1.len()
    }
}

impl EventChannels for FakeEvents {
    fn bind_interdomain(&self, _remote: Domid, remote_port: Port) -> io::Result<Box<dyn EventChannel>> {
        if self.ports().1.get(&remote_port).is_none_or(|state| state.peer.is_some()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("port {remote_port} is not offered")));
        }
        let channel = self.open(Some(remote_port))?;
        if let Some(state) = self.ports().1.get_mut(&remote_port) {
            state.peer = Some(channel.port);
        }
        Ok(Box::new(channel))
    }

    fn alloc_unbound(&self, _remote: Domid) -> io::Result<Box<dyn EventChannel>> {
        Ok(Box::new(self.open(None)?))
    }
}

struct FakeChannel {
    events: FakeEvents,
    port: Port,
    signal: Arc<OwnedFd>,
}

impl Drop for FakeChannel {
    fn drop(&mut self) {
        let mut ports = self.events.ports();
        let peer = ports.1.remove(&self.port).and_then(|state| state.peer);
        // The other end is unbound again, as in Xen: a new peer can bind it.
        if let Some(state) = peer.and_then(|peer| ports.1.get_mut(&peer)) {
            state.peer = None;
        }
    }
}

impl AsFd for FakeChannel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

impl EventChannel for FakeChannel {
    fn port(&self) -> Port {
        self.port
    }

    fn notify(&self) -> io::Result<()> {
        self.events.fire(self.port);
        Ok(())
    }

    fn clear(&self) -> io::Result<bool> {
        match rustix::io::read(&*self.signal, &mut [0u8; 8]) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::AGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}
