//! The instructions that a rule consists of, as data, and their netlink form.
//!
//! Only the forms that `ruleset` writes are told apart: operands go through register 1 and verdicts through the
//! verdict register. Whatever else the kernel reports becomes `Other`, which is equal to nothing we write. Decoding
//! must never panic. Called by `message` and `proof`.

use std::fmt;

use super::attribute::{Fields, Writer};

/// `NFT_META_IIFNAME`: name of the interface a packet arrived on.
pub(super) const META_IIFNAME: u32 = 6;
/// `NFT_META_L4PROTO`.
pub(super) const META_L4PROTO: u32 = 16;
/// `NFT_CT_STATE`: a bit mask, in the byte order of the machine.
pub(super) const CT_STATE: u32 = 0;
/// `NFT_CT_STATUS`: a bit mask, in the byte order of the machine.
pub(super) const CT_STATUS: u32 = 2;
/// `NFT_PAYLOAD_TRANSPORT_HEADER`.
pub(super) const TRANSPORT_HEADER: u32 = 2;
/// `NFT_SOCKET_WILDCARD`: 1 where the socket is bound to all addresses, 0 where to one.
pub(super) const SOCKET_WILDCARD: u32 = 2;
/// `NFT_CMP_EQ`, `_NEQ`, `_LTE`.
pub(super) const EQUAL: u32 = 0;
pub(super) const NOT_EQUAL: u32 = 1;
pub(super) const LESS_OR_EQUAL: u32 = 3;
/// Verdicts: `NF_DROP`, `NF_ACCEPT`, `NFT_RETURN` (-5).
pub(super) const DROP: u32 = 0;
pub(super) const ACCEPT: u32 = 1;
pub(super) const RETURN: u32 = 0xffff_fffb;
/// `NFT_REJECT_TCP_RST`.
pub(super) const TCP_RESET: u32 = 1;

const LIST_ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;
/// `NF_NAT_RANGE_PROTO_SPECIFIED`, which the kernel derives from the port itself.
const PROTO_SPECIFIED: u32 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// Loads a fact about the packet.
    Meta(u32),
    /// Loads a part of the packet.
    Payload { base: u32, offset: u32, length: u32 },
    /// Loads a fact about the connection. Ends the rule without a match where the packet has none (except the state).
    Ct(u32),
    /// Loads a fact about the socket the packet is for. Ends the rule without a match where there is none.
    Socket(u32),
    /// Ends the rule unless the register compares so.
    Compare { operator: u32, value: Vec<u8> },
    /// Keeps some bits of the register.
    Bitwise { mask: Vec<u8>, xor: Vec<u8> },
    /// Puts a constant into the register.
    Load(Vec<u8>),
    /// Ends the chain.
    Verdict(u32),
    /// Sends the packet to this machine, port from the register.
    Redirect,
    /// Refuses the packet.
    Reject(u32),
    /// Anything that this program does not write.
    Other { name: String, data: Vec<u8> },
}

impl Expression {
    fn name(&self) -> &str {
        match self {
            Self::Meta(_) => "meta",
            Self::Payload { .. } => "payload",
            Self::Ct(_) => "ct",
            Self::Socket(_) => "socket",
            Self::Compare { .. } => "cmp",
            Self::Bitwise { .. } => "bitwise",
            Self::Load(_) | Self::Verdict(_) => "immediate",
            Self::Redirect => "redir",
            Self::Reject(_) => "reject",
            Self::Other { name, .. } => name,
        }
    }

