//! Frames made by hand, as a container with a raw socket sends them, and who gets them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use stockade_testkit::call::{Call, eventually};

use crate::place::Place;

/// The types of frames.
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const EVERYBODY: [u8; 6] = [0xff; 6];

/// What a receiver looks for in a frame.
fn mark(name: &str) -> Vec<u8> {
    format!("<<{name}>>").into_bytes()
}

/// An Ethernet frame.
pub(crate) fn frame(to: [u8; 6], from: [u8; 6], kind: u16, content: &[u8]) -> Vec<u8> {
    let mut all = [&to[..], &from, &kind.to_be_bytes(), content].concat();
    all.resize(all.len().max(60), 0);
    all
}

/// The checksum of the Internet (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A datagram from port 9 that says `name`.
pub(crate) fn datagram(from: Ipv4Addr, to: Ipv4Addr, port: u16, name: &str) -> Vec<u8> {
    let said = mark(name);
    let length = 8 + said.len() as u16;
    let mut head = vec![0x45, 0];
    head.extend((20 + length).to_be_bytes());
    head.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    head.extend(from.octets());
    head.extend(to.octets());
    let sum = checksum(&head);
    head[10..12].copy_from_slice(&sum);
    // Without a checksum of its own, which IPv4 allows.
    [head, 9u16.to_be_bytes().into(), port.to_be_bytes().into(), length.to_be_bytes().into(), vec![0, 0], said].concat()
}

/// The same of IPv6, where a checksum is needed.
pub(crate) fn datagram6(from: Ipv6Addr, to: Ipv6Addr, port: u16, name: &str) -> Vec<u8> {
    let said = mark(name);
    let length = 8 + said.len() as u16;
    let mut message = [&9u16.to_be_bytes()[..], &port.to_be_bytes(), &length.to_be_bytes(), &[0, 0], &said].concat();
    let covered = [&from.octets()[..], &to.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, 17], &message];
    let sum = checksum(&covered.concat());
    message[6..8].copy_from_slice(&sum);
    [&[0x60, 0, 0, 0][..], &length.to_be_bytes(), &[17, 64], &from.octets(), &to.octets(), &message].concat()
}

/// The first message of an association of SCTP (RFC 9260, 3.3.2), from port 9, with a parameter that says `name`.
pub(crate) fn association(port: u16, name: &str) -> Vec<u8> {
    let mut said = mark(name);
    let length = said.len() as u16 + 4;
    said.resize(said.len().next_multiple_of(4), 0);
    let chunk =
        [&[1, 0][..], &(20 + said.len() as u16 + 4).to_be_bytes(), &[0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]];
    let parameter = [&[0xc0, 0x7f][..], &length.to_be_bytes(), &said];
    let ports = [9u16.to_be_bytes(), port.to_be_bytes()].concat();
    let mut all = [&ports[..], &[0; 8], &chunk.concat(), &parameter.concat()].concat();
    let sum = castagnoli(&all).to_le_bytes();
    all[8..12].copy_from_slice(&sum);
    all
}

/// CRC32c, the checksum of SCTP (RFC 9260, appendix A).
fn castagnoli(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}

/// An answer of ARP (operation 2) or a question (1) of somebody who says to have these addresses.
pub(crate) fn arp(operation: u8, mac: [u8; 6], own: Ipv4Addr, asked: Ipv4Addr, name: &str) -> Vec<u8> {
    [&[0, 1, 8, 0, 6, 4, 0, operation], &mac[..], &own.octets(), &EVERYBODY, &asked.octets(), &mark(name)].concat()
}

/// A message of ICMPv6 of this kind, behind options for the destination that do nothing if `hidden`.
pub(crate) fn icmp6(from: Ipv6Addr, to: Ipv6Addr, content: &[u8], hidden: Hidden) -> Vec<u8> {
    let mut message = content.to_vec();
    let length = (message.len() as u32).to_be_bytes();
    let sum = checksum(&[&from.octets()[..], &to.octets(), &length, &[0, 0, 0, 58], &message].concat());
    message[2..4].copy_from_slice(&sum);
    let (next, before): (u8, &[u8]) = match hidden {
        Hidden::No => (58, &[]),
        Hidden::BehindOptions => (60, &[58, 0, 1, 4, 0, 0, 0, 0]),
    };
    let mut head = vec![0x60, 0, 0, 0];
    head.extend(((message.len() + before.len()) as u16).to_be_bytes());
    head.extend([next, 255]);
    [&head[..], &from.octets(), &to.octets(), before, &message].concat()
}

/// Whether another header is in front.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    No,
    BehindOptions,
}

/// An advertisement of the neighbour `target` (136), which overrides what is known, and says the hardware address; a question for it (135).
pub(crate) fn neighbour(kind: u8, target: Ipv6Addr, mac: [u8; 6], name: &str) -> Vec<u8> {
    let option = if kind == 136 { [2, 1] } else { [1, 1] };
    [&[kind, 0, 0, 0, 0x20, 0, 0, 0], &target.octets()[..], &option, &mac, &padded(name)].concat()
}

