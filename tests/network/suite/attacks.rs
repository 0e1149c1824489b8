//! What a container with a raw socket, or a neighbour of the host, tries: published holes of other engines, and what Docker allows.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use stockade_testkit::call::{Running, eventually};
use stockade_testkit::requires;

use crate::frames::{
    ARP, EVERYBODY, Hidden, IPV4, IPV6, NOTES, Seat, arp, datagram, datagram6, frame, hardware, icmp6, link_local,
    neighbour, noted, redirect, router, send,
};
use crate::place::{HOST, OUTSIDE, Place};

const NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A container on the network that can send raw frames.
fn attacker(place: &Place, network: &str) -> Seat {
    let name = format!("attacker-{network}");
    place.detached(&["--name", &name, "--network", network, "--cap-add", "NET_RAW"], "sleep 1000");
    Seat::of(place, &name, network)
}

/// A container that notes what comes to it, by now.
fn witness(place: &Place, name: &str, network: &str, flags: &[&str]) -> Seat {
    let all = [&["--name", name, "--network", network, "--cap-add", "NET_RAW"], flags].concat();
    place.detached(&all, NOTES);
    noted(place, name, "ready");
    Seat::of(place, name, network)
}

/// Whether exactly the honest ones of these frames come to the witness.
fn judge(place: &Place, from: &str, all: &[(&str, Vec<u8>)], last: Vec<u8>) {
    let frames: Vec<Vec<u8>> = all.iter().map(|(_, frame)| frame.clone()).chain([last]).collect();
    send(place, from, &frames);
    let found = noted(place, "witness", "last");
    for (name, _) in all {
        let came = found.iter().any(|line| line == name);
        assert_eq!(came, name.starts_with("honest"), "{name} of {found:?}");
    }
}

#[test]
fn nobody_sends_as_somebody_else() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let own = attacker(&place, "net");
    let other = witness(&place, "witness", "net", &[]);
    let outside: Ipv4Addr = OUTSIDE.parse().unwrap();
    let none = Ipv4Addr::UNSPECIFIED;
    let ip = |from, name: &str| datagram(from, other.four, 7, name);
    let plain = |content: &[u8], kind| frame(other.mac, own.mac, kind, content);
    let tagged = |outer: u16, tag: u16, kind: u16, content: &[u8]| {
        frame(other.mac, own.mac, outer, &[&tag.to_be_bytes()[..], &kind.to_be_bytes(), content].concat())
    };
    let twice = [&[0x81, 0, 0, 0][..], &IPV4.to_be_bytes(), &ip(own.gateway, "behind two tags")].concat();
    let short = |name: &str| ip(own.four, name);
    let all = [
        ("honest datagram", plain(&short("honest datagram"), IPV4)),
        ("honest question", frame(EVERYBODY, own.mac, ARP, &arp(1, own.mac, own.four, other.four, "honest question"))),
        // Whether somebody has the address (RFC 5227).
        ("honest probe", frame(EVERYBODY, own.mac, ARP, &arp(1, own.mac, none, own.four, "honest probe"))),
        ("another's hardware address", frame(other.mac, other.mac, IPV4, &short("another's hardware address"))),
        ("the gateway's hardware", frame(other.mac, own.router, IPV4, &short("the gateway's hardware"))),
        ("the gateway's address", plain(&ip(own.gateway, "the gateway's address"), IPV4)),
        ("the receiver's address", plain(&ip(other.four, "the receiver's address"), IPV4)),
        ("an address outside", plain(&ip(outside, "an address outside"), IPV4)),
        ("a loopback's address", plain(&ip(Ipv4Addr::LOCALHOST, "a loopback's address"), IPV4)),
        ("no address", plain(&ip(none, "no address"), IPV4)),
        ("ARP for the gateway", plain(&arp(2, own.mac, own.gateway, other.four, "ARP for the gateway"), ARP)),
        ("ARP with hardware", plain(&arp(2, own.router, own.four, other.four, "ARP with hardware"), ARP)),
        ("ARP that asks", frame(EVERYBODY, own.mac, ARP, &arp(1, own.mac, own.gateway, none, "ARP that asks"))),
        ("ARP to itself", frame(EVERYBODY, own.mac, ARP, &arp(1, own.mac, other.four, other.four, "ARP to itself"))),
        // CVE-2021-27853 and its like: what looks past a header that others do not see.
        ("priority tag", tagged(0x8100, 0, IPV4, &ip(own.gateway, "priority tag"))),
        ("tag", tagged(0x8100, 5, IPV4, &ip(own.gateway, "tag"))),
        ("behind two tags", frame(other.mac, own.mac, 0x88a8, &[&[0, 0][..], &twice].concat())),
        ("length and LLC", plain(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &short("length and LLC")].concat(), 80)),
        ("another protocol", plain(&short("another protocol"), 0x88b5)),
        ("IPv6 where none is", plain(&icmp6(own.link, NODES, &router("IPv6 where none is"), Hidden::No), IPV6)),
    ];
    judge(&place, "attacker-net", &all, plain(&short("last"), IPV4));
}

