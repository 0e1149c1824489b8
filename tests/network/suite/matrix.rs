//! Who reaches whom: every pair of places against its verdict, over TCP, UDP and ICMP, of both versions of IP.
//!
//! What is allowed is answered by whom it is for. What is forbidden is answered by nobody, and nobody has heard of it.

use std::collections::BTreeMap;
use std::time::Duration;

use stockade_testkit::call::{Call, Running, eventually};
use stockade_testkit::requires;
use stockade_testkit::stockade::named_reference;

use crate::place::{HOST, HOST_SIX, OUTSIDE, OUTSIDE_SIX, Place};

/// The port of all servers.
const PORT: u16 = 7000;

/// The containers and their networks. Ports of `mate` and `lone` are published, see [`start`].
const CONTAINERS: [(&str, &str); 9] = [
    ("one", "one"),
    ("mate", "one"),
    ("two", "two"),
    ("shut", "shut"),
    ("peer", "shut"),
    ("solo", "alone"),
    ("lone", "alone"),
    ("plain", "bridge"),
    ("near", "bridge"),
];

/// What is reached from a line's place: `t` over TCP, `u` over UDP, `i` by echo requests; `.` is nothing, `-` is not asked. The columns are the
/// containers' own addresses; the host at the gateway of the place's own network (of `one`, for the host and the neighbour), at that of `two`, and at its
/// address outside; the neighbour outside; and ports of the host that are published: of `mate` and `lone` at all addresses, of `mate` at the loopback (`loop6` and `own6`: at `::1`, of a
/// port of all addresses, and of one that is published there).
const MATRIX: &str = "
from     one  mate two  shut peer solo lone plain gate other host outside @mate @lone loop loop6 own6
one      -    tui  .    .    .    .    .    .     i    i     i    tui     tu    tu    .    .     .
two      .    .    -    .    .    .    .    .     i    i     i    tui     tu    tu    .    .     .
shut     .    .    .    -    tui  .    .    .     i    .     .    .       .     .     .    .     .
solo     .    .    .    .    .    -    .    .     i    i     i    tui     tu    ISO   .    .     .
near     .    .    .    .    .    .    .    tui   i    i     i    tui     tu    tu    .    .     .
host     tui  tui  tui  tui  tui  tui  tui  tui   tui  tui   tui  tui     tu    tu    tu   ISO   ISO
outside  .    .    .    .    .    .    .    .     tui  tui   tui  tui     tu    tu    .    .     .
";

/// A place that asks, and how a program is run there.
type Asks<'a> = (&'a str, Box<dyn Fn(&[&str]) -> Call + 'a>);

/// All that serve, and what they were told by now.
struct Stage<'a> {
    place: &'a Place,
    host: Running,
    outside: Running,
    /// Of containers their own, of networks the gateways': of IPv4 and of IPv6, where there is one.
    containers: BTreeMap<&'static str, [String; 2]>,
    gateways: BTreeMap<&'static str, [String; 2]>,
}

impl Stage<'_> {
    /// What came to each server: tokens.
    fn heard(&self) -> BTreeMap<&'static str, Vec<String>> {
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let mut all = BTreeMap::new();
        for (name, _) in CONTAINERS {
            all.insert(name, lines(self.place.ask(&["logs", name]).ok().stdout));
        }
        all.insert("host", lines(self.host.stdout_so_far()));
        all.insert("outside", lines(self.outside.stdout_so_far()));
        all
    }

    /// The address and port of a column, as seen from a line's place, and who is there; `None` where there is no such address.
    fn target(&self, from: &str, to: &str, six: bool) -> Option<(String, u16, &'static str)> {
        let gateway = |network: &str| self.gateways[network][usize::from(six)].clone();
        let pick = |four: &str, v6: &str| if six { v6 } else { four }.to_owned();
        let network = CONTAINERS.iter().find(|(name, _)| *name == from).map_or("one", |(_, network)| network);
        let (address, port, who) = match to {
            "gate" => (gateway(network), PORT, "host"),
            "other" => (gateway("two"), PORT, "host"),
            "host" => (pick(HOST, HOST_SIX), PORT, "host"),
            "outside" => (pick(OUTSIDE, OUTSIDE_SIX), PORT, "outside"),
            "@mate" => (pick(HOST, HOST_SIX), 8001, "mate"),
            "@lone" => (pick(HOST, HOST_SIX), 8002, "lone"),
            "loop" if six => return None,
            "loop" => ("127.0.0.1".to_owned(), 8003, "mate"),
            "loop6" | "own6" if !six => return None,
            "loop6" => ("::1".to_owned(), 8001, "mate"),
            "own6" => ("::1".to_owned(), 8003, "mate"),
            name => {
                let who = CONTAINERS.iter().find(|(container, _)| *container == name).unwrap();
                (self.containers[name][usize::from(six)].clone(), PORT, who.0)
            }
        };
        (!address.is_empty()).then_some((address, port, who))
    }
}

