//! Connections to ports of the pod, whose bytes are passed on for the daemon.
//!
//! ```text
//! connect -> (refused at 127.0.0.1: again at ::1) -> connected: answered -> bytes both ways, each with an end of its own
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, sockopt};
use xenpod_protocol::message::{Connect, Done, Stdio, reply};
use xenpod_protocol::{CloseReason, RequestToken};

use crate::disks::Halt;
use crate::error::Error;
use crate::guest::Guest;
use crate::poll::Source;
use crate::tasks::{Flow, Output};

/// Most connections at a time: each may hold a window in each direction, and the memory is the containers'.
const MAX_FORWARDS: usize = 64;
/// Milliseconds that a listener with a full queue is tried for; the daemon waits longer.
const CONNECT_MS: u32 = 10_000;

/// One connection.
#[derive(Debug)]
pub struct Forward {
    socket: OwnedFd,
    /// While it is being made: who waits for it, and where.
    connecting: Option<(RequestToken, SocketAddr)>,
    /// The stream of what is sent.
    input: u32,
    /// All of that has been sent.
    input_over: bool,
    output_stream: u32,
    /// What is received.
    output: Option<Output>,
}

/// Begins to connect. It may have happened already: the socket is writable then.
fn dial(to: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_user_timeout(&socket, CONNECT_MS)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

impl Guest {
    /// Begins a connection; the answer comes when it is there, or cannot be.
    pub(crate) fn connect(&mut self, wanted: &Connect, token: RequestToken) -> Result<(), Halt> {
        let invalid = |what, value: u32, why| Err(Error::Invalid { what, value: value.to_string(), why }.into());
        let Some(port) = u16::try_from(wanted.port).ok().filter(|port| *port != 0) else {
            return invalid("port", wanted.port, "not 1 to 65535");
        };
        if wanted.input == 0 || wanted.output == 0 {
            return invalid("streams of port", wanted.port, "a connection needs both");
        }
        if self.forwards.len() >= MAX_FORWARDS {
            let state = "not to be connected to: 64 connections are forwarded already";
            return Err(Error::BadState { what: "port", name: port.to_string(), state }.into());
        }
        let stdio = Stdio { stdin: wanted.input, stdout: wanted.output, stderr: 0 };
        self.open_streams(&stdio)?;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let begun = dial(to).and_then(|socket| {
            let slot = self.last_number + 1;
            self.poll.add_write(&socket, Source::Connection(slot))?;
            Ok((slot, socket))
        });
        match begun {
            Ok((slot, socket)) => {
                self.last_number = slot;
                let forward = Forward {
                    socket,
                    connecting: Some((token, to)),
                    input: wanted.input,
                    input_over: false,
                    output_stream: wanted.output,
                    output: None,
                };
                self.forwards.insert(slot, forward);
                Ok(())
            }
            Err(errno) => {
                self.close_streams(&stdio, CloseReason::Failed);
                Err(Error::Unconnected { port, errno }.into())
            }
        }
    }

    /// A connection has been made, or could not be.
    pub(crate) fn connection_progressed(&mut self, slot: u32) {
        let Some(forward) = self.forwards.get_mut(&slot) else { return };
        let Some((token, to)) = forward.connecting.take() else { return };
        self.poll.remove(&forward.socket);
        let outcome = sockopt::socket_error(&forward.socket).and_then(|result| result);
        if outcome == Err(Errno::CONNREFUSED) && to.is_ipv4() {
            // Who listens on IPv6 alone is found as well.
            let again = SocketAddr::from((Ipv6Addr::LOCALHOST, to.port()));
            if let Ok(socket) = dial(again)
                && self.poll.add_write(&socket, Source::Connection(slot)).is_ok()
            {
                forward.socket = socket;
                forward.connecting = Some((token, again));
                return;
            }
        }
        let opened = outcome.and_then(|()| {
            // From now on the peer may take its time.
            sockopt::set_tcp_user_timeout(&forward.socket, 0)?;
            let input = rustix::io::fcntl_dupfd_cloexec(&forward.socket, 3)?;
            let output = rustix::io::fcntl_dupfd_cloexec(&forward.socket, 3)?;
            Ok((input, output))
        });
        match opened {
            Ok((input, output)) => {
                forward.output = Some(Output::new(output, forward.output_stream, 0));
                if let Some(waiting) = self.inputs.get_mut(&forward.input) {
                    waiting.lead_to(input, slot, false);
                }
                self.answer(token, Ok(reply::Result::Done(Done {})));
                self.pump_stdin(slot);
                self.pump_output(slot, 0);
            }
            Err(errno) => {
                self.drop_forward(slot);
                self.answer(token, Err(Error::Unconnected { port: to.port(), errno }));
            }
        }
    }

    /// The stream of what is sent on a connection.
    pub(crate) fn forward_input(&self, slot: u32) -> Option<u32> {
        self.forwards.get(&slot).map(|forward| forward.input)
    }

    /// All that was to be sent on a connection has been, or it takes no more.
    pub(crate) fn forward_input_over(&mut self, stream: u32) {
        let Some((slot, forward)) = self.forwards.iter_mut().find(|(_, forward)| forward.input == stream) else {
            return;
        };
        let slot = *slot;
        forward.input_over = true;
        // The peer may have ended it already.
        let _ = rustix::net::shutdown(&forward.socket, Shutdown::Write);
        if forward.output.is_none() && forward.connecting.is_none() {
            self.forwards.remove(&slot);
        }
    }

    /// A connection has received something, or its end. False: there is none of this slot.
    pub(crate) fn pump_forward(&mut self, slot: u32) -> bool {
        let Some(forward) = self.forwards.get_mut(&slot) else { return false };
        if let Some(open) = &mut forward.output
            && open.pump(&mut self.channel.session, &self.poll, slot, false) == Flow::Over
        {
            forward.output = None;
            if forward.input_over {
                self.forwards.remove(&slot);
            }
        }
        true
    }

    /// The connection whose received bytes go to this stream.
    pub(crate) fn forward_of(&self, stream: u32) -> Option<u32> {
        self.forwards.iter().find(|(_, forward)| forward.output_stream == stream).map(|(slot, _)| *slot)
    }

    /// Ends a connection at once.
    pub(crate) fn drop_forward(&mut self, slot: u32) {
        let Some(forward) = self.forwards.remove(&slot) else { return };
        self.poll.remove(&forward.socket);
        match &forward.output {
            Some(output) => output.abandon(&mut self.channel.session, &self.poll),
            // Not there when it has ended.
            None => drop(self.channel.session.close(forward.output_stream, CloseReason::Failed)),
        }
        self.close_input(forward.input);
    }

    /// The daemon has gone, and with it those who used the connections.
    pub(crate) fn drop_forwards(&mut self) {
        for (slot, output) in self.forwards.iter().map(|(s, f)| (*s, f.output_stream)).collect::<Vec<_>>() {
            self.drop_forward(slot);
            self.channel.session.drop_send(output);
        }
    }
}