/// CVE-2020-13401 (Docker, router advertisements) and its neighbours.
#[test]
fn cve_2020_13401_nobody_advertises_what_is_not_its_own() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    place.ask(&["network", "create", "--ipv6", "--subnet", "fd09::/64", "net"]).ok().either_way();
    let own = attacker(&place, "net");
    let other = witness(&place, "witness", "net", &[]);
    let gateway: Ipv6Addr = "fd09::1".parse().unwrap();
    let routers_link = link_local(own.router);
    let send = |from, content: &[u8]| frame(other.mac, own.mac, IPV6, &icmp6(from, other.six, content, Hidden::No));
    let tells = |from, target, name: &str| send(from, &neighbour(136, target, own.mac, name));
    let hidden =
        |content: &[u8]| frame(other.mac, own.mac, IPV6, &icmp6(own.link, NODES, content, Hidden::BehindOptions));
    let all = [
        ("honest advertisement", tells(own.six, own.six, "honest advertisement")),
        ("honest link", tells(own.link, own.link, "honest link")),
        ("honest question", send(own.six, &neighbour(135, other.six, own.mac, "honest question"))),
        ("honest options", hidden(&neighbour(136, own.six, own.mac, "honest options"))),
        ("the gateway", tells(own.six, gateway, "the gateway")),
        ("its link", tells(own.link, routers_link, "its link")),
        ("the receiver", tells(own.six, other.six, "the receiver")),
        ("as the gateway", tells(gateway, gateway, "as the gateway")),
        ("question as the gateway", send(gateway, &neighbour(135, other.six, own.mac, "question as the gateway"))),
        ("from its link", send(routers_link, &neighbour(135, other.six, own.mac, "from its link"))),
        ("router", send(own.link, &router("router"))),
        ("router behind options", hidden(&router("router behind options"))),
        ("target behind options", hidden(&neighbour(136, gateway, own.mac, "target behind options"))),
        ("redirect", send(own.link, &redirect(gateway, own.link, "redirect"))),
        ("redirect as the gateway", send(routers_link, &redirect(gateway, own.link, "redirect as the gateway"))),
    ];
    judge(&place, "attacker-net", &all, tells(own.six, own.six, "last"));
    // Nor would one be believed that came all the same, neither by a container nor by the host.
    for container in ["witness", "attacker-net"] {
        let said = place.ask(&["exec", container, "cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra"]).ok();
        assert_eq!(said.out(), "0");
    }
    let said = place.on_host(&["ip", "-6", "addr"]).run().ok();
    assert!(!said.out().contains("2001:db8:bad"), "{}", said.out());
}

/// Notes what datagrams to a port of the host say.
struct Ear {
    file: std::path::PathBuf,
    _running: Running,
}

impl Ear {
    fn at(place: &Place, port: u16) -> Self {
        let file = place.stockade.folder().join(format!("heard-{port}"));
        let to = format!("CREATE:{}", file.display());
        let running = place.on_host(&["socat", "-u", &format!("UDP6-RECV:{port},ipv6only=0"), &to]).start();
        eventually("the ear", Duration::from_secs(20), || {
            let bound = place.on_host(&["ss", "-Hlun", &format!("sport = :{port}")]).run();
            !bound.ok().out().is_empty()
        });
        Self { file, _running: running }
    }