/// A router's advertisement of itself, and of the range 2001:db8:bad::/64 for addresses.
pub(crate) fn router(name: &str) -> Vec<u8> {
    let prefix = "2001:db8:bad::".parse::<Ipv6Addr>().unwrap().octets();
    let hour = [0, 0, 0x0e, 0x10];
    let head = [&[134, 0, 0, 0, 64, 0, 0x0e, 0x10], &[0; 8][..]].concat();
    [&head[..], &[3, 4, 64, 0xc0], &hour, &hour, &[0; 4], &prefix, &padded(name)].concat()
}

/// A router's word that `target` is better reached by way of somebody else (137).
pub(crate) fn redirect(target: Ipv6Addr, by: Ipv6Addr, name: &str) -> Vec<u8> {
    [&[137, 0, 0, 0, 0, 0, 0, 0], &by.octets()[..], &target.octets(), &padded(name)].concat()
}

/// The mark as an option that nobody knows, with the length that options have.
fn padded(name: &str) -> Vec<u8> {
    let said = mark(name);
    let units = (said.len() + 2).div_ceil(8);
    let mut option = [&[253, units as u8], &said[..]].concat();
    option.resize(units * 8, 0);
    option
}

/// The script of a container that notes the marks of all frames that come to it.
pub(crate) const NOTES: &str = "exec perl -e '$| = 1; socket(S, 17, 3, 0x0300) or die; print \"ready\\n\"; \
    while (defined recv(S, $f, 4096, 0)) { print \"$1\\n\" while $f =~ /<<([^<>]+)>>/g }'";

/// Has a running container send frames by its interface `eth0`.
#[track_caller]
pub(crate) fn send(place: &Place, container: &str, frames: &[Vec<u8>]) {
    let script = "$i = `cat /sys/class/net/eth0/ifindex`; socket(S, 17, 3, 0x0300) or die; \
        for (@ARGV) { send(S, pack(\"H*\", $_), 0, pack(\"SnlSCCa8\", 17, 3, $i, 1, 0, 6, \"\")) or die $! }";
    let digits = frames.iter().map(|frame| frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    place.call(&["exec", container, "perl", "-e", script]).args(digits).run().ok().either_way();
}

/// What a container that notes has noted, each mark once (an answer that quotes what came has it again), once `last` is among it.
#[track_caller]
pub(crate) fn noted(place: &Place, container: &str, last: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    eventually(&format!("{container} to note {last}"), Duration::from_secs(20), || {
        found.clear();
        for line in place.ask(&["logs", container]).ok().out().lines().map(str::to_owned) {
            if !found.contains(&line) {
                found.push(line);
            }
        }
        found.iter().any(|line| line == last)
    });
    found
}

/// Where a container is on its only network.
pub(crate) struct Seat {
    pub(crate) mac: [u8; 6],
    pub(crate) four: Ipv4Addr,
    pub(crate) six: Ipv6Addr,
    pub(crate) link: Ipv6Addr,
    pub(crate) gateway: Ipv4Addr,
    /// The gateway's hardware address.
    pub(crate) router: [u8; 6],
}

impl Seat {
    /// Of a running container, which says whom it sees at the gateway.
    #[track_caller]
    pub(crate) fn of(place: &Place, container: &str, network: &str) -> Self {
        let one = "{{with index .NetworkSettings.Networks \"NET\"}}{{.MacAddress}}|{{.IPAddress}}|{{.GlobalIPv6Address}}{{end}}|";
        let said = place.inspect(container, &one.replace("NET", network));
        let words: Vec<&str> = said.split('|').collect();
        let [mac, four, six, _] = words[..] else { panic!("{said}") };
        let bridge = format!("br-{}", &place.inspect(network, "{{.Id}}")[..12]);
        let router = hardware(|words| place.on_host(words), &bridge);
        let mac = octets(mac);
        let gateway = place.inspect(network, "{{range .IPAM.Config}}{{.Gateway}} {{end}}");
        let gateway = gateway.split(' ').find_map(|address| address.parse().ok());
        Self {
            mac,
            four: four.parse().unwrap(),
            six: six.parse().unwrap_or(Ipv6Addr::UNSPECIFIED),
            link: link_local(mac),
            gateway: gateway.unwrap(),
            router,
        }
    }
}

/// The hardware address of an interface on the host or outside.
#[track_caller]
pub(crate) fn hardware(call: impl Fn(&[&str]) -> Call, interface: &str) -> [u8; 6] {
    let said = call(&["ip", "-o", "link", "show", interface]).run().ok();
    octets(said.out().split("link/ether ").nth(1).unwrap().split(' ').next().unwrap())
}

/// Six numbers.
fn octets(text: &str) -> [u8; 6] {
    let all: Vec<u8> = text.trim().split(':').map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect();
    all.try_into().unwrap()
}

/// The address of the link that an interface has of itself.
pub(crate) fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]].into()
}
