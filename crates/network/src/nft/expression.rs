//! What rules are made of.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use stockade_kernel::netlink::message::Attributes;

use crate::model::InterfaceName;

/// How something is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    /// It is so.
    Equal,
    /// It is not.
    Other,
}

/// The registers that are used, of sixteen bytes: of two values the first and the second.
const FIRST: [u8; 4] = 1u32.to_be_bytes();
const SECOND: [u8; 4] = 2u32.to_be_bytes();
/// The first of the registers of four bytes (`NFT_REG32_00`), which are the same ones.
const WORDS: u32 = 8;

/// One expression of a rule: its name and its attributes.
#[derive(Clone, Debug)]
pub(crate) struct Expression(&'static str, Attributes);

/// A rule: expressions from left to right.
pub(crate) type Rule = Vec<Expression>;

impl Expression {
    /// As it stands in a rule's list.
    pub(super) fn written(&self) -> Attributes {
        Attributes::new().string(1, self.0).nested(2, &self.1)
    }
}

fn compare(is: Is, value: &[u8]) -> Expression {
    let operator: u32 = u32::from(is == Is::Other);
    let data = Attributes::new().attribute(1, value);
    Expression("cmp", Attributes::new().attribute(1, &FIRST).attribute(2, &operator.to_be_bytes()).nested(3, &data))
}

fn meta(key: u32) -> Expression {
    meta_into(1, key)
}

fn meta_into(register: u32, key: u32) -> Expression {
    Expression("meta", numbers(&[(2, key), (1, register)]))
}

fn payload(base: u32, offset: u32, length: u32) -> Expression {
    payload_into(1, (base, offset), length)
}

fn payload_into(register: u32, (base, offset): (u32, u32), length: u32) -> Expression {
    Expression("payload", numbers(&[(1, register), (2, base), (3, offset), (4, length)]))
}

/// Attributes that are numbers.
fn numbers(all: &[(u16, u32)]) -> Attributes {
    all.iter().fold(Attributes::new(), |all, (kind, value)| all.attribute(*kind, &value.to_be_bytes()))
}

/// Leaves the bits of `mask`.
fn masked(mask: &[u8]) -> Expression {
    let length = mask.len() as u32;
    let all = Attributes::new()
        .attribute(1, &FIRST)
        .attribute(2, &FIRST)
        .attribute(3, &length.to_be_bytes())
        .nested(4, &Attributes::new().attribute(1, mask))
        .nested(5, &Attributes::new().attribute(1, &vec![0; mask.len()]));
    Expression("bitwise", all)
}

/// `NFT_META_IIFNAME` and `NFT_META_OIFNAME`.
const CAME_BY: u32 = 6;
const LEAVES_BY: u32 = 7;
/// The interface of a network namespace by which it reaches itself.
const LOOPBACK: &str = "lo";

fn interface(key: u32, is: Is, name: &str) -> Rule {
    // The kernel compares the whole of IFNAMSIZ.
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    vec![meta(key), compare(is, &bytes)]
}

/// `iifname`.
pub(crate) fn from(is: Is, name: &InterfaceName) -> Rule {
    interface(CAME_BY, is, name.as_str())
}

/// `iifname lo`.
pub(crate) fn from_loopback(is: Is) -> Rule {
    interface(CAME_BY, is, LOOPBACK)
}

/// `oifname`.
pub(crate) fn to(is: Is, name: &InterfaceName) -> Rule {
    interface(LEAVES_BY, is, name.as_str())
}

/// `oifname lo`.
pub(crate) fn to_loopback(is: Is) -> Rule {
    interface(LEAVES_BY, is, LOOPBACK)
}

/// `meta l4proto`.
pub(crate) fn protocol(is: Is, number: u8) -> Rule {
    vec![meta(16), compare(is, &[number])]
}

/// `meta nfproto`, of the version of `address`.
pub(crate) fn version(address: IpAddr) -> Rule {
    vec![meta(15), compare(Is::Equal, &[if address.is_ipv4() { 2 } else { 10 }])]
}

/// `ether type`, in the table of frames.
pub(crate) fn frame(is: Is, kind: u16) -> Rule {
    vec![meta(1), compare(is, &kind.to_be_bytes())]
}

/// `ether daddr` of those that a bridge keeps to its link (IEEE 802.1D, 01:80:c2:00:00:00 and the fifteen behind it).
pub(crate) fn kept_to_link() -> Rule {
    vec![payload(0, 0, 6), masked(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]), compare(Is::Equal, &[1, 0x80, 0xc2, 0, 0, 0])]
}