    /// What was heard once `last` is heard.
    fn until(&self, last: &str) -> String {
        let mut heard = String::new();
        eventually(&format!("{last} to be heard"), Duration::from_secs(20), || {
            heard = std::fs::read_to_string(&self.file).unwrap_or_default();
            heard.contains(last)
        });
        heard
    }
}

/// A host whose kernel does not check sources itself, so that only rules of ours do.
fn trusting() -> Place {
    let place = Place::new();
    for name in ["all", "default", "up0"] {
        let file = format!("net.ipv4.conf.{name}.rp_filter=0");
        place.on_host(&["sysctl", "-qw", &file]).run().ok().either_way();
    }
    place
}

/// CVE-2020-8558: with ports that are published on its loopback the host takes packets for 127.0.0.0/8 from the bridge.
#[test]
fn cve_2020_8558_loopback_services_are_closed_to_containers() {
    requires!(root, stockade, debian_image, ip, socat);
    let place = trusting();
    let ear = Ear::at(&place, 7777);
    // The host's services are open to this one, so that it is not the other rule that drops.
    place.ask(&["network", "create", "-o", "host-access=true", "net"]).ok().either_way();
    let own = attacker(&place, "net");
    let other = witness(&place, "witness", "net", &["-p", "127.0.0.1:8088:7/udp"]);
    let local = Ipv4Addr::LOCALHOST;
    let bridge = format!("br-{}", &place.inspect("net", "{{.Id}}")[..12]);
    let setting = format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet");
    let said = place.on_host(&["cat", &setting]).run().ok();
    assert_eq!(said.out(), "1", "otherwise the kernel itself drops");
    let to = |mac, from, address, port, name: &str| frame(mac, own.mac, IPV4, &datagram(from, address, port, name));
    let frames = [
        to(own.router, own.four, local, 7777, "to the loopback"),
        to(own.router, own.four, Ipv4Addr::new(127, 9, 9, 9), 7777, "to its range"),
        to(own.router, local, own.gateway, 7777, "from the loopback"),
        to(own.router, own.four, local, 8088, "published on it"),
        to(other.mac, own.four, local, 7, "of a neighbour"),
        to(other.mac, own.four, other.four, 7, "last"),
        to(own.router, own.four, own.gateway, 7777, "open"),
    ];
    send(&place, "attacker-net", &frames);
    assert_eq!(ear.until("open"), "<<open>>");
    let seen = noted(&place, "witness", "last");
    assert!(!seen.iter().any(|line| line == "published on it"), "{seen:?}");
}

/// The same of `::1`, to which the bridge has a route for answers.
#[test]
fn the_loopback_of_ipv6_is_closed_to_containers() {
    requires!(root, stockade, debian_image, ip, socat);
    let place = trusting();
    if std::path::Path::new("/proc/sys/net/bridge").exists() {
        place.on_host(&["sysctl", "-qw", "net.bridge.bridge-nf-call-ip6tables=0"]).run().ok().either_way();
    }
    let ear = Ear::at(&place, 7777);
    let flags = ["--ipv6", "--subnet", "fd09::/64", "-o", "host-access=true"];
    place.call(&["network", "create"]).args(flags).arg("net").run().ok().either_way();
    let own = attacker(&place, "net");
    witness(&place, "witness", "net", &["-p", "[::1]:8088:7/udp", "-p", "8089:7/udp"]);
    let routes = place.on_host(&["ip", "-6", "route", "show", "table", "local", "::1"]).run().ok();
    assert!(routes.out().contains("dev br-"), "otherwise nothing is open: {}", routes.out());
    let [local, gateway]: [Ipv6Addr; 2] = ["::1", "fd09::1"].map(|address| address.parse().unwrap());
    let to = |from, address, port, name: &str| frame(own.router, own.mac, IPV6, &datagram6(from, address, port, name));
    let frames = [
        to(own.six, local, 7777, "to the loopback"),
        to(local, gateway, 7777, "from the loopback"),
        to(own.link, local, 7777, "by the link"),
        to(own.six, local, 8088, "published on it"),
        to(own.six, local, 8089, "published on all"),
        to(own.six, gateway, 8088, "not published there"),
        to(own.six, gateway, 7777, "open"),
    ];
    send(&place, "attacker-net", &frames);
    assert_eq!(ear.until("open"), "<<open>>");
    let last = to(own.six, gateway, 8089, "last");
    send(&place, "attacker-net", &[last]);
    assert_eq!(noted(&place, "witness", "last"), ["ready", "last"]);
}

