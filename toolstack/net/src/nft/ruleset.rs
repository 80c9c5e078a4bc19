//! The fixed rules. In nft's own notation:
//!
//! ```text
//! table bridge xenpod {
//!   set pod_ports { type ifname }
//!   set pod_mac   { type ifname . ether_addr }
//!   set pod_ip4   { type ifname . ether_addr . ipv4_addr }
//!   set pod_ip6   { type ifname . ether_addr . ipv6_addr }
//!   chain pod {
//!     iifname . ether saddr != @pod_mac drop
//!     ether type arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4 iifname . arp saddr ether . arp saddr ip @pod_ip4 accept
//!     ether type ip udp sport 67 drop                                                         # DHCP server
//!     ether type ip iifname . ether saddr . ip saddr @pod_ip4 accept
//!     ether type ip6 icmpv6 type 134 drop                                                     # router advertisement
//!     ether type ip6 icmpv6 type 137 drop                                                     # redirect
//!     ether type ip6 udp sport 547 drop                                                       # DHCPv6 server
//!     ether type ip6 icmpv6 type 136 iifname . ether saddr . (target of the advertisement) != @pod_ip6 drop
//!     ether type ip6 ip6 saddr :: icmpv6 type {131, 132, 135, 143} accept                     # DAD, MLD before an address
//!     ether type ip6 iifname . ether saddr . ip6 saddr @pod_ip6 accept
//!     drop
//!   }
//!   chain prerouting { type filter hook prerouting priority -300; iifname @pod_ports goto pod }
//! }
//! table inet xenpod {
//!   chain postrouting { type nat hook postrouting priority srcnat
//!     oifname != BRIDGE ip saddr V4 ip daddr != V4 masquerade
//!     oifname != BRIDGE ip6 saddr V6 ip6 daddr != V6 masquerade }
//!   chain forward { type filter hook forward priority filter
//!     oifname BRIDGE iifname != BRIDGE ct state established,related accept
//!     oifname BRIDGE iifname != BRIDGE ct status dnat accept
//!     oifname BRIDGE iifname != BRIDGE drop }
//! }
//! ```
//!
//! The pod chain matches by port name, not by bridge, so that `nft_meta_bridge` is not needed; frames of other bridges
//! cost one failed hash lookup. VLAN-tagged frames have another `ether type` and end in the last `drop`.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::NetfilterProtoFamily as Family;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, MetaKey, NfTablesMessage, Register, RuleAttribute, RuleMessage,
    SetAttribute, SetMessage, TableAttribute, TableMessage,
};

use super::TABLE;
use super::expr::{self, Base, Expr};
use super::pins::Set;
use super::socket::Request;
use crate::config::{Inbound, Plan};

/// `linux/netfilter.h`: `NF_INET_*` and, for the bridge family, `NF_BR_PRE_ROUTING`.
const PRE_ROUTING: u32 = 0;
const FORWARD: u32 = 2;
const POST_ROUTING: u32 = 4;

/// Before everything else on the bridge (`NF_BR_PRI_NAT_DST_BRIDGED` is -300 as well).
const PRIORITY_FIRST: i32 = -300;
const PRIORITY_FILTER: i32 = 0;
/// `NF_IP_PRI_NAT_SRC`.
const PRIORITY_SRCNAT: i32 = 100;

const ETH_ARP: [u8; 2] = [0x08, 0x06];
const ETH_IP: [u8; 2] = [0x08, 0x00];
const ETH_IP6: [u8; 2] = [0x86, 0xdd];
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// What our tables' comment begins with; the rest is the revision.
pub const MARK: &str = "xenpod rules ";

/// The comment of tables that hold the rules of `plan` as this build writes them.
pub fn revision(plan: &Plan) -> String {
    // FNV-1a over the messages: it only has to differ when they do.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for request in body(plan) {
        for byte in format!("{request:?}").bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{MARK}{hash:016x}")
}

/// Make both tables with all their sets, chains and rules.
pub fn create(plan: &Plan) -> Vec<Request> {
    let comment = expr::comment(&revision(plan));
    let mut out: Vec<_> = [Family::Bridge, Family::Inet]
        .into_iter()
        .map(|family| Request {
            family,
            message: NfTablesMessage::NewTable(TableMessage {
                attributes: vec![TableAttribute::Name(TABLE.into()), TableAttribute::UserData(comment.clone())],
            }),
            flags: NLM_F_CREATE,
            what: format!("add table {} {TABLE}", name(family)),
        })
        .collect();
    out.extend(body(plan));
    out
}