/// Bytes of the transport's header.
pub(crate) fn transport(offset: u32, is: Is, value: &[u8]) -> Rule {
    vec![payload(2, offset, value.len() as u32), compare(is, value)]
}

/// `th dport`.
pub(crate) fn port(number: u16) -> Rule {
    transport(DESTINATION_PORT, Is::Equal, &number.to_be_bytes())
}

/// `th sport`.
pub(crate) fn source_port(number: u16) -> Rule {
    transport(SOURCE_PORT, Is::Equal, &number.to_be_bytes())
}

/// Where the ports are in the header of a transport that has any.
pub(crate) const SOURCE_PORT: u32 = 0;
pub(crate) const DESTINATION_PORT: u32 = 2;

/// A transport whose header can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// `tcp(7)`.
    Tcp,
    /// `udp(7)`.
    Udp,
}

impl Transport {
    /// `IPPROTO_*`.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// Where its checksum is.
    fn checksum(self) -> u32 {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }
}

/// `tcp dport set`, `udp sport set` and so on: one of the ports is another one from here on, and the checksum is right for it.
pub(crate) fn set_port(transport: Transport, offset: u32, number: u16) -> Rule {
    // NFT_PAYLOAD_CSUM_INET.
    let csum: u32 = 1;
    let all = [(5, 1), (2, 2), (3, offset), (4, 2), (6, csum), (7, transport.checksum())];
    vec![load(&FIRST, &number.to_be_bytes()), Expression("payload", numbers(&all))]
}