/// A frame to an address that a bridge keeps to its own link (01:80:c2:00:00:0X) does not take the way of others: the kernel
/// gives it to the port of the bridge itself.
#[test]
fn no_way_around_the_bridge() {
    requires!(root, stockade, debian_image, ip, socat, tcpdump);
    let place = trusting();
    let ear = Ear::at(&place, 7777);
    place.ask(&["network", "create", "net"]).ok().either_way();
    place.ask(&["network", "create", "--internal", "closed"]).ok().either_way();
    place.ask(&["network", "create", "-o", "host-access=true", "open"]).ok().either_way();
    let own = attacker(&place, "net");
    let shut = attacker(&place, "closed");
    let free = attacker(&place, "open");
    let outside = place.outside(&["tcpdump", "-l", "-n", "-A", "-i", "up0", "udp"]).start();
    eventually("tcpdump", Duration::from_secs(20), || outside.stderr_so_far().contains("listening"));
    let [host, neighbour]: [Ipv4Addr; 2] = [HOST, OUTSIDE].map(|address| address.parse().unwrap());
    let last = |seat: &Seat| frame(seat.router, seat.mac, IPV4, &datagram(seat.four, seat.gateway, 7777, "open"));
    for (name, seat) in [("net", &own), ("closed", &shut)] {
        let mut frames = Vec::new();
        for group in [0u8, 2, 3, 0xe, 0xf] {
            let mac = [1, 0x80, 0xc2, 0, 0, group];
            for to in [host, seat.gateway, free.gateway, neighbour] {
                frames.push(frame(mac, seat.mac, IPV4, &datagram(seat.four, to, 7777, &format!("{name} to {to}"))));
                frames.push(frame(mac, seat.mac, IPV4, &datagram(host, to, 7777, &format!("{name} as host to {to}"))));
            }
        }
        frames.push(frame(seat.router, seat.mac, IPV4, &datagram(seat.four, host, 7777, "plain to the host")));
        frames.push(frame(seat.router, seat.mac, IPV4, &datagram(seat.four, free.gateway, 7777, "plain to another")));
        send(&place, &format!("attacker-{name}"), &frames);
    }
    send(&place, "attacker-open", &[last(&free)]);
    assert_eq!(ear.until("open"), "<<open>>");
    // What may leave does, with the host's address.
    let way_out = frame(own.router, own.mac, IPV4, &datagram(own.four, neighbour, 7777, "the way out"));
    send(&place, "attacker-net", &[way_out]);
    eventually("the way out", Duration::from_secs(20), || outside.stdout_so_far().contains("the way out"));
    let seen = outside.stdout_so_far();
    assert!(!seen.contains(" to "), "{seen}");
}