/// Ask for our table of `family`.
pub fn get(family: Family) -> Request {
    Request {
        family,
        message: NfTablesMessage::GetTable(TableMessage { attributes: vec![TableAttribute::Name(TABLE.into())] }),
        flags: 0,
        what: format!("get table {} {TABLE}", name(family)),
    }
}

/// Delete our table of `family`, whole.
pub fn delete(family: Family) -> Request {
    Request {
        family,
        message: NfTablesMessage::DeleteTable(TableMessage { attributes: vec![TableAttribute::Name(TABLE.into())] }),
        flags: 0,
        what: format!("delete table {} {TABLE}", name(family)),
    }
}

fn name(family: Family) -> &'static str {
    if family == Family::Bridge { "bridge" } else { "inet" }
}

fn body(plan: &Plan) -> Vec<Request> {
    let mut out: Vec<_> = Set::ALL.into_iter().map(set).collect();
    out.push(chain(Family::Bridge, "pod", None));
    out.push(chain(Family::Bridge, "prerouting", Some(("filter", PRE_ROUTING, PRIORITY_FIRST))));
    add_rules(&mut out, Family::Bridge, "pod", pod_rules());
    let jump = vec![expr::meta(MetaKey::Iifname, Register::Reg1), expr::in_set(Set::Ports.name()), expr::goto("pod")];
    add_rules(&mut out, Family::Bridge, "prerouting", vec![jump]);

    out.push(chain(Family::Inet, "postrouting", Some(("nat", POST_ROUTING, PRIORITY_SRCNAT))));
    out.push(chain(Family::Inet, "forward", Some(("filter", FORWARD, PRIORITY_FILTER))));
    if plan.masquerade {
        add_rules(&mut out, Family::Inet, "postrouting", masquerade_rules(plan));
    }
    if plan.inbound == Inbound::Deny {
        add_rules(&mut out, Family::Inet, "forward", inbound_rules(plan));
    }
    out
}

fn pod_rules() -> Vec<Vec<Expr>> {
    use expr::{accept, drop, in_set, is, not_in_set, payload};
    let r1 = Register::Reg1;
    let ether = |kind: &[u8]| vec![payload(Base::Link, 12, 2, r1), is(kind)];
    let l4 = |kind: &[u8], proto: u8| [ether(kind), vec![expr::meta(MetaKey::L4Proto, r1), is(&[proto])]].concat();
    let icmp6 = |kind: u8| [l4(&ETH_IP6, ICMPV6), vec![payload(Base::Transport, 0, 1, r1), is(&[kind])]].concat();
    // iifname . MAC . address, laid out as the sets' keys are.
    let key = |mac_base, mac_at| {
        vec![expr::meta(MetaKey::Iifname, Register::Reg32_00), payload(mac_base, mac_at, 6, Register::Reg32_04)]
    };
    let address = |base, at, len| payload(base, at, len, Register::Reg32_06);
    let from = |port: u16| [vec![payload(Base::Transport, 0, 2, r1), is(&port.to_be_bytes())], vec![drop()]].concat();

    let mut rules = vec![
        [key(Base::Link, 6), vec![not_in_set(Set::Mac.name()), drop()]].concat(),
        [
            ether(&ETH_ARP),
            // Ethernet and IPv4 with addresses of 6 and 4 bytes: only then are the offsets below right.
            vec![payload(Base::Network, 0, 4, r1), is(&[0, 1, 8, 0]), payload(Base::Network, 4, 2, r1), is(&[6, 4])],
            key(Base::Network, 8),
            vec![address(Base::Network, 14, 4), in_set(Set::Ip4.name()), accept()],
        ]
        .concat(),
        [l4(&ETH_IP, UDP), from(67)].concat(),
        [ether(&ETH_IP), key(Base::Link, 6), vec![address(Base::Network, 12, 4), in_set(Set::Ip4.name()), accept()]]
            .concat(),
        [icmp6(134), vec![drop()]].concat(),
        [icmp6(137), vec![drop()]].concat(),
        [l4(&ETH_IP6, UDP), from(547)].concat(),
        [icmp6(136), key(Base::Link, 6), vec![address(Base::Transport, 8, 16), not_in_set(Set::Ip6.name()), drop()]]
            .concat(),
    ];
    // No set for four types that come once in a pod's life.
    for kind in [131, 132, 135, 143] {
        rules.push([icmp6(kind), vec![payload(Base::Network, 8, 16, r1), is(&[0; 16]), accept()]].concat());
    }
    rules.push(
        [ether(&ETH_IP6), key(Base::Link, 6), vec![address(Base::Network, 8, 16), in_set(Set::Ip6.name()), accept()]]
            .concat(),
    );
    rules.push(vec![drop()]);
    rules
}

