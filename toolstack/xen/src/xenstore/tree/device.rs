//! Network interfaces and disks: two directories each, of which the guest owns one and dom0 the other.

use std::fmt;
use std::str::FromStr;

use super::{domain_path, libxl_path};
use crate::ids::Domid;
use crate::xenstore::guest::State;
use crate::xenstore::op::Op;
use crate::xenstore::perms::Perms;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceKind {
    /// A network interface.
    Vif,
    /// A disk.
    Vbd,
}

impl DeviceKind {
    /// Both.
    pub const ALL: [DeviceKind; 2] = [DeviceKind::Vif, DeviceKind::Vbd];

    /// Its directory's name.
    pub fn name(self) -> &'static str {
        match self {
            DeviceKind::Vif => "vif",
            DeviceKind::Vbd => "vbd",
        }
    }

    /// Where the backends of this kind are that serve `domid`.
    pub fn backends(self, domid: Domid) -> String {
        format!("{}/backend/{}/{domid}", domain_path(Domid::DOM0), self.name())
    }
}

/// One device of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId {
    /// The domain that uses it.
    pub domid: Domid,
    /// What it is.
    pub kind: DeviceKind,
    /// Which one: a vif's index, a disk's number.
    pub number: u32,
}

impl DeviceId {
    /// The guest's directory. The guest owns it: never read configuration from it.
    pub fn frontend(&self) -> String {
        format!("{}/device/{}/{}", domain_path(self.domid), self.kind.name(), self.number)
    }

    /// dom0's directory.
    pub fn backend(&self) -> String {
        format!("{}/{}", self.kind.backends(self.domid), self.number)
    }

    /// dom0's end's state.
    pub fn backend_state(&self) -> String {
        format!("{}/state", self.backend())
    }

    /// What `xl destroy` walks.
    pub fn libxl(&self) -> String {
        format!("{}/device/{}/{}", libxl_path(self.domid), self.kind.name(), self.number)
    }

    /// Both ends. The states come last: with them the drivers begin.
    fn ops(&self, backend: &[(&str, &str)], frontend: &[(&str, &str)]) -> Vec<Op> {
        let (front, back) = (self.frontend(), self.backend());
        let domid = self.domid.to_string();
        let initialising = State::Initialising.as_str();
        // First for `xl destroy`: whatever stands of the device can then be found and removed.
        let mut ops = vec![Op::write(format!("{}/backend", self.libxl()), &back)];
        let mut write = |dir: &str, name: &str, value: &str| ops.push(Op::write(format!("{dir}/{name}"), value));
        write(&front, "backend", &back);
        write(&front, "backend-id", "0");
        frontend.iter().for_each(|(name, value)| write(&front, name, value));
        write(&front, "state", initialising);
        write(&back, "frontend", &front);
        write(&back, "frontend-id", &domid);
        write(&back, "online", "1");
        backend.iter().for_each(|(name, value)| write(&back, name, value));
        write(&back, "state", initialising);
        ops
    }

    fn late_ops(&self, nodes: &[(&str, &str)]) -> Vec<Op> {
        let dir = self.libxl();
        let mut ops = vec![Op::write(format!("{dir}/frontend"), self.frontend())];
        ops.extend(nodes.iter().map(|(name, value)| Op::write(format!("{dir}/{name}"), value)));
        ops
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of domain {}", self.kind.name(), self.number, self.domid)
    }
}

/// The directory of a domain's backends of one kind: readable by the domain, and so is what comes below.
pub(super) fn backend_dir(domid: Domid, kind: DeviceKind) -> [Op; 2] {
    let dir = kind.backends(domid);
    [Op::mkdir(&dir), Op::set_perms(dir, Perms::readable_by(domid))]
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is no hardware address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no hardware address (six pairs of hexadecimal digits between colons)")]
pub struct ParseMacError(String);

impl FromStr for Mac {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseMacError(text.chars().take(32).collect());
        let mut mac = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut mac {
            let part =
                parts.next().filter(|part| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit()));
            *byte = part.and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(error)?;
        }
        if parts.next().is_some() { Err(error()) } else { Ok(Mac(mac)) }
    }
}

/// A network interface. dom0's end is called `vifN.INDEX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vif {
    /// Which one.
    pub index: u32,
    /// The guest's hardware address.
    pub mac: Mac,
}

