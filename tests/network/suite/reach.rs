//! Who reaches whom.

use stockade_testkit::requires;

use crate::place::{HOST, OUTSIDE, Place};

/// A script that says a word to whoever connects to port 80, with what the Debian image has.
fn web(word: &str) -> String {
    format!(
        "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die; \
         while ($c = $s->accept) {{ $c->recv($b, 999); print $c \"HTTP/1.0 200 OK\\r\\n\\r\\n{word}\"; close $c }}'"
    )
}

/// A script that connects, and says whether that worked.
fn reach(address: &str, port: u16) -> String {
    format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>/dev/null && echo reached || echo not")
}

#[test]
fn three_servers_on_port_80_and_the_hosts() {
    requires!(root, stockade, debian_image, ip, curl, socat);
    let place = Place::new();
    let own = place.says(|words| place.on_host(words), 80, "host");
    place.ask(&["network", "create", "webs"]).ok().either_way();
    for (name, port, network) in [("one", "8081", "webs"), ("two", "8082", "webs"), ("three", "8083", "bridge")] {
        place.detached(&["--name", name, "--network", network, "-p", &format!("{port}:80")], &web(name));
    }
    for (port, word) in [("8081", "one"), ("8082", "two"), ("8083", "three"), ("80", "host")] {
        for address in [format!("{HOST}:{port}"), format!("127.0.0.1:{port}")] {
            assert_eq!(place.page(|words| place.on_host(words), &address), word, "{address} on the host");
        }
        assert_eq!(place.page(|words| place.outside(words), &format!("{HOST}:{port}")), word, "{port} from outside");
    }
    // One that has no port left to take says whose it is.
    let image = stockade_testkit::stockade::named_reference("debian", "rootfs");
    let taken = place.ask(&["run", "--network", "webs", "-p", "8081:80", &image, "true"]);
    taken.refuses(&["8081 failed: port is already allocated by container one"]).either_way();
    let taken = place.ask(&["run", "--network", "webs", "-p", "80:80", &image, "true"]);
    taken.refuses(&["80 failed: a program of the host has that port (socat, process "]).either_way();
    drop(own);
}

#[test]
fn who_reaches_whom() {
    requires!(root, stockade, debian_image, ip, curl, socat);
    let place = Place::new();
    let _own = place.says(|words| place.on_host(words), 7000, "host");
    let _outside = place.says(|words| place.outside(words), 7001, "outside");
    for (name, flags) in [("one", &[][..]), ("two", &[]), ("closed", &["--internal"])] {
        place.call(&["network", "create"]).args(flags).arg(name).run().ok().either_way();
    }
    for (name, network) in [("a1", "one"), ("a2", "two"), ("a3", "closed")] {
        place.detached(&["--name", name, "--network", network], &web(name));
    }
    place.detached(&["--name", "local", "--network", "one", "-p", "127.0.0.1:8088:80"], &web("local"));
    assert_eq!(place.page(|words| place.on_host(words), "127.0.0.1:8088"), "local");
    let address = |name: &str| place.inspect(name, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    let gateway = place.inspect("a1", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}");
    let [one, two, three] = ["a1", "a2", "a3"].map(address);
    for (from, to, port, expected) in [
        ("one", one.as_str(), 80, "reached"),
        ("one", &two, 80, "not"),
        ("one", &three, 80, "not"),
        ("two", &one, 80, "not"),
        ("closed", &three, 80, "reached"),
        ("closed", &one, 80, "not"),
        ("one", OUTSIDE, 7001, "reached"),
        ("closed", OUTSIDE, 7001, "not"),
        ("closed", HOST, 7000, "not"),
        // The host's own services, at its address, the bridge's, and its loopback (CVE-2020-8558).
        ("one", HOST, 7000, "not"),
        ("one", &gateway, 7000, "not"),
        ("bridge", HOST, 7000, "not"),
    ] {
        let said = place.run(&["--network", from], &reach(to, port)).ok();
        assert_eq!(said.out(), expected, "from {from} to {to}:{port}");
    }
    let said = place.run(&["--network", "one", "--cap-add", "NET_ADMIN"], &reach("127.0.0.1", 7000)).ok();
    assert_eq!(said.out(), "not", "its own loopback");
    // A neighbour that has a way to the containers' addresses reaches none.
    place.outside(&["ip", "route", "add", "172.16.0.0/12", "via", HOST]).run().ok().either_way();
    for (to, port) in [(one.as_str(), 80), (&two, 80), (&three, 80), (HOST, 8088), ("127.0.0.1", 8088)] {
        let url = format!("http://{to}:{port}/");
        let done = place.outside(&["curl", "-sS", "-m", "2", &url]).run();
        assert_ne!(done.code(), 0, "{url} from outside: {}", done.out());
        done.either_way();
    }
}

#[test]
fn a_network_with_access_to_the_host_and_one_without_any_among_its_own() {
    requires!(root, stockade, debian_image, ip, socat);
    let place = Place::new();
    let _own = place.says(|words| place.on_host(words), 7000, "host");
    place.ask(&["network", "create", "-o", "host-access=true", "open"]).ok().either_way();
    let alone = ["network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "alone"];
    place.ask(&alone).ok().either_way();
    let said = place.run(&["--network", "open"], &reach(HOST, 7000)).ok();
    assert_eq!(said.out(), "reached");
    place.detached(&["--name", "web", "--network", "alone"], &web("web"));
    let address = place.inspect("web", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    let said = place.run(&["--network", "alone"], &reach(&address, 80)).ok();
    assert_eq!(said.out(), "not");
}

#[test]
fn ipv6_has_addresses_ports_and_a_way_out() {
    requires!(root, stockade, debian_image, ip, curl, socat);
    let place = Place::new();
    place.ask(&["network", "create", "--ipv6", "six"]).ok().either_way();
    let script =
        web("six").replace("IO::Socket::INET", "IO::Socket::IP").replace("LocalPort", "LocalAddr => \"::\", LocalPort");
    place.detached(&["--name", "web", "--network", "six", "-p", "8080:80"], &script);
    assert_eq!(place.page(|words| place.outside(words), "[2001:db8::1]:8080"), "six");
    let address = place.inspect("web", "{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}}");
    let said = place.run(&["--network", "six"], &reach(&address, 80)).ok();
    assert_eq!(said.out(), "reached");
    let _outside = place.outside(&["socat", "TCP6-LISTEN:7001,fork,reuseaddr", "SYSTEM:true"]).start();
    let mut said = String::new();
    stockade_testkit::call::eventually("the neighbour", std::time::Duration::from_secs(20), || {
        said = place.run(&["--network", "six"], &reach("2001:db8::2", 7001)).ok().out().to_owned();
        said == "reached"
    });
    // An interface of a network without IPv6 has none at all.
    let said = place.run(&["--network", "bridge"], "grep -c eth0 /proc/net/if_inet6; true").ok();
    assert_eq!(said.out(), "0");
}