/// Networks, servers, and a neighbour that has ways to all addresses of containers.
fn start(place: &Place) -> Stage<'_> {
    place.ask(&["network", "create", "--ipv6", "one"]).ok().either_way();
    place.ask(&["network", "create", "--ipv6", "two"]).ok().either_way();
    place.ask(&["network", "create", "--ipv6", "--internal", "shut"]).ok().either_way();
    let option = "com.docker.network.bridge.enable_icc=false";
    place.ask(&["network", "create", "--ipv6", "-o", option, "alone"]).ok().either_way();
    let (image, port) = (named_reference("debian", "rootfs"), PORT.to_string());
    let script = include_str!("server.pl");
    for (name, network) in CONTAINERS {
        let published: &[&str] = match name {
            "mate" => &[
                "8001:7000",
                "8001:7000/udp",
                "127.0.0.1:8003:7000",
                "127.0.0.1:8003:7000/udp",
                "[::1]:8003:7000",
                "[::1]:8003:7000/udp",
            ],
            "lone" => &["8002:7000", "8002:7000/udp"],
            _ => &[],
        };
        let flags = published.iter().flat_map(|port| ["-p", port]);
        let run = place.call(&["run", "-d", "--name", name, "--network", network]).args(flags);
        let done = run.args([&image, "perl", "-e", script, name, &port]).run().ok();
        place.stockade.know(done.out());
    }
    let serve = |call: Call, name: &str| call.args(["perl", "-e", script, name, &port]).start();
    let (host, outside) = (serve(place.on_host(&[]), "host"), serve(place.outside(&[]), "outside"));
    place.outside(&["ip", "route", "add", "172.16.0.0/12", "via", HOST]).run().ok().either_way();
    place.outside(&["ip", "-6", "route", "add", "fd00::/8", "via", HOST_SIX]).run().ok().either_way();
    let [containers, gateways] = addresses(place);
    let stage = Stage { place, host, outside, containers, gateways };
    eventually("all servers", Duration::from_secs(30), || {
        stage.heard().values().all(|heard| heard.iter().any(|line| line == "ready"))
    });
    stage
}

/// Of containers, and of the gateways of networks.
fn addresses(place: &Place) -> [BTreeMap<&'static str, [String; 2]>; 2] {
    let both = |said: &str| {
        let of =
            |six: bool| said.split(' ').find(|one| !one.is_empty() && one.contains(':') == six).unwrap_or_default();
        [of(false).to_owned(), of(true).to_owned()]
    };
    let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}";
    let containers = CONTAINERS.iter().map(|(name, _)| (*name, both(&place.inspect(name, template))));
    let gateway = |network: &str| {
        let said = place.ask(&["network", "inspect", "-f", "{{range .IPAM.Config}}{{.Gateway}} {{end}}", network]);
        both(said.ok().out())
    };
    [containers.collect(), CONTAINERS.iter().map(|(_, network)| (*network, gateway(network))).collect()]
}

/// What is asked of one place, with the answer that is right: who answers.
struct Asked {
    token: String,
    word: String,
    expected: Option<&'static str>,
    echo: bool,
}

