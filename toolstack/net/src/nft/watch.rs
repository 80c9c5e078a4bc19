//! Notices when somebody deletes our tables.
//!
//! `nft flush ruleset` is what Debian's nftables service does when it is restarted, and it takes every table: pods would be
//! neither pinned nor translated until something put ours back.

use std::io;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::nftables::{NfTablesMessage, TableAttribute};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::TABLE;
use crate::error::NetError;

/// `NFNLGRP_NFTABLES` (`linux/netfilter/nfnetlink.h`), as a bit of the address.
const GROUP: u32 = 1 << (7 - 1);

/// Netlink message types: the nf_tables subsystem (10) and `NFT_MSG_DELTABLE` (2).
const DELETE_TABLE: u16 = 10 << 8 | 2;

/// Announcements of deleted tables.
pub struct TableWatch {
    socket: TokioSocket,
    /// The port of the socket our own changes go through.
    own: u32,
}

impl TableWatch {
    pub(crate) fn open(own: u32) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUP))?;
        Ok(Self { socket, own })
    }

    /// Wait until somebody else has deleted a table of ours. Reconcile then. It may also return when announcements were
    /// lost, for then a table may be as well.
    ///
    /// # Errors
    /// [`NetError::Socket`]: the socket can no longer be read.
    pub async fn lost(&mut self) -> Result<(), NetError> {
        const ENOBUFS: i32 = 105;
        loop {
            match self.socket.recv_from_full().await {
                Ok((buf, _)) if self.tells_of_loss(&buf) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(ENOBUFS) => return Ok(()),
                Err(error) => return Err(NetError::Socket(error)),
            }
        }
    }

    fn tells_of_loss(&self, mut buf: &[u8]) -> bool {
        // Each header is looked at by hand: every element that changes on this host is announced here, and only few
        // messages are worth reading whole.
        while let [a, b, c, d, kind_lo, kind_hi, ..] = *buf {
            let len = u32::from_ne_bytes([a, b, c, d]) as usize;
            let Some(message) = buf.get(..len).filter(|message| message.len() >= 16) else { return false };
            if u16::from_ne_bytes([kind_lo, kind_hi]) == DELETE_TABLE
                && let Ok(message) = NetlinkMessage::<NetfilterMessage>::deserialize(message)
                && message.header.port_number != self.own
                && is_ours(&message.payload)
            {
                return true;
            }
            buf = buf.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        false
    }
}

fn is_ours(payload: &NetlinkPayload<NetfilterMessage>) -> bool {
    let NetlinkPayload::InnerMessage(message) = payload else { return false };
    let NetfilterMessageInner::NfTables(NfTablesMessage::DeleteTable(table)) = &message.inner else { return false };
    table.attributes.iter().any(|attribute| matches!(attribute, TableAttribute::Name(name) if name == TABLE))
}