/// An internal network's containers reach nothing outside, whatever they send to the bridge; nor do those of one without traffic among its own
/// reach each other by way of the host.
#[test]
fn the_host_forwards_nothing_it_should_not() {
    requires!(root, stockade, debian_image, ip, tcpdump);
    let place = trusting();
    place.ask(&["network", "create", "--internal", "closed"]).ok().either_way();
    place.ask(&["network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "alone"]).ok().either_way();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let shut = attacker(&place, "closed");
    let alone = attacker(&place, "alone");
    let other = witness(&place, "witness", "alone", &["-p", "8088:7/udp"]);
    let outside = place.outside(&["tcpdump", "-l", "-n", "-A", "-i", "up0", "udp"]).start();
    eventually("tcpdump", Duration::from_secs(20), || outside.stderr_so_far().contains("listening"));
    let [host, neighbour]: [Ipv4Addr; 2] = [HOST, OUTSIDE].map(|address| address.parse().unwrap());
    let of =
        |seat: &Seat, to, port, name: &str| frame(seat.router, seat.mac, IPV4, &datagram(seat.four, to, port, name));
    let frames = [
        of(&shut, neighbour, 7, "closed to outside"),
        of(&shut, other.four, 7, "closed to another"),
        of(&shut, host, 8088, "closed to a published port"),
        of(&shut, shut.gateway, 8088, "closed to a port of its gateway"),
    ];
    send(&place, "attacker-closed", &frames);
    let frames = [
        of(&alone, other.four, 7, "alone by the host"),
        frame(other.mac, alone.mac, IPV4, &datagram(alone.four, other.four, 7, "alone directly")),
        frame(EVERYBODY, alone.mac, ARP, &arp(1, alone.mac, alone.four, other.four, "alone to everybody")),
        of(&alone, neighbour, 7, "the way out"),
    ];
    send(&place, "attacker-alone", &frames);
    let to = format!("UDP4-SENDTO:{}:7", other.four);
    place.on_host(&["socat", "-u", "STDIN", &to]).stdin(b"<<last>>").run().ok().either_way();
    let seen = noted(&place, "witness", "last");
    assert_eq!(seen, ["ready", "last"]);
    eventually("the way out", Duration::from_secs(20), || outside.stdout_so_far().contains("the way out"));
    assert!(!outside.stdout_so_far().contains("closed"), "{}", outside.stdout_so_far());
}

/// A neighbour of the host is on its link: what is published on the host's loopback is not for it (moby 45610), nor are containers' own
/// addresses; and what is dropped stays so while others' rules come and go (CVE-2025-54388: those of firewalld).
#[test]
fn cve_2025_54388_neighbours_reach_no_port_of_the_loopback() {
    requires!(root, stockade, debian_image, ip, nft, socat);
    let place = trusting();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let other = witness(&place, "witness", "net", &["-p", "127.0.0.1:8088:7/udp", "-p", "8089:7/udp"]);
    let up = hardware(|words| place.on_host(words), "up0");
    let own = hardware(|words| place.outside(words), "up0");
    let [host, neighbour]: [Ipv4Addr; 2] = [HOST, OUTSIDE].map(|address| address.parse().unwrap());
    let send = |from, to, port, name: &str| {
        let bytes = frame(up, own, IPV4, &datagram(from, to, port, name));
        place.outside(&["socat", "-u", "STDIN", "INTERFACE:up0"]).stdin(&bytes).run().ok().either_way();
    };
    let try_all = |last: &str| {
        send(neighbour, Ipv4Addr::LOCALHOST, 8088, "the loopback");
        send(neighbour, Ipv4Addr::LOCALHOST, 8089, "a port of all");
        send(Ipv4Addr::LOCALHOST, host, 8089, "as the loopback");
        send(neighbour, host, 8088, "the host's address");
        send(neighbour, other.four, 7, "directly");
        send(other.gateway, other.four, 7, "as the gateway");
        send(neighbour, other.gateway, 8088, "the bridge's address");
        send(neighbour, host, 8089, last);
        noted(&place, "witness", last)
    };
    assert_eq!(try_all("published"), ["ready", "published"]);
    let firewalld = "add table inet firewalld; add chain inet firewalld p { type nat hook prerouting priority -90; }; \
                     add chain inet firewalld f { type filter hook forward priority 10; policy accept; }";
    for rules in [firewalld, "delete table inet firewalld", firewalld, "flush table inet firewalld"] {
        place.on_host(&["nft", rules]).run().ok().either_way();
    }
    assert_eq!(try_all("reloaded"), ["ready", "published", "reloaded"]);
    place.on_host(&["nft", "flush", "ruleset"]).run().ok().either_way();
    place.ask(&["network", "reload"]).ok().either_way();
    assert_eq!(try_all("again"), ["ready", "published", "reloaded", "again"]);
}