    /// The kernel module that has to be there; `None` where it is part of `nf_tables` itself.
    pub(super) fn module(&self) -> Option<&'static str> {
        match self {
            Self::Ct(_) => Some("nft_ct"),
            Self::Socket(_) => Some("nft_socket"),
            Self::Redirect => Some("nft_redir"),
            Self::Reject(_) => Some("nft_reject_inet"),
            _ => None,
        }
    }

    /// Adds this to the expressions of a rule.
    pub(super) fn encode(&self, list: &mut Writer) {
        list.nested(LIST_ELEMENT, |element| {
            element.string(NAME, self.name());
            if let Self::Other { data, .. } = self {
                element.bytes(DATA, data);
            } else {
                element.nested(DATA, |data| self.encode_data(data));
            }
        });
    }

    fn encode_data(&self, data: &mut Writer) {
        match self {
            Self::Meta(key) => {
                data.be32(2, *key);
                data.be32(1, REGISTER_1);
            }
            Self::Payload { base, offset, length } => {
                data.be32(1, REGISTER_1);
                data.be32(2, *base);
                data.be32(3, *offset);
                data.be32(4, *length);
            }
            Self::Ct(key) => {
                data.be32(1, REGISTER_1);
                data.be32(2, *key);
            }
            Self::Socket(key) => {
                data.be32(1, *key);
                data.be32(2, REGISTER_1);
            }
            Self::Compare { operator, value } => {
                data.be32(1, REGISTER_1);
                data.be32(2, *operator);
                data.nested(3, |inner| inner.bytes(DATA_VALUE, value));
            }
            Self::Bitwise { mask, xor } => {
                data.be32(1, REGISTER_1);
                data.be32(2, REGISTER_1);
                data.be32(3, u32::try_from(mask.len()).unwrap_or(u32::MAX));
                data.nested(4, |inner| inner.bytes(DATA_VALUE, mask));
                data.nested(5, |inner| inner.bytes(DATA_VALUE, xor));
            }
            Self::Load(value) => {
                data.be32(1, REGISTER_1);
                data.nested(2, |inner| inner.bytes(DATA_VALUE, value));
            }
            Self::Verdict(code) => {
                data.be32(1, REGISTER_VERDICT);
                data.nested(2, |inner| inner.nested(DATA_VERDICT, |v| v.be32(VERDICT_CODE, *code)));
            }
            Self::Redirect => {
                data.be32(1, REGISTER_1);
                data.be32(3, PROTO_SPECIFIED);
            }
            Self::Reject(kind) => data.be32(1, *kind),
            Self::Other { .. } => {}
        }
    }

    /// The expressions of a rule; `None` where the list itself is malformed.
    pub(super) fn decode_list(list: &[u8]) -> Option<Vec<Self>> {
        Fields::parse(list)?.all(LIST_ELEMENT).map(Self::decode).collect()
    }

    fn decode(element: &[u8]) -> Option<Self> {
        let mut element = Fields::parse(element)?;
        let name = element.string(NAME)?;
        let data = element.take(DATA).unwrap_or_default();
        let known = Fields::parse(data).and_then(|fields| Self::decode_data(name, fields));
        Some(known.unwrap_or_else(|| Self::Other { name: name.to_owned(), data: data.to_vec() }))
    }

    /// `None` for every form that this program does not write. The last number of each arm is the highest attribute
    /// of that expression that existed in Linux 6.18.
    fn decode_data(name: &str, mut fields: Fields<'_>) -> Option<Self> {
        let (expression, highest_known) = match name {
            "meta" => {
                register(&mut fields, 1)?;
                (Self::Meta(fields.be32(2)?), 3)
            }
            "payload" => {
                register(&mut fields, 1)?;
                let (base, offset, length) = (fields.be32(2)?, fields.be32(3)?, fields.be32(4)?);
                (Self::Payload { base, offset, length }, 8)
            }
            "ct" => {
                register(&mut fields, 1)?;
                (Self::Ct(fields.be32(2)?), 4)
            }
            "socket" => {
                register(&mut fields, 2)?;
                (Self::Socket(fields.be32(1)?), 3)
            }
            "cmp" => {
                register(&mut fields, 1)?;
                (Self::Compare { operator: fields.be32(2)?, value: constant(&mut fields, 3)? }, 3)
            }
            "bitwise" => (decode_bitwise(&mut fields)?, 8),
            "immediate" => (decode_immediate(&mut fields)?, 2),
            "redir" => {
                register(&mut fields, 1)?;
                fields.default32(2, REGISTER_1)?;
                fields.default32(3, PROTO_SPECIFIED)?;
                (Self::Redirect, 3)
            }
            "reject" => {
                let kind = fields.be32(1)?;
                fields.default32(2, 0)?;
                (Self::Reject(kind), 2)
            }
            _ => return None,
        };
        fields.nothing_else(highest_known)?;
        Some(expression)
    }
}

