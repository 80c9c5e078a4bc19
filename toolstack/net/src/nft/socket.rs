//! A netfilter netlink socket: transactions that are acknowledged as a whole, and dumps.

use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

/// Why the kernel did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The kernel refused one message of the transaction, so nothing of it was done.
    #[error("{what}: {source}")]
    Refused {
        /// The message it refused.
        what: String,
        /// Its errno.
        source: io::Error,
    },
    /// The socket failed.
    #[error("netfilter netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The kernel's answer could not be read.
    #[error("netfilter netlink answer: {0}")]
    Answer(String),
}

impl NftError {
    /// Whether the kernel said that a table, set or element is not there.
    pub fn is_missing(&self) -> bool {
        const ENOENT: i32 = 2;
        matches!(self, Self::Refused { source, .. } if source.raw_os_error() == Some(ENOENT))
    }
}

/// One message of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub family: NetfilterProtoFamily,
    pub message: NfTablesMessage,
    /// `NLM_F_CREATE` and the like; `NLM_F_REQUEST` is added.
    pub flags: u16,
    /// For the error: "add rule 3 of chain pod".
    pub what: String,
}

/// How long the kernel may take to answer. It answers within the send, so this only guards against a lost answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// `NFNL_SUBSYS_NFTABLES`: which subsystem a batch is for.
const SUBSYSTEM: u16 = 10;

pub struct NftSocket {
    socket: TokioSocket,
    port: u32,
    seq: u32,
}

impl NftSocket {
    /// Open a socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        let port = socket.socket_mut().bind_auto()?.port_number();
        socket.socket_ref().connect(&SocketAddr::new(0, 0))?;
        // Errors then quote the header of the refused message only, not all of it.
        socket.socket_ref().set_cap_ack(true)?;
        Ok(Self { socket, port, seq: 1 })
    }

    /// This socket's netlink address, by which announcements tell who made a change.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Do all of `requests`, or nothing.
    pub async fn transact(&mut self, requests: &[Request]) -> Result<(), NftError> {
        if requests.is_empty() {
            return Ok(());
        }
        let begin = self.seq;
        let last = begin + requests.len() as u32;
        self.seq = last + 2;
        let mut buf = Vec::with_capacity(256 * requests.len());
        push(&mut buf, begin, 0, control(ControlMessage::BatchBegin));
        for (seq, request) in (begin + 1..).zip(requests) {
            // The acknowledgement of the last message, after any errors, is the end of the answer.
            let ack = if seq == last { NLM_F_ACK } else { 0 };
            let header = NetfilterHeader::new(request.family, 0, 0);
            push(&mut buf, seq, request.flags | ack, NetfilterMessage::new(header, request.message.clone()));
        }
        push(&mut buf, last + 1, 0, control(ControlMessage::BatchEnd));
        self.send(&buf).await?;

        let mut refused = None;
        loop {
            for (seq, answer) in self.receive().await? {
                if !(begin..=last).contains(&seq) {
                    continue; // of a transaction whose future was dropped
                }
                let NetlinkPayload::Error(error) = answer else { continue };
                if error.code.is_some() && refused.is_none() {
                    let what = match seq.checked_sub(begin + 1).and_then(|i| requests.get(i as usize)) {
                        Some(request) => request.what.clone(),
                        None => "commit of the nf_tables transaction".to_owned(),
                    };
                    refused = Some(NftError::Refused { what, source: error.to_io() });
                }
                // An error of the batch itself ends the answer too: no message was looked at, or none was committed.
                if seq == last || seq == begin {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Everything the kernel lists for `request`; `None` if what was asked for does not exist.
    pub async fn dump(&mut self, request: &Request) -> Result<Option<Vec<NfTablesMessage>>, NftError> {
        self.query(request, NLM_F_DUMP).await
    }

    /// The one object `request` names; `None` if there is none.
    pub async fn get(&mut self, request: &Request) -> Result<Option<NfTablesMessage>, NftError> {
        Ok(self.query(request, NLM_F_ACK).await?.and_then(|found| found.into_iter().next()))
    }

    async fn query(&mut self, request: &Request, flags: u16) -> Result<Option<Vec<NfTablesMessage>>, NftError> {
        'again: loop {
            let seq = self.seq;
            self.seq += 1;
            let mut buf = Vec::new();
            let header = NetfilterHeader::new(request.family, 0, 0);
            push(&mut buf, seq, flags, NetfilterMessage::new(header, request.message.clone()));
            self.send(&buf).await?;
            let mut found = Vec::new();
            let mut torn = false;
            loop {
                for (header_seq, interrupted, answer) in self.receive_raw().await? {
                    if header_seq != seq {
                        continue;
                    }
                    torn |= interrupted;
                    match answer {
                        NetlinkPayload::InnerMessage(NetfilterMessage {
                            inner: NetfilterMessageInner::NfTables(message),
                            ..
                        }) => found.push(message),
                        NetlinkPayload::Error(error) if error.code.is_some() => {
                            let error = NftError::Refused { what: request.what.clone(), source: error.to_io() };
                            return if error.is_missing() { Ok(None) } else { Err(error) };
                        }
                        // The ruleset changed while it was listed.
                        NetlinkPayload::Done(_) if torn => continue 'again,
                        NetlinkPayload::Done(_) | NetlinkPayload::Error(_) => return Ok(Some(found)),
                        _ => {}
                    }
                }
            }
        }
    }

    async fn send(&mut self, buf: &[u8]) -> Result<(), NftError> {
        let sent = self.socket.send(buf).await?;
        if sent == buf.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero).into()) }
    }

    async fn receive(&mut self) -> Result<Vec<(u32, NetlinkPayload<NetfilterMessage>)>, NftError> {
        Ok(self.receive_raw().await?.into_iter().map(|(seq, _, payload)| (seq, payload)).collect())
    }

    async fn receive_raw(&mut self) -> Result<Vec<(u32, bool, NetlinkPayload<NetfilterMessage>)>, NftError> {
        let (buf, _) = tokio::time::timeout(ANSWER_TIMEOUT, self.socket.recv_from_full())
            .await
            .map_err(|_| NftError::Answer(format!("none within {} s", ANSWER_TIMEOUT.as_secs())))??;
        let mut rest = &buf[..];
        let mut out = Vec::new();
        while rest.len() >= 16 {
            let message =
                NetlinkMessage::<NetfilterMessage>::deserialize(rest).map_err(|e| NftError::Answer(e.to_string()))?;
            let len = (message.header.length as usize).next_multiple_of(4).min(rest.len());
            rest = &rest[len.max(16)..];
            let interrupted = message.header.flags & NLM_F_DUMP_INTR != 0;
            out.push((message.header.sequence_number, interrupted, message.payload));
        }
        Ok(out)
    }
}

fn control(message: ControlMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM), message)
}

/// Append one message to the buffer.
fn push(buf: &mut Vec<u8>, seq: u32, flags: u16, message: NetfilterMessage) {
    let mut header = NetlinkHeader::default();
    header.sequence_number = seq;
    header.flags = flags | NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let start = buf.len();
    buf.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut buf[start..]);
}