fn masquerade_rules(plan: &Plan) -> Vec<Vec<Expr>> {
    let r1 = Register::Reg1;
    let rule = |proto: u8, src_at: u32, net: &[u8], mask: &[u8]| {
        let len = net.len() as u32;
        vec![
            expr::meta(MetaKey::Oifname, r1),
            expr::is_not(&plan.bridge.padded()),
            expr::meta(MetaKey::Nfproto, r1),
            expr::is(&[proto]),
            expr::payload(Base::Network, src_at, len, r1),
            expr::and(mask),
            expr::is(net),
            expr::payload(Base::Network, src_at + len, len, r1),
            expr::and(mask),
            expr::is_not(net),
            expr::masquerade(),
        ]
    };
    vec![
        rule(NFPROTO_IPV4, 12, &plan.v4.network().octets(), &plan.v4.netmask().octets()),
        rule(NFPROTO_IPV6, 8, &plan.v6.network().octets(), &plan.v6.netmask().octets()),
    ]
}

fn inbound_rules(plan: &Plan) -> Vec<Vec<Expr>> {
    let r1 = Register::Reg1;
    let into = || {
        vec![
            expr::meta(MetaKey::Oifname, r1),
            expr::is(&plan.bridge.padded()),
            expr::meta(MetaKey::Iifname, r1),
            expr::is_not(&plan.bridge.padded()),
        ]
    };
    let tracked = |key: u32, bits: u32| {
        vec![expr::ct(key), expr::and(&bits.to_ne_bytes()), expr::is_not(&[0; 4]), expr::accept()]
    };
    vec![
        [into(), tracked(expr::CT_STATE, expr::ESTABLISHED_RELATED)].concat(),
        [into(), tracked(expr::CT_STATUS, expr::DNAT)].concat(),
        [into(), vec![expr::drop()]].concat(),
    ]
}

/// nft's note on a set (`NFTNL_UDATA_SET_KEYBYTEORDER`, 4 bytes: 1, host order), without which it prints names reversed.
fn host_order() -> Vec<u8> {
    [&[0, 4][..], &1u32.to_ne_bytes()].concat()
}

fn set(set: Set) -> Request {
    Request {
        family: Family::Bridge,
        message: NfTablesMessage::NewSet(SetMessage {
            attributes: vec![
                SetAttribute::Table(TABLE.into()),
                SetAttribute::Name(set.name().into()),
                SetAttribute::KeyType(set.key_type()),
                SetAttribute::KeyLen(set.key_len()),
                SetAttribute::Id(set as u32 + 1),
                SetAttribute::UserData(if set == Set::Ports { host_order() } else { Vec::new() }),
            ],
        }),
        flags: NLM_F_CREATE,
        what: format!("add set bridge {TABLE} {}", set.name()),
    }
}

fn chain(family: Family, chain: &str, base: Option<(&str, u32, i32)>) -> Request {
    let mut attributes = vec![ChainAttribute::Table(TABLE.into()), ChainAttribute::Name(chain.into())];
    if let Some((kind, hook, priority)) = base {
        attributes.push(ChainAttribute::Hook(vec![
            Hook::Number(HookNumber::Other(hook)),
            Hook::Priority(priority.cast_unsigned()),
        ]));
        attributes.push(ChainAttribute::Type(kind.into()));
    }
    Request {
        family,
        message: NfTablesMessage::NewChain(ChainMessage { attributes }),
        flags: NLM_F_CREATE,
        what: format!("add chain {} {TABLE} {chain}", name(family)),
    }
}

fn add_rules(out: &mut Vec<Request>, family: Family, chain: &str, rules: Vec<Vec<Expr>>) {
    for (number, expressions) in (1..).zip(rules) {
        out.push(Request {
            family,
            message: NfTablesMessage::NewRule(RuleMessage {
                attributes: vec![
                    RuleAttribute::Table(TABLE.into()),
                    RuleAttribute::Chain(chain.into()),
                    RuleAttribute::Expressions(expressions),
                ],
            }),
            flags: NLM_F_CREATE | NLM_F_APPEND,
            what: format!("add rule {number} of chain {} {TABLE} {chain}", name(family)),
        });
    }
}
