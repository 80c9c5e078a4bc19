//! Short forms of the nf_tables expressions the rules are written in.
//!
//! Registers follow nft's own layout: concatenations fill consecutive 32-bit registers, each part padded to 4 bytes.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Lookup, Meta, MetaKey,
    Operator, Payload, Register, Verdict, VerdictAttribute,
};

/// One expression of a rule.
pub type Expr = ListAttribute<ExpressionAttribute>;

/// Where a payload offset counts from (`enum nft_payload_bases`).
#[derive(Clone, Copy)]
pub enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// Final verdicts (`linux/netfilter.h`).
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

/// `enum nft_ct_keys` and `enum nft_ct_attributes`.
pub const CT_STATE: u32 = 0;
pub const CT_STATUS: u32 = 2;
const NFTA_CT_DREG: u16 = 1;
const NFTA_CT_KEY: u16 = 2;

/// `NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED)`, as nft's `ct state established,related`.
pub const ESTABLISHED_RELATED: u32 = 0x6;
/// `IPS_DST_NAT`.
pub const DNAT: u32 = 0x20;

pub fn meta(key: MetaKey, reg: Register) -> Expr {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(reg)]).into()
}

pub fn payload(base: Base, offset: u32, len: u32, reg: Register) -> Expr {
    Expressions::Payload(vec![
        Payload::DestinationRegister(reg),
        Payload::Base(base as u32),
        Payload::Offset(offset),
        Payload::Len(len),
    ])
    .into()
}

fn cmp(op: Operator, data: &[u8]) -> Expr {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(op),
        Cmp::Data(DataAttribute::Value(data.to_vec())),
    ])
    .into()
}

/// Go on only if register 1 holds `data`.
pub fn is(data: &[u8]) -> Expr {
    cmp(Operator::Equal, data)
}

/// Go on only if register 1 does not hold `data`.
pub fn is_not(data: &[u8]) -> Expr {
    cmp(Operator::NotEqual, data)
}

/// Register 1 &= `mask`.
pub fn and(mask: &[u8]) -> Expr {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(mask.len() as u32),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(vec![0; mask.len()])),
    ])
    .into()
}

/// Go on only if what starts at register 1 is in the set.
pub fn in_set(set: &str) -> Expr {
    lookup(set, 0)
}

/// Go on only if what starts at register 1 is not in the set.
pub fn not_in_set(set: &str) -> Expr {
    const NFT_LOOKUP_F_INV: u32 = 1;
    lookup(set, NFT_LOOKUP_F_INV)
}

fn lookup(set: &str, flags: u32) -> Expr {
    Expressions::Lookup(vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(Register::Reg1), Lookup::Flags(flags)])
        .into()
}

/// Load connection tracking `key` into register 1.
pub fn ct(key: u32) -> Expr {
    Expressions::Other {
        expression_type: "ct".to_owned(),
        attributes: vec![
            DefaultNla::new(NFTA_CT_KEY, key.to_be_bytes().to_vec()),
            DefaultNla::new(NFTA_CT_DREG, u32::from(Register::Reg1).to_be_bytes().to_vec()),
        ],
    }
    .into()
}

pub fn masquerade() -> Expr {
    Expressions::Other { expression_type: "masq".to_owned(), attributes: vec![] }.into()
}

pub fn accept() -> Expr {
    verdict(vec![VerdictAttribute::Code(Verdict::Other(NF_ACCEPT))])
}

pub fn drop() -> Expr {
    verdict(vec![VerdictAttribute::Code(Verdict::Other(NF_DROP))])
}

pub fn goto(chain: &str) -> Expr {
    verdict(vec![VerdictAttribute::Code(Verdict::Goto), VerdictAttribute::Chain(chain.to_owned())])
}

fn verdict(attributes: Vec<VerdictAttribute>) -> Expr {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(attributes)),
    ])
    .into()
}

/// nft's user data: `type, length, value` records; type 0 is the comment, for tables and for set elements alike
/// (`NFTNL_UDATA_TABLE_COMMENT`, `NFTNL_UDATA_SET_ELEM_COMMENT`).
pub fn comment(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(127)];
    let mut out = vec![0, text.len() as u8 + 1];
    out.extend_from_slice(text);
    out.push(0);
    out
}

/// The comment in user data, if there is one.
pub fn read_comment(mut data: &[u8]) -> Option<&str> {
    while let [kind, len, rest @ ..] = data {
        let value = rest.get(..usize::from(*len))?;
        if *kind == 0 {
            return std::str::from_utf8(value.strip_suffix(&[0])?).ok();
        }
        data = &rest[usize::from(*len)..];
    }
    None
}
