//! Published ports of every kind, and what others do to rules and bridges.

use std::time::Duration;

use stockade_testkit::call::{Running, eventually};
use stockade_testkit::requires;

use crate::frames::{NOTES, association, noted};
use crate::place::{HOST, OUTSIDE, Place};

/// A script that answers each datagram with `word`.
fn echo(word: &str) -> String {
    format!(
        "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 53, Proto => \"udp\") or die; \
         while (defined $s->recv($b, 999)) {{ $s->send(\"{word} \" . $s->peerhost) }}'"
    )
}

/// What comes back for a datagram, if anything does.
fn datagram(call: stockade_testkit::call::Call, address: &str) -> String {
    let script = format!("echo x | socat -T 3 - UDP4:{address}");
    let done = call.args(["sh", "-c", &script]).run();
    let said = done.out().to_owned();
    done.either_way();
    said
}

/// The script of a server of pages that say a word at these ports.
pub(crate) fn pages(ports: &[u16], word: &str) -> String {
    let one = |port: &u16| {
        format!(
            "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => {port}, Listen => 9) or die; \
             while ($c = $s->accept) {{ $c->recv($b, 999); print $c \"HTTP/1.0 200 OK\\r\\n\\r\\n{word}{port}\"; close $c }}' &"
        )
    };
    ports.iter().map(one).collect::<Vec<_>>().join(" ") + " wait"
}

/// A page as a container of bash sees it.
fn get(address: &str, port: &str) -> String {
    format!(
        "set -o pipefail; for i in 1 2 3 4 5; do timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}; echo GET / >&3; cat <&3' 2>/dev/null \
         | tail -n1 && break; sleep 0.5; done"
    )
}

#[test]
fn datagrams_ranges_and_ports_that_are_drawn() {
    requires!(root, stockade, debian_image, ip, curl, socat);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    place.detached(
        &["--name", "udp", "--network", "net", "-p", "5300:53/udp", "-p", "127.0.0.1:5301:53/udp"],
        &echo("udp"),
    );
    stockade_testkit::call::eventually("the server", std::time::Duration::from_secs(20), || {
        datagram(place.on_host(&[]), &format!("{HOST}:5300")).starts_with("udp")
    });
    assert_eq!(
        datagram(place.outside(&[]), &format!("{HOST}:5300")),
        format!("udp {OUTSIDE}"),
        "its own address is seen"
    );
    assert!(datagram(place.on_host(&[]), "127.0.0.1:5301").starts_with("udp"));
    place.detached(&["--name", "range", "--network", "net", "-p", "9000-9002:80-82"], &pages(&[80, 81, 82], "at"));
    for (port, word) in [(9000, "at80"), (9001, "at81"), (9002, "at82")] {
        assert_eq!(place.page(|words| place.outside(words), &format!("{HOST}:{port}")), word);
    }
    for name in ["drawn", "again"] {
        place.detached(&["--name", name, "--network", "net", "-p", "80"], &pages(&[80], name));
    }
    let port = |name: &str| place.inspect(name, "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}");
    assert_ne!(port("drawn"), port("again"));
    for name in ["drawn", "again"] {
        let address = format!("{HOST}:{}", port(name));
        assert_eq!(place.page(|words| place.outside(words), &address), format!("{name}80"));
    }
    // One of a range that is free.
    place.detached(&["--name", "next", "--network", "net", "-p", "9002-9005:80"], &pages(&[80], "next"));
    assert_eq!(port("next"), "9003");
}

#[test]
fn a_container_reaches_published_ports_its_own_and_others() {
    requires!(root, stockade, debian_image, ip, curl);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    place.ask(&["network", "create", "other"]).ok().either_way();
    place.detached(&["--name", "web", "--network", "net", "-p", "8080:80"], &pages(&[80], "web"));
    assert_eq!(place.page(|words| place.on_host(words), &format!("{HOST}:8080")), "web80");
    let own = place.ask(&["exec", "web", "bash", "-c", &get(HOST, "8080")]).ok();
    assert_eq!(own.out(), "web80", "itself, by the host's address");
    for network in ["net", "other", "bridge"] {
        let said = place.run(&["--network", network], &get(HOST, "8080")).ok();
        assert_eq!(said.out(), "web80", "from {network}");
    }
}

