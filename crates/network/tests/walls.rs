//! What containers of networks can do to each other and to the outside, on the real kernel, in throw-away network namespaces: "the host" is one
//! too. Needs root, `ip`, `nft` and `socat`.
//!
//! A process that enters namespaces may have one thread only, so this program brings its own harness.

// Clippy knows tests by their attribute, which a program with a harness of its own does not have.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{WaitOptions, waitpid};
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::namespace::{Namespaces, setns, unshare};
use stockade_kernel::netlink::{inside, loopback_up};
use stockade_network::firewall::{Others, apply};
use stockade_network::model::{
    BridgeOptions, Driver, Endpoint, Mac, Network, NetworkId, Protocol, PublishedPort, Subnet,
};
use stockade_network::{bridge, endpoint};

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("an_internal_network_reaches_no_published_port", an_internal_network_reaches_no_published_port),
    ("frames_of_other_types_are_dropped", frames_of_other_types_are_dropped),
    ("no_neighbour_is_advertised_by_another", no_neighbour_is_advertised_by_another),
    ("rules_can_be_loaded_as_nft_lists_them", rules_can_be_loaded_as_nft_lists_them),
    ("a_bridge_keeps_its_hardware_address", a_bridge_keeps_its_hardware_address),
];

fn main() -> ExitCode {
    let there = |program: &str| Command::new(program).arg("-V").output().is_ok();
    let able = rustix::process::geteuid().is_root() && ["ip", "socat", "nft"].into_iter().all(there);
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in CASES.iter().filter(|_| able) {
        let ok = in_a_child(*case);
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if ok { passed += 1 } else { failed += 1 }
    }
    let ignored = if able { 0 } else { CASES.len() };
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs `case` in a child in a network namespace of its own, and not in the machine's.
fn in_a_child(case: fn()) -> bool {
    match clone3(&Request { new: Namespaces::NET, ..Request::default() }).unwrap() {
        Forked::Child => exit_now(u8::from(std::panic::catch_unwind(case).is_err())),
        Forked::Parent { pid, .. } => {
            waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1.exit_status() == Some(0)
        }
    }
}

/// The network namespace of the caller.
fn current() -> OwnedFd {
    rustix::fs::openat(CWD, "/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// What `ip` says in the caller's network namespace.
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A network `bN` with the range `10.N.0.0/24`, and `fd00:N::/64` if it is asked for.
fn network(number: u8, v6: bool, internal: bool) -> Network {
    let subnet = |net: String, gateway: String| Subnet {
        subnet: net.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
        ip_range: None,
        auxiliary: Default::default(),
    };
    let mut subnets = vec![subnet(format!("10.{number}.0.0/24"), format!("10.{number}.0.1"))];
    if v6 {
        subnets.push(subnet(format!("fd00:{number}::/64"), format!("fd00:{number}::1")));
    }
    Network {
        id: NetworkId::random().unwrap(),
        name: format!("n{number}").parse().unwrap(),
        created: String::new(),
        driver: Driver::Bridge(BridgeOptions::default()),
        interface: format!("b{number}").parse().unwrap(),
        subnets,
        internal,
        ipv6: v6,
        mtu: None,
        labels: Default::default(),
        options: Default::default(),
    }
}

/// A container of the network with the address `10.N.0.LAST`, attached to it.
fn container(network: &Network, last: u8, ports: Vec<PublishedPort>) -> (Endpoint, OwnedFd) {
    let number = network.interface.as_str()[1..].parse::<u8>().unwrap();
    let made = Endpoint {
        id: NetworkId::random().unwrap(),
        network: network.id.clone(),
        container: "0".repeat(64),
        host_interface: format!("v{number}-{last}").parse().unwrap(),
        container_interface: "eth0".parse().unwrap(),
        mac: Mac::of([10, number, 0, last].into()),
        ipv4: Some([10, number, 0, last].into()),
        ipv6: network.ipv6.then(|| format!("fd00:{number}::{last}").parse().unwrap()),
        gateway: true,
        ports,
    };
    let here = current();
    unshare(Namespaces::NET).unwrap();
    loopback_up().unwrap();
    let there = current();
    setns(here, Namespaces::NET).unwrap();
    endpoint::attach(network, &made, there.as_fd()).unwrap();
    (made, there)
}

/// Whether someone there takes the connection.
fn connects(from: &OwnedFd, to: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    inside(from.as_fd(), || TcpStream::connect_timeout(&to, Duration::from_secs(2)).is_ok()).unwrap()
}

/// Sends one frame as it is, from within.
fn send(from: &OwnedFd, frame: &[u8]) {
    let sent = inside(from.as_fd(), || {
        let mut socat = Command::new("socat").args(["-u", "STDIN", "INTERFACE:eth0"]).stdin(Stdio::piped()).spawn()?;
        socat.stdin.take().unwrap().write_all(frame)?;
        socat.wait()
    });
    assert!(sent.unwrap().unwrap().success());
}

/// Waits until it is so, which it becomes.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..300 {
        if so() {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    assert!(so(), "never: {what}");
}

/// Internal networks reach nothing outside: not by the address that their bridge has, either.
fn an_internal_network_reaches_no_published_port() {
    loopback_up().unwrap();
    bridge::forward("0.0.0.0".parse().unwrap()).unwrap();
    let (open, other, internal) = (network(1, false, false), network(2, false, false), network(3, false, true));
    let port = |protocol| PublishedPort { host: None, host_port: 8080, container_port: 80, protocol };
    let (web, web_inside) = container(&open, 2, vec![port(Protocol::Tcp), port(Protocol::Udp)]);
    let (guest, guest_inside) = container(&other, 2, Vec::new());
    let (closed, closed_inside) = container(&internal, 2, Vec::new());
    let state = [(open, vec![web]), (other, vec![guest]), (internal, vec![closed])];
    apply(&state, Others::AsBefore, Path::new("/data")).unwrap();
    let _server = inside(web_inside.as_fd(), || TcpListener::bind("0.0.0.0:80")).unwrap().unwrap();
    assert!(connects(&current(), "10.1.0.1:8080"), "the host");
    assert!(connects(&guest_inside, "10.2.0.1:8080"), "another network, by a published port");
    assert!(!connects(&guest_inside, "10.1.0.2:80"), "another network, by the container's address");
    assert!(!connects(&closed_inside, "10.3.0.1:8080"), "the internal network, by its bridge");
    // Also when it gives itself a way out.
    inside(closed_inside.as_fd(), || ip("route add default via 10.3.0.1")).unwrap();
    assert!(!connects(&closed_inside, "10.1.0.1:8080"), "the internal network, by another bridge");
    // A datagram needs no answer to tell something.
    let bound = |from: &OwnedFd, at: &str| inside(from.as_fd(), || UdpSocket::bind(at)).unwrap().unwrap();
    let server = bound(&web_inside, "0.0.0.0:80");
    server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let closed = bound(&closed_inside, "0.0.0.0:0");
    for to in ["10.3.0.1:8080", "10.1.0.1:8080"] {
        closed.send_to(b"internal", to).unwrap();
    }
    bound(&guest_inside, "0.0.0.0:0").send_to(b"guest", "10.2.0.1:8080").unwrap();
    let mut heard = [0; 16];
    let length = server.recv(&mut heard).unwrap();
    assert_eq!(&heard[..length], b"guest");
}

/// A tag in front of a packet hides what is in it (CVE-2021-27853, CVE-2021-27854).
fn frames_of_other_types_are_dropped() {
    // The bridge itself tells routers of multicast that it is there, at a moment of its own.
    std::fs::write("/proc/sys/net/ipv4/igmp_link_local_mcast_reports", "0").unwrap();
    let net = network(1, false, false);
    let (one, attacker) = container(&net, 2, Vec::new());
    let (two, victim) = container(&net, 3, Vec::new());
    let (from, to) = (one.mac.octets(), two.mac.octets());
    let macs = [to, from].concat();
    // ARP: 10.1.0.LAST is at the attacker.
    let arp = |last| {
        let head = [0, 1, 8, 0, 6, 4, 0, 2];
        [&head[..], &from, &[10, 1, 0, last], &to, &[10, 1, 0, 3], &[0; 18]].concat()
    };
    let frame = |kind: &[u8], packet: Vec<u8>| [&macs[..], kind, &packet].concat();
    apply(&[(net, vec![one, two])], Others::AsBefore, Path::new("/data")).unwrap();
    let received = || {
        let text = inside(victim.as_fd(), || std::fs::read_to_string("/proc/thread-self/net/dev")).unwrap().unwrap();
        let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = received();
    send(&attacker, &frame(&[0x81, 0, 0, 0, 0x81, 0, 0, 0, 8, 6], arp(1)));
    send(&attacker, &frame(&[0x88, 0xa8, 0, 0, 0x81, 0, 0, 0, 8, 6], arp(1)));
    send(&attacker, &frame(&[0x81, 0, 0, 0, 8, 6], arp(1)));
    send(&attacker, &frame(&[0x88, 0xb5], vec![0; 46]));
    send(&attacker, &frame(&[8, 6], arp(1)));
    // What is honest arrives, after all of them.
    send(&attacker, &frame(&[8, 6], arp(2)));
    until("the honest frame arrives", || received() > before);
    assert_eq!(received(), before + 1);
}

/// An advertisement whose sender is honest, and whose target is the gateway.
fn no_neighbour_is_advertised_by_another() {
    let net = network(1, true, false);
    let (one, attacker) = container(&net, 2, Vec::new());
    let (two, victim) = container(&net, 3, Vec::new());
    let own = one.ipv6.unwrap();
    let mac = one.mac;
    let macs = [two.mac.octets(), mac.octets()].concat();
    let to = two.ipv6.unwrap();
    apply(&[(net, vec![one, two])], Others::AsBefore, Path::new("/data")).unwrap();
    // The victim believes that others are elsewhere.
    for address in ["fd00:1::1", "fd00:1::2"] {
        let text = format!("-6 neigh replace {address} lladdr 02:00:00:00:00:99 nud stale dev eth0");
        inside(victim.as_fd(), || ip(&text)).unwrap();
    }
    let advertise = |target: std::net::Ipv6Addr| {
        let mut body = [&[136, 0, 0, 0, 0x20, 0, 0, 0][..], &target.octets(), &[2, 1], &mac.octets()].concat();
        let pseudo = [&own.octets()[..], &to.octets(), &[0, 0, 0, body.len() as u8, 0, 0, 0, 58], &body].concat();
        let sum: u32 = pseudo.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        body[2..4].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
        let head = [0x60, 0, 0, 0, 0, body.len() as u8, 58, 255];
        send(&attacker, &[&macs[..], &[0x86, 0xdd], &head, &own.octets(), &to.octets(), &body].concat());
    };
    let believes = |address: &str| inside(victim.as_fd(), || ip(&format!("-6 neigh show {address} dev eth0"))).unwrap();
    advertise("fd00:1::1".parse().unwrap());
    advertise(own);
    until("the honest advertisement is believed", || believes("fd00:1::2").contains(&mac.to_string()));
    assert!(believes("fd00:1::1").contains("02:00:00:00:00:99"), "{}", believes("fd00:1::1"));
}

/// Administrators keep what `nft list ruleset` says, and load it when the machine starts. Many containers are more than one message has room for.
fn rules_can_be_loaded_as_nft_lists_them() {
    let nft = |words: &[&str]| {
        let output = Command::new("nft").args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (open, closed) = (network(1, true, false), network(2, true, true));
    let end = |number: u16| {
        let [_, low] = number.to_be_bytes();
        let four = std::net::Ipv4Addr::new(10, 1, (number >> 8) as u8, low);
        Endpoint {
            id: NetworkId::random().unwrap(),
            network: open.id.clone(),
            container: format!("{number:064}"),
            host_interface: format!("v1-{number}").parse().unwrap(),
            container_interface: "eth0".parse().unwrap(),
            mac: Mac::of(four),
            ipv4: Some(four),
            ipv6: Some(format!("fd00:1::{number:x}").parse().unwrap()),
            gateway: true,
            ports: Vec::new(),
        }
    };
    let ends: Vec<Endpoint> = (2..602).map(end).collect();
    apply(&[(open, ends), (closed, Vec::new())], Others::Drop, Path::new("/data")).unwrap();
    let listed = nft(&["list", "ruleset"]);
    for number in [2, 257, 258, 601] {
        assert!(listed.contains(&format!("\"v1-{number}\" . ")), "{number}: {listed}");
    }
    let file = std::env::temp_dir().join(format!("stockade-walls-{}.nft", std::process::id()));
    std::fs::write(&file, &listed).unwrap();
    nft(&["flush", "ruleset"]);
    nft(&["-f", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    let sorted = |text: &str| {
        // The order of a set's elements is that of their hashes.
        let mut words: Vec<String> = text.split_whitespace().map(|word| word.replace(',', "")).collect();
        words.sort();
        words
    };
    assert!(sorted(&nft(&["list", "ruleset"])) == sorted(&listed));
}

/// A bridge without an address of its own takes the lowest of its ports'.
fn a_bridge_keeps_its_hardware_address() {
    let net = network(1, false, false);
    bridge::ensure(&net).unwrap();
    let address = || ip("-o link show b1").split("link/ether ").nth(1).unwrap()[..17].to_owned();
    let before = address();
    let (made, inside) = container(&net, 2, Vec::new());
    ip("link set v1-2 down");
    ip("link set v1-2 address 00:00:00:00:00:01");
    ip("link set v1-2 up");
    assert_eq!(address(), before);
    endpoint::detach(&made, inside.as_fd()).unwrap();
    bridge::ensure(&net).unwrap();
    assert_eq!(address(), before);
}