/// The questions of one line. `isolated` is what stands for `ISO`.
fn questions(stage: &Stage<'_>, line: &str, columns: &[&str], isolated: &str) -> Vec<Asked> {
    let mut words = line.split_whitespace();
    let from = words.next().unwrap();
    let cells: Vec<&str> = words.map(|cell| if cell == "ISO" { isolated } else { cell }).collect();
    assert_eq!(cells.len(), columns.len(), "{line}");
    let mut all = Vec::new();
    for (to, cell) in columns.iter().zip(cells).filter(|(_, cell)| *cell != "-") {
        for six in [false, true] {
            let Some((address, port, who)) = stage.target(from, to, six) else { continue };
            let published = to.starts_with('@') || to.starts_with("loop") || *to == "own6";
            for protocol in ["t", "u", "i"].into_iter().filter(|kind| !(published && *kind == "i")) {
                // Only `near` has no address of IPv6 of those that ask.
                let reached = cell.contains(protocol) && !(six && from == "near");
                let token = format!("{isolated}:{from}>{to}/{protocol}{}", if six { "6" } else { "4" });
                let word = format!("{token}={protocol},{address},{port}");
                all.push(Asked { token, word, expected: reached.then_some(who), echo: protocol == "i" });
            }
        }
    }
    all
}

/// Has all places ask at once, and compares.
fn judge(stage: &Stage<'_>, isolated: &str) {
    let place = stage.place;
    let mut lines = MATRIX.trim().lines();
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().skip(1).collect();
    let mut running = Vec::new();
    for line in lines {
        let from = line.split_whitespace().next().unwrap();
        let asked = questions(stage, line, &columns, isolated);
        let (name, call): Asks<'_> = match from {
            "host" => (from, Box::new(|words| place.on_host(words))),
            "outside" => (from, Box::new(|words| place.outside(words))),
            _ => {
                let target = format!("--net=/proc/{}/ns/net", place.inspect(from, "{{.State.Pid}}"));
                (from, Box::new(move |words| Call::new("nsenter").arg(&target).args(words)))
            }
        };
        let words = asked.iter().map(|one| one.word.clone());
        running.push((name, call(&["perl", "-e", include_str!("probe.pl")]).args(words).start(), asked));
    }
    let mut wrong = Vec::new();
    let mut silent = Vec::new();
    for (from, call, asked) in running {
        let done = call.wait().ok();
        for one in asked {
            let answer = done.out().lines().find_map(|line| line.strip_prefix(&format!("{} ", one.token)));
            let right = one.expected.map(|who| format!("{} {}", if one.echo { "echo" } else { who }, one.token));
            if answer != right.as_deref() {
                wrong.push(format!("from {from} {}: {answer:?} and not {right:?}", one.word));
            }
            silent.extend(one.expected.is_none().then_some(one.token));
        }
    }
    assert!(silent.len() > 300, "{}", silent.len());
    for (who, heard) in stage.heard() {
        wrong.extend(heard.iter().filter(|token| silent.contains(token)).map(|token| format!("{who} heard {token}")));
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_pair_is_as_the_table_says() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    bridges_are_filtered(&place, "0");
    let stage = start(&place);
    // What frames between ports of one bridge meet is not the same where `br_netfilter` is loaded, which Docker and Kubernetes do.
    judge(&stage, "tu");
    if bridges_are_filtered(&place, "1") {
        place.ask(&["network", "reload"]).ok().either_way();
        judge(&stage, ".");
        let image = named_reference("debian", "rootfs");
        let refused = place.ask(&["run", "--rm", "--network", "one", "-p", "[::1]:8009:80", &image, "true"]);
        refused.refuses(&["Bind for [::1]:8009 failed", "bridge-nf-call-ip6tables"]).either_way();
    }
}

/// Whether frames between ports of one bridge can be put before the rules of IP; they are, or are not.
fn bridges_are_filtered(place: &Place, value: &str) -> bool {
    let there = std::path::Path::new("/proc/sys/net/bridge").exists();
    for name in ["iptables", "ip6tables"].iter().filter(|_| there) {
        let setting = format!("net.bridge.bridge-nf-call-{name}={value}");
        place.on_host(&["sysctl", "-qw", &setting]).run().ok().either_way();
    }
    there
}