/// Nobody holds a published port: a program can bind it, but what comes there is the container's as long as that runs; then it is the program's, who is
/// named to the next one that wants it.
#[test]
fn a_program_that_binds_a_published_port_later() {
    requires!(root, stockade, debian_image, ip, curl, socat);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    place.detached(&["--name", "web", "--network", "net", "-p", "8080:80"], &pages(&[80], "web"));
    let program = place.says(|words| place.on_host(words), 8080, "host");
    stockade_testkit::call::eventually("the program", std::time::Duration::from_secs(20), || {
        !place.on_host(&["ss", "-Hltn", "sport = :8080"]).run().ok().out().is_empty()
    });
    for address in [format!("{HOST}:8080"), "127.0.0.1:8080".to_owned()] {
        assert_eq!(place.page(|words| place.on_host(words), &address), "web80", "{address}");
    }
    assert_eq!(place.page(|words| place.outside(words), &format!("{HOST}:8080")), "web80");
    place.ask(&["stop", "-t", "0", "web"]).ok().either_way();
    assert_eq!(place.page(|words| place.outside(words), &format!("{HOST}:8080")), "host");
    let owner = format!("has that port (socat, process {})", program.pid());
    place.ask(&["start", "web"]).refuses(&[&owner]).either_way();
    program.signal(rustix::process::Signal::KILL);
    program.wait().either_way();
    place.ask(&["start", "web"]).ok().either_way();
    assert_eq!(place.page(|words| place.outside(words), &format!("{HOST}:8080")), "web80");
}

#[test]
fn one_of_many_gets_a_port() {
    requires!(root, stockade, busybox_packed, ip);
    let place = Place::new();
    let image = place.stockade.image().to_owned();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let flags = ["run", "--rm", "--network", "net", "-p", "8080:80", &image, "sleep", "6"];
    let all: Vec<Running> = (0..5).map(|_| place.call(&flags).start()).collect();
    let mut won = 0;
    for one in all {
        let done = one.wait();
        if done.code() == 0 {
            won += 1;
            done.either_way();
        } else {
            done.refuses(&["8080 failed: port is already allocated by container"]).either_way();
        }
    }
    assert_eq!(won, 1);
}

#[test]
fn sctp_is_published() {
    requires!(root, stockade, busybox_packed, ip, nft);
    let place = Place::new();
    let image = place.stockade.image().to_owned();
    let id = place.ask(&["run", "-d", "-p", "8080:80/sctp", &image, "sleep", "1000"]).ok();
    place.stockade.know(id.out());
    let rules = place.on_host(&["nft", "list", "chain", "inet", "stockade", "ports"]).run().ok();
    let line = rules.out().lines().find(|line| line.contains("8080")).unwrap_or_default();
    assert!(line.contains("sctp") && line.contains("dnat"), "{}", rules.out());
    // The same number of another protocol is another port.
    place.ask(&["run", "--rm", "-p", "8080:80/tcp", &image, "true"]).ok().either_way();
    place
        .ask(&["run", "--rm", "-p", "8080:80/sctp", &image, "true"])
        .refuses(&["port is already allocated"])
        .either_way();
}

/// By the kernel's own tracking of SCTP; whether it has sockets of it does not matter to who only leads packets on.
#[test]
fn associations_of_sctp_are_led_to_the_container() {
    requires!(root, stockade, debian_image, ip, socat, tcpdump);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let flags = ["--name", "witness", "--network", "name=net,ip=172.17.0.9", "--cap-add", "NET_RAW"];
    place.detached(&[&flags[..], &["-p", "8080:80/sctp"]].concat(), NOTES);
    noted(&place, "witness", "ready");
    let bridge = format!("br-{}", &place.inspect("net", "{{.Id}}")[..12]);
    let seen = place.on_host(&["tcpdump", "-l", "-n", "-i", &bridge, "sctp"]).start();
    eventually("tcpdump", Duration::from_secs(20), || seen.stderr_so_far().contains("listening"));
    let sends = |port, name: &str| {
        let to = format!("IP4-SENDTO:{HOST}:132");
        let message = association(port, name);
        place.outside(&["socat", "-u", "STDIN", &to]).stdin(&message).run().ok().either_way();
    };
    sends(8081, "of no port");
    sends(8080, "of the port");
    assert_eq!(noted(&place, "witness", "of the port"), ["ready", "of the port"]);
    let led = format!("{OUTSIDE}.9 > 172.17.0.9.80: sctp");
    eventually("the packet on the bridge", Duration::from_secs(20), || seen.stdout_so_far().contains(&led));
}

