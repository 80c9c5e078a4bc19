//! Waits for interfaces to appear, by the kernel's own announcements.
//!
//! One socket and one task serve all waiters; a message costs a look at its name and a map lookup.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// `rtnetlink.h`: `RTMGRP_LINK`, `RTM_NEWLINK`; `if_link.h`: `IFLA_IFNAME`; the size of `struct ifinfomsg`.
const RTMGRP_LINK: u32 = 1;
const RTM_NEWLINK: u16 = 16;
const IFLA_IFNAME: u16 = 3;
const IFINFOMSG_LEN: usize = 16;

type Waiters = HashMap<String, (usize, Arc<Notify>)>;

/// Listens for new links for as long as it lives.
pub(crate) struct LinkMonitor {
    waiters: Arc<Mutex<Waiters>>,
    task: JoinHandle<()>,
}

/// Interest in one name; gone when dropped.
pub(crate) struct Watch {
    name: String,
    notify: Arc<Notify>,
    waiters: Arc<Mutex<Waiters>>,
}

impl LinkMonitor {
    /// Listen in the calling thread's network namespace.
    pub(crate) fn start() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, RTMGRP_LINK))?;
        let waiters = Arc::new(Mutex::new(Waiters::new()));
        let task = tokio::spawn(listen(socket, Arc::clone(&waiters)));
        Ok(Self { waiters, task })
    }

    /// Watch for `name`. Look whether it exists after this, and only then wait: nothing is then missed.
    pub(crate) fn watch(&self, name: &str) -> Watch {
        let mut waiters = lock(&self.waiters);
        let (count, notify) = waiters.entry(name.to_owned()).or_default();
        *count += 1;
        Watch { name: name.to_owned(), notify: Arc::clone(notify), waiters: Arc::clone(&self.waiters) }
    }
}

impl Drop for LinkMonitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// The link was announced since the last call, or announcements were lost.
    pub(crate) async fn announced(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut waiters = lock(&self.waiters);
        if let Some((count, _)) = waiters.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                waiters.remove(&self.name);
            }
        }
    }
}

async fn listen(socket: TokioSocket, waiters: Arc<Mutex<Waiters>>) {
    /// `linux/errno.h`: announcements were lost because the socket's buffer was full.
    const ENOBUFS: i32 = 105;
    loop {
        match socket.recv_from_full().await {
            Ok((buf, _)) => {
                let waiters = lock(&waiters);
                if !waiters.is_empty() {
                    for_each_new_link(&buf, |name| {
                        if let Some((_, notify)) = waiters.get(name) {
                            notify.notify_one();
                        }
                    });
                }
            }
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => {
                lock(&waiters).values().for_each(|(_, notify)| notify.notify_one());
            }
            Err(error) => {
                tracing::error!(%error, "link announcements can no longer be read; waits for interfaces will time out");
                return;
            }
        }
    }
}

fn for_each_new_link(mut buf: &[u8], mut found: impl FnMut(&str)) {
    while let Ok(message) = NetlinkBuffer::new_checked(buf) {
        let len = message.length() as usize;
        if message.message_type() == RTM_NEWLINK
            && let Some(attributes) = message.payload().get(IFINFOMSG_LEN..)
        {
            let name = NlasIterator::new(attributes).flatten().find(|nla| nla.kind() == IFLA_IFNAME);
            if let Some(name) = name.and_then(|nla| std::str::from_utf8(nla.value()).ok().map(str::to_owned)) {
                found(name.trim_end_matches('\0'));
            }
        }
        buf = buf.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn lock(waiters: &Mutex<Waiters>) -> MutexGuard<'_, Waiters> {
    waiters.lock().unwrap_or_else(PoisonError::into_inner)
}
