//! The bytes of nf_tables (`linux/netfilter/nf_tables.h`): tables, chains and rules, sent as one transaction.
//!
//! A table is replaced as a whole: it is made if it is not there, deleted, and made with what it is to have. The kernel does all of that at one
//! instant, or nothing of it.

use std::net::IpAddr;

use ipnet::IpNet;
use stockade_kernel::netlink::message::{Attributes, Builder};

use crate::model::{InterfaceName, Mac};

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
/// `NLM_F_REQUEST`.
const PLAIN: u16 = 1;
/// The same with `NLM_F_CREATE`.
const CREATE: u16 = 0x401;
/// The same with `NLM_F_APPEND`.
const APPEND: u16 = 0xc01;
/// `NLM_F_ACK`.
const ACKNOWLEDGE: u16 = 4;
/// `NFTA_TABLE_USERDATA` (Linux 5.9).
pub(crate) const TABLE_USERDATA: u16 = 6;
/// The registers that are used: the first, and the second for a port.
const FIRST: [u8; 4] = 1u32.to_be_bytes();
const SECOND: [u8; 4] = 2u32.to_be_bytes();

/// What a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `inet`: IPv4 and IPv6.
    Inet,
    /// `ip`: IPv4.
    Ipv4,
    /// `bridge`: frames.
    Bridge,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ipv4 => 2,
            Self::Bridge => 7,
        }
    }
}

/// Where a chain is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hook {
    /// `filter` or `nat`.
    pub(crate) kind: &'static str,
    /// `NF_INET_*`: 0 before routing, 1 in, 2 through, 3 out, 4 after routing.
    pub(crate) number: u32,
    pub(crate) priority: i32,
}

/// One expression of a rule: its name and its attributes.
#[derive(Clone, Debug)]
pub(crate) struct Expression(&'static str, Attributes);

/// A rule: expressions from left to right.
pub(crate) type Rule = Vec<Expression>;

/// A chain with its rules.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    pub(crate) hook: Hook,
    pub(crate) rules: Vec<Rule>,
}

/// A table with its chains.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) name: &'static str,
    /// What stands beside it, in nft's form.
    pub(crate) comment: Option<Vec<u8>>,
    pub(crate) chains: Vec<Chain>,
}

/// Asks for the table `inet NAME`.
pub(crate) fn look_up(name: &str) -> Builder {
    Builder::new(GET_TABLE, PLAIN | ACKNOWLEDGE, &head(Family::Inet.number(), 0)).string(1, name)
}

/// `struct nfgenmsg`.
fn head(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// The transaction that makes these tables what they are to be.
pub(crate) fn transaction(tables: &[Table]) -> Vec<Builder> {
    let mut all = vec![Builder::new(BATCH_BEGIN, PLAIN, &head(0, 10))];
    for (at, table) in tables.iter().enumerate() {
        let family = table.family.number();
        let named = |kind, flags| Builder::new(kind, flags, &head(family, 0)).string(1, table.name);
        let made = match &table.comment {
            Some(comment) => named(NEW_TABLE, CREATE).attribute(TABLE_USERDATA, comment),
            None => named(NEW_TABLE, CREATE),
        };
        all.extend([named(NEW_TABLE, CREATE), named(DELETE_TABLE, PLAIN), made]);
        for chain in &table.chains {
            let Hook { kind, number, priority } = chain.hook;
            let hook = Attributes::new().attribute(1, &number.to_be_bytes()).attribute(2, &priority.to_be_bytes());
            all.push(named(NEW_CHAIN, CREATE).string(3, chain.name).nested(4, &hook).string(7, kind));
        }
        for chain in &table.chains {
            for rule in &chain.rules {
                let list = rule.iter().fold(Attributes::new(), |list, Expression(name, data)| {
                    list.nested(1, &Attributes::new().string(1, name).nested(2, data))
                });
                all.push(named(NEW_RULE, APPEND).string(2, chain.name).nested(4, &list));
            }
        }
        if at + 1 == tables.len() {
            // The last message is one whose success is told.
            all.push(named(NEW_TABLE, CREATE | ACKNOWLEDGE));
        }
    }
    all.push(Builder::new(BATCH_END, PLAIN, &head(0, 10)));
    all
}

/// How something is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    /// It is so.
    Equal,
    /// It is not.
    Other,
}

fn compare(is: Is, value: &[u8]) -> Expression {
    let operator: u32 = u32::from(is == Is::Other);
    let data = Attributes::new().attribute(1, value);
    Expression("cmp", Attributes::new().attribute(1, &FIRST).attribute(2, &operator.to_be_bytes()).nested(3, &data))
}

fn meta(key: u32) -> Expression {
    Expression("meta", Attributes::new().attribute(2, &key.to_be_bytes()).attribute(1, &FIRST))
}

fn payload(base: u32, offset: u32, length: u32) -> Expression {
    let numbers = [(1, 1), (2, base), (3, offset), (4, length)];
    let all = numbers
        .into_iter()
        .fold(Attributes::new(), |all, (kind, value): (u16, u32)| all.attribute(kind, &value.to_be_bytes()));
    Expression("payload", all)
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
pub(crate) fn protocol(number: u8) -> Rule {
    vec![meta(16), compare(Is::Equal, &[number])]
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

/// `ether saddr`.
pub(crate) fn sender(is: Is, mac: Mac) -> Rule {
    vec![payload(0, 6, 6), compare(is, &mac.octets())]
}

/// Bytes of the network's header.
pub(crate) fn bytes(offset: u32, is: Is, value: &[u8]) -> Rule {
    vec![payload(1, offset, value.len() as u32), compare(is, value)]
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
    let numbers = [(5, 1), (2, 2), (3, offset), (4, 2), (6, csum), (7, transport.checksum())];
    let all = numbers
        .into_iter()
        .fold(Attributes::new(), |all, (kind, value): (u16, u32)| all.attribute(kind, &value.to_be_bytes()));
    vec![load(&FIRST, &number.to_be_bytes()), Expression("payload", all)]
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
    vec![payload(1, offset, network.len() as u32), masked(&mask), compare(is, &network)]
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

/// `accept`.
pub(crate) fn accept() -> Rule {
    verdict(1)
}

/// `drop`.
pub(crate) fn drop_it() -> Rule {
    verdict(0)
}

fn verdict(code: u32) -> Rule {
    let data = Attributes::new().nested(2, &Attributes::new().attribute(1, &code.to_be_bytes()));
    vec![Expression("immediate", Attributes::new().attribute(1, &[0; 4]).nested(2, &data))]
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