/// Without masquerading the neighbour sees the container's own address, and answers if it has a way back.
#[test]
fn a_network_that_is_routed() {
    requires!(root, stockade, debian_image, ip, socat);
    let place = Place::new();
    let option = "com.docker.network.bridge.enable_ip_masquerade=false";
    place.ask(&["network", "create", "--subnet", "10.9.0.0/24", "-o", option, "routed"]).ok().either_way();
    place.ask(&["network", "create", "hidden"]).ok().either_way();
    place.outside(&["ip", "route", "add", "10.9.0.0/24", "via", HOST]).run().ok().either_way();
    let _server = place.outside(&["socat", "TCP4-LISTEN:7001,fork,reuseaddr", "SYSTEM:echo $SOCAT_PEERADDR"]).start();
    let ask = format!(
        "for i in 1 2 3 4 5 6 7 8 9 10; do timeout 3 cat < /dev/tcp/{OUTSIDE}/7001 && break; sleep 0.5; done 2>/dev/null"
    );
    let said = place.run(&["--network", "name=routed,ip=10.9.0.9"], &ask).ok();
    assert_eq!(said.out(), "10.9.0.9");
    assert_eq!(place.run(&["--network", "hidden"], &ask).ok().out(), HOST);
}

/// What an administrator changed of a bridge the next start or `network reload` puts right.
#[test]
fn bridges_are_repaired() {
    requires!(root, stockade, busybox_packed, ip);
    let place = Place::new();
    let image = place.stockade.image().to_owned();
    let options = ["-o", "com.docker.network.bridge.name=nbr0", "-o", "com.docker.network.driver.mtu=1400"];
    place.call(&["network", "create", "--subnet", "10.9.0.0/24"]).args(options).arg("net").run().ok().either_way();
    let id = place.ask(&["run", "-d", "--network", "net", &image, "sleep", "1000"]).ok();
    place.stockade.know(id.out());
    let shown = || {
        let link = place.on_host(&["ip", "-o", "link", "show", "nbr0"]).run().ok();
        let word = |name: &str| link.out().split(' ').skip_while(|word| *word != name).nth(1).map(str::to_owned);
        let address = place.on_host(&["ip", "-o", "-4", "addr", "show", "nbr0"]).run().ok();
        (word("mtu"), word("link/ether"), address.out().contains("10.9.0.1/24"), link.out().contains(",UP"))
    };
    let before = shown();
    assert_eq!((before.0.as_deref(), before.2, before.3), (Some("1400"), true, true));
    for change in [
        &["link", "set", "nbr0", "mtu", "1300"][..],
        &["link", "set", "nbr0", "address", "02:00:00:00:00:99"],
        &["addr", "flush", "dev", "nbr0"],
        &["link", "set", "nbr0", "down"],
    ] {
        place.on_host(&["ip"]).args(change).run().ok().either_way();
        assert_ne!(shown(), before, "{change:?}");
        place.ask(&["network", "reload"]).ok().either_way();
        assert_eq!(shown(), before, "{change:?}");
    }
}

/// Docker's own rules, as dockerd has iptables write them, with a policy that drops: what it says in `DOCKER-USER` counts, and neither touches the other's.
#[test]
fn beside_dockers_rules() {
    requires!(root, stockade, debian_image, ip, curl, nft);
    let place = Place::new();
    let docker = "add table ip filter; add chain ip filter DOCKER-USER; \
        add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; \
        add rule ip filter FORWARD counter jump DOCKER-USER; \
        add table ip nat; add chain ip nat DOCKER; \
        add chain ip nat PREROUTING { type nat hook prerouting priority -100; policy accept; }; \
        add rule ip nat PREROUTING fib daddr type local counter jump DOCKER; \
        add rule ip nat DOCKER iifname != docker0 tcp dport 9999 counter dnat to 172.30.0.2:80";
    place.on_host(&["nft", docker]).run().ok().either_way();
    let theirs = || {
        let said = ["filter", "nat"]
            .map(|name| place.on_host(&["nft", "-s", "list", "table", "ip", name]).run().ok().out().to_owned());
        said.concat()
    };
    let before = theirs();
    place.detached(&["--name", "web", "-p", "8080:80"], &pages(&[80], "web"));
    assert_eq!(
        place.page(|words| place.on_host(words), "127.0.0.1:8080"),
        "web80",
        "the host's own packets are not forwarded"
    );
    let url = format!("http://{HOST}:8080/");
    let dropped = place.outside(&["curl", "-sS", "-m", "2", &url]).run();
    assert_ne!(dropped.code(), 0, "what others drop stays dropped");
    dropped.either_way();
    assert_eq!(theirs(), before);
    for end in ["iifname", "oifname"] {
        let rule = format!("add rule ip filter DOCKER-USER {end} stockade0 counter accept");
        place.on_host(&["nft", &rule]).run().ok().either_way();
    }
    assert_eq!(place.page(|words| place.outside(words), &format!("{HOST}:8080")), "web80");
    let with = theirs();
    place.ask(&["network", "reload"]).ok().either_way();
    assert_eq!(theirs(), with);
}