/// Puts a value into a register.
fn load(register: &[u8], value: &[u8]) -> Expression {
    let data = Attributes::new().attribute(1, value);
    Expression("immediate", Attributes::new().attribute(1, register).nested(2, &data))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Whether the source is in that range.
pub(crate) fn source(is: Is, range: IpNet) -> Rule {
    range_at(if range.addr().is_ipv4() { 12 } else { 8 }, is, range)
}

/// Whether the destination is in that range.
pub(crate) fn destination(is: Is, range: IpNet) -> Rule {
    range_at(if range.addr().is_ipv4() { 16 } else { 24 }, is, range)
}

fn range_at(offset: u32, is: Is, range: IpNet) -> Rule {
    let (network, mask) = (octets(range.network()), octets(range.netmask()));
    let mut rule = vec![payload(1, offset, network.len() as u32)];
    if range.prefix_len() < range.max_prefix_len() {
        rule.push(masked(&mask));
    }
    rule.push(compare(is, &network));
    rule
}

/// Whether the destination is an address of the host.
pub(crate) fn to_host() -> Rule {
    // NFTA_FIB_RESULT is the type of the address, of the destination; RTN_LOCAL.
    let all =
        Attributes::new().attribute(1, &FIRST).attribute(2, &3u32.to_be_bytes()).attribute(3, &2u32.to_be_bytes());
    vec![Expression("fib", all), compare(Is::Equal, &2u32.to_ne_bytes())]
}

/// `ct state`, one of these bits: 1 invalid, 2 established, 4 related.
pub(crate) fn state(bits: u32) -> Rule {
    tracked(0, bits)
}

/// `ct status dnat`: a port that was published led here.
pub(crate) fn published() -> Rule {
    tracked(2, 1 << 5)
}

fn tracked(key: u32, bits: u32) -> Rule {
    let ct = Attributes::new().attribute(1, &FIRST).attribute(2, &key.to_be_bytes());
    vec![Expression("ct", ct), masked(&bits.to_ne_bytes()), compare(Is::Other, &[0; 4])]
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// `drop`.
    Drop,
    /// `jump CHAIN`: behind the chain it goes on here.
    Jump(Cow<'static, str>),
    /// `goto CHAIN`: the end of the chain is the end of this one.
    Goto(Cow<'static, str>),
}

impl Verdict {
    pub(super) fn written(&self) -> Attributes {
        match self {
            Self::Drop => Attributes::new().attribute(1, &0u32.to_be_bytes()),
            Self::Jump(chain) => Attributes::new().attribute(1, &(-3i32).to_be_bytes()).string(2, chain),
            Self::Goto(chain) => Attributes::new().attribute(1, &(-4i32).to_be_bytes()).string(2, chain),
        }
    }
}

/// `accept`.
pub(crate) fn accept() -> Rule {
    immediate(&Attributes::new().attribute(1, &1u32.to_be_bytes()))
}

/// `drop`.
pub(crate) fn drop_it() -> Rule {
    immediate(&Verdict::Drop.written())
}

/// `goto CHAIN`.
pub(crate) fn go_to(chain: Cow<'static, str>) -> Rule {
    immediate(&Verdict::Goto(chain).written())
}

fn immediate(verdict: &Attributes) -> Rule {
    let data = Attributes::new().nested(2, verdict);
    vec![Expression("immediate", Attributes::new().attribute(1, &[0; 4]).nested(2, &data))]
}

/// A part of a set's keys, and where a packet has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// `iifname`.
    CameBy,
    /// `oifname`.
    LeavesBy,
    /// `ether saddr`.
    Sender,
    /// `ip saddr`.
    Source4,
    /// `ip6 saddr`.
    Source6,
    /// `arp saddr ether`.
    ArpSender,
    /// `arp saddr ip`.
    ArpSource,
}

impl Field {
    /// nft's number of the type: `ifname`, `ether_addr`, `ipv4_addr`, `ipv6_addr`.
    pub(super) fn kind(self) -> u32 {
        match self {
            Self::CameBy | Self::LeavesBy => 41,
            Self::Sender | Self::ArpSender => 9,
            Self::Source4 | Self::ArpSource => 7,
            Self::Source6 => 8,
        }
    }

    fn length(self) -> u32 {
        match self {
            Self::CameBy | Self::LeavesBy | Self::Source6 => 16,
            Self::Sender | Self::ArpSender => 6,
            Self::Source4 | Self::ArpSource => 4,
        }
    }

    /// How many bytes it takes in a key.
    pub(super) fn padded(self) -> u32 {
        self.length().next_multiple_of(4)
    }

    fn loaded(self, register: u32) -> Expression {
        let at = |place| payload_into(register, place, self.length());
        match self {
            Self::CameBy => meta_into(register, CAME_BY),
            Self::LeavesBy => meta_into(register, LEAVES_BY),
            Self::Sender => at((0, 6)),
            Self::Source4 => at((1, 12)),
            Self::Source6 => at((1, 8)),
            Self::ArpSender => at((1, 8)),
            Self::ArpSource => at((1, 14)),
        }
    }
}

/// An interface's name as a key has it.
pub(crate) fn named(name: &InterfaceName) -> Vec<u8> {
    part(name.as_str().as_bytes(), Field::CameBy)
}

/// One part of a key, as long as its field takes.
pub(crate) fn part(value: &[u8], field: Field) -> Vec<u8> {
    let mut bytes = value.to_vec();
    bytes.resize(field.padded() as usize, 0);
    bytes
}

/// Whether what a packet has in these fields is in the set, or is not.
pub(crate) fn within(is: Is, fields: &[Field], set: &str) -> Rule {
    look_up(fields, set, Attributes::new().attribute(5, &u32::from(is == Is::Other).to_be_bytes()))
}

/// `vmap`: the verdict of the set; without one it goes on.
pub(crate) fn as_in(fields: &[Field], set: &str) -> Rule {
    look_up(fields, set, Attributes::new().attribute(3, &0u32.to_be_bytes()))
}

fn look_up(fields: &[Field], set: &str, how: Attributes) -> Rule {
    let mut rule = Vec::new();
    let mut register = WORDS;
    for field in fields {
        rule.push(field.loaded(register));
        register += field.padded() / 4;
    }
    rule.push(Expression("lookup", how.string(1, set).attribute(2, &WORDS.to_be_bytes())));
    rule
}

/// `masquerade`.
pub(crate) fn masquerade() -> Rule {
    vec![Expression("masq", Attributes::new())]
}

/// `dnat to ADDRESS:PORT`.
pub(crate) fn lead(address: IpAddr, port: u16) -> Rule {
    let family: u32 = if address.is_ipv4() { 2 } else { 10 };
    let nat = Attributes::new()
        .attribute(1, &1u32.to_be_bytes())
        .attribute(2, &family.to_be_bytes())
        .attribute(3, &FIRST)
        .attribute(4, &FIRST)
        .attribute(5, &SECOND)
        .attribute(6, &SECOND);
    vec![load(&FIRST, &octets(address)), load(&SECOND, &port.to_be_bytes()), Expression("nat", nat)]
}
