//! The pod's network interfaces, set up by rtnetlink. Every reply of the kernel is read: a refusal is an error here.

use std::fs;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use xenpod_protocol::message::{Interface, Route};

use crate::disks::Halt;
use crate::error::Error;

mod encode;

use encode::{Link, Message};

/// Brings the loopback up and configures every interface. [`Halt::Wait`] when one is not there yet.
pub fn configure(interfaces: &[Interface]) -> Result<(), Halt> {
    let mut socket = Socket::open().map_err(Error::system("open", "a netlink socket"))?;
    let links = socket.links().map_err(Error::system("list", "network interfaces"))?;
    let found: Vec<(&Interface, &Link)> = interfaces
        .iter()
        .map(|wanted| match links.iter().find(|link| link.mac == wanted.mac) {
            Some(link) => Ok((wanted, link)),
            None => Err(Halt::Wait { what: "network interface", name: mac_text(&wanted.mac) }),
        })
        .collect::<Result<_, _>>()?;
    if let Some(loopback) = links.iter().find(|link| link.name == "lo") {
        socket.call(encode::set_link(loopback.index, None, 0, true)).map_err(Error::system("bring up", "lo"))?;
    }
    for (wanted, link) in found {
        interface(&mut socket, wanted, link)?;
    }
    Ok(())
}

fn interface(socket: &mut Socket, wanted: &Interface, link: &Link) -> Result<(), Error> {
    let name = if wanted.name.is_empty() { &link.name } else { &wanted.name };
    let object = |what: &str| format!("{what} of network interface {name}");
    if *name != link.name {
        // Only an interface that is down can be renamed.
        socket
            .call(encode::set_link(link.index, Some(name), 0, false))
            .map_err(Error::system("set", object("the name")))?;
    }
    // Everything is told by dom0. Without IPv6 in the kernel there is nothing to switch off.
    for (file, value) in [("accept_ra", "0"), ("autoconf", "0"), ("accept_dad", "0")] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{file}"), value);
    }
    for address in &wanted.addresses {
        let message = encode::add_address(link.index, &address.ip, address.prefix)
            .ok_or_else(|| invalid("address", &address.ip, address.prefix))?;
        already(socket.call(message)).map_err(Error::system("set", object(&text(&address.ip, address.prefix))))?;
    }
    socket
        .call(encode::set_link(link.index, None, wanted.mtu, true))
        .map_err(Error::system("bring up", object("the link")))?;
    for route in &wanted.routes {
        let Route { destination, prefix, gateway, onlink } = route;
        let message = encode::add_route(link.index, destination, *prefix, gateway, *onlink)
            .ok_or_else(|| invalid("route", destination, *prefix))?;
        already(socket.call(message))
            .map_err(Error::system("set", object(&format!("route {}", text(destination, *prefix)))))?;
    }
    Ok(())
}

/// What is there already is fine.
fn already(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn invalid(what: &'static str, ip: &[u8], prefix: u32) -> Error {
    Error::Invalid { what, value: text(ip, prefix), why: "not 4 or 16 bytes with a prefix that fits" }
}

/// An address as people write it.
fn text(ip: &[u8], prefix: u32) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(ip) {
        return format!("{}/{prefix}", std::net::Ipv4Addr::from(v4));
    }
    if let Ok(v6) = <[u8; 16]>::try_from(ip) {
        return format!("{}/{prefix}", std::net::Ipv6Addr::from(v6));
    }
    format!("{ip:?}/{prefix}")
}

fn mac_text(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// A socket to rtnetlink, one question at a time.
struct Socket {
    fd: rustix::fd::OwnedFd,
    sequence: u32,
}

impl Socket {
    fn open() -> rustix::io::Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE is protocol 0.
            None,
        )?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { fd, sequence: 0 })
    }

    fn ask(&mut self, message: Message) -> rustix::io::Result<u32> {
        self.sequence += 1;
        rustix::net::send(&self.fd, &message.finish(self.sequence), SendFlags::empty())?;
        Ok(self.sequence)
    }

    /// Does something, and waits for the kernel's word on it.
    fn call(&mut self, message: Message) -> rustix::io::Result<()> {
        let sequence = self.ask(message)?;
        let mut buffer = vec![0; 8192];
        loop {
            let (length, _) = rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty())?;
            for reply in encode::replies(&buffer[..length]) {
                if reply.sequence == sequence
                    && let Some(code) = reply.error
                {
                    return if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(-code)) };
                }
            }
        }
    }

    /// All interfaces.
    fn links(&mut self) -> rustix::io::Result<Vec<Link>> {
        let sequence = self.ask(encode::list_links())?;
        let mut links = Vec::new();
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let (length, _) = rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty())?;
            for reply in encode::replies(&buffer[..length]).filter(|reply| reply.sequence == sequence) {
                if let Some(code) = reply.error {
                    return if code == 0 { Ok(links) } else { Err(Errno::from_raw_os_error(-code)) };
                }
                if reply.done {
                    return Ok(links);
                }
                links.extend(encode::link(reply.body));
            }
        }
    }
}

#[cfg(test)]
mod tests;