impl Vif {
    /// Which device it is.
    pub fn id(&self, domid: Domid) -> DeviceId {
        DeviceId { domid, kind: DeviceKind::Vif, number: self.index }
    }

    /// What attaches it to a running domain, in order.
    pub fn ops(&self, domid: Domid) -> Vec<Op> {
        let mut ops = backend_dir(domid, DeviceKind::Vif).to_vec();
        ops.extend(self.ops_in_dir(domid));
        ops
    }

    pub(super) fn ops_in_dir(&self, domid: Domid) -> Vec<Op> {
        let (mac, handle) = (self.mac.to_string(), self.index.to_string());
        self.id(domid).ops(
            &[
                ("handle", &handle),
                ("mac", &mac),
                // Linux netback fails its probe without this node, and runs nothing when it is empty.
                ("script", ""),
                // It waits for this word before it connects; there is no hotplug script to say it.
                ("hotplug-status", "connected"),
            ],
            &[("mac", &mac)],
        )
    }

    /// What `xl network-list` and `xl list -l` show.
    pub fn late_ops(&self, domid: Domid) -> Vec<Op> {
        self.id(domid).late_ops(&[("handle", &self.index.to_string()), ("mac", &self.mac.to_string())])
    }
}

/// Whether a guest may write to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It may not: blkback refuses writes.
    ReadOnly,
    /// It may.
    ReadWrite,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Mode::ReadOnly => "r",
            Mode::ReadWrite => "w",
        }
    }
}

/// A whole disk as the guest knows it: `xvda` is 0, `xvdb` 1, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualDisk(u32);

impl VirtualDisk {
    /// How many there can be (26 + 26 * 26: `xvda` to `xvdzz`).
    pub const COUNT: u32 = 26 + 26 * 26;

    /// The disk of this index; `None` past the last.
    pub fn from_index(index: u32) -> Option<VirtualDisk> {
        (index < Self::COUNT).then_some(VirtualDisk(index))
    }

    /// Its number in the protocol (docs/man/xen-vbd-interface.7): `202 << 8 | disk << 4` for the first sixteen, then
    /// `1 << 28 | disk << 8`.
    pub fn number(self) -> u32 {
        if self.0 < 16 { 202 << 8 | self.0 << 4 } else { 1 << 28 | self.0 << 8 }
    }

    /// Its name in the guest's `/dev`.
    pub fn name(self) -> String {
        let letter = |index: u32| char::from(b'a' + index as u8);
        match self.0.checked_sub(26) {
            None => format!("xvd{}", letter(self.0)),
            Some(rest) => format!("xvd{}{}", letter(rest / 26), letter(rest % 26)),
        }
    }
}

/// A disk: a block device of dom0 that the guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vbd {
    /// What the guest calls it.
    pub disk: VirtualDisk,
    /// dom0's block device, major and minor.
    pub device: (u32, u32),
    /// dom0's name for it. Only shown, by `xl block-list`.
    pub source: String,
    /// Whether the guest may write.
    pub mode: Mode,
}

impl Vbd {
    /// Which device it is.
    pub fn id(&self, domid: Domid) -> DeviceId {
        DeviceId { domid, kind: DeviceKind::Vbd, number: self.disk.number() }
    }

    /// What attaches it to a running domain, in order.
    pub fn ops(&self, domid: Domid) -> Vec<Op> {
        let mut ops = backend_dir(domid, DeviceKind::Vbd).to_vec();
        ops.extend(self.ops_in_dir(domid));
        ops
    }

    pub(super) fn ops_in_dir(&self, domid: Domid) -> Vec<Op> {
        let (major, minor) = self.device;
        self.id(domid).ops(
            &[
                // blkback names its thread after it, and does not connect without.
                ("dev", &self.disk.name()),
                ("mode", self.mode.as_str()),
                ("physical-device", &format!("{major:x}:{minor:x}")),
            ],
            // blkfront does not take a disk without a type in an HVM container.
            &[("virtual-device", &self.disk.number().to_string()), ("device-type", "disk")],
        )
    }

    /// What `xl block-list` and `xl list -l` show.
    pub fn late_ops(&self, domid: Domid) -> Vec<Op> {
        self.id(domid).late_ops(&[
            ("dev", &self.disk.name()),
            ("type", "phy"),
            ("params", &self.source),
            ("mode", self.mode.as_str()),
            ("removable", "0"),
            ("device-type", "disk"),
        ])
    }
}