fn register(fields: &mut Fields<'_>, kind: u16) -> Option<()> {
    (fields.be32(kind)? == REGISTER_1).then_some(())
}

fn constant(fields: &mut Fields<'_>, kind: u16) -> Option<Vec<u8>> {
    let mut data = fields.nested(kind)?;
    let value = data.take(DATA_VALUE)?.to_vec();
    data.nothing_else(DATA_VERDICT)?;
    Some(value)
}

fn decode_bitwise(fields: &mut Fields<'_>) -> Option<Expression> {
    register(fields, 1)?;
    register(fields, 2)?;
    let length = fields.be32(3)?;
    let (mask, xor) = (constant(fields, 4)?, constant(fields, 5)?);
    // Kernels since 5.6 name the operation; 0 is mask-and-xor, the only one before.
    fields.default32(6, 0)?;
    let whole = usize::try_from(length).ok()? == mask.len();
    whole.then_some(Expression::Bitwise { mask, xor })
}

fn decode_immediate(fields: &mut Fields<'_>) -> Option<Expression> {
    match fields.be32(1)? {
        REGISTER_1 => Some(Expression::Load(constant(fields, 2)?)),
        REGISTER_VERDICT => {
            let mut data = fields.nested(2)?;
            let mut verdict = data.nested(DATA_VERDICT)?;
            let code = verdict.be32(VERDICT_CODE)?;
            verdict.nothing_else(3)?;
            data.nothing_else(DATA_VERDICT)?;
            Some(Expression::Verdict(code))
        }
        _ => None,
    }
}

/// In the form that `nft --debug=netlink` prints, which is what somebody will compare it with.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta(META_IIFNAME) => f.write_str("meta iifname"),
            Self::Meta(META_L4PROTO) => f.write_str("meta l4proto"),
            Self::Meta(key) => write!(f, "meta {key}"),
            Self::Payload { base: TRANSPORT_HEADER, offset, length } => {
                write!(f, "payload {length}b @ transport header + {offset}")
            }
            Self::Payload { base, offset, length } => write!(f, "payload {length}b @ {base} + {offset}"),
            Self::Ct(CT_STATE) => f.write_str("ct state"),
            Self::Ct(CT_STATUS) => f.write_str("ct status"),
            Self::Ct(key) => write!(f, "ct {key}"),
            Self::Socket(SOCKET_WILDCARD) => f.write_str("socket wildcard"),
            Self::Socket(key) => write!(f, "socket {key}"),
            Self::Compare { operator, value } => {
                let operators = ["eq", "neq", "lt", "lte", "gt", "gte"];
                let name = usize::try_from(*operator).ok().and_then(|at| operators.get(at)).unwrap_or(&"?");
                write!(f, "cmp {name} 0x{}", Hex(value))
            }
            Self::Bitwise { mask, xor } => write!(f, "bitwise & 0x{} ^ 0x{}", Hex(mask), Hex(xor)),
            Self::Load(value) => write!(f, "immediate 0x{}", Hex(value)),
            Self::Verdict(DROP) => f.write_str("drop"),
            Self::Verdict(ACCEPT) => f.write_str("accept"),
            Self::Verdict(RETURN) => f.write_str("return"),
            Self::Verdict(code) => write!(f, "verdict {code}"),
            Self::Redirect => f.write_str("redir"),
            Self::Reject(TCP_RESET) => f.write_str("reject with tcp reset"),
            Self::Reject(kind) => write!(f, "reject {kind}"),
            Self::Other { name, data } => write!(f, "{} 0x{}", name.escape_default(), Hex(data)),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests;
