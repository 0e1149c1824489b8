//! Names of containers.

use stockade_testkit::requires;

use crate::place::{OUTSIDE, Place};

/// What the C library finds.
pub(crate) fn find(name: &str) -> String {
    format!("getent ahostsv4 {name} | cut -d' ' -f1 | sort -u | paste -sd' '")
}

#[test]
fn names_come_and_go_with_containers() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    place.ask(&["network", "create", "--subnet", "10.9.0.0/24", "net"]).ok().either_way();
    place.ask(&["network", "create", "other"]).ok().either_way();
    let id =
        place.detached(&["--name", "web", "--network", "net", "--network-alias", "www", "-h", "box"], "sleep 1000");
    place.detached(&["--name", "web2", "--network", "name=net,ip=10.9.0.77,alias=www"], "sleep 1000");
    let asks = |flags: &[&str], name: &str| place.run(flags, &find(name)).ok().out().to_owned();
    let net = ["--network", "net"];
    for (name, expected) in [
        ("web", "10.9.0.2"),
        ("WEB", "10.9.0.2"),
        ("web.net", "10.9.0.2"),
        ("box", "10.9.0.2"),
        (&id[..12], "10.9.0.2"),
        ("web2", "10.9.0.77"),
        ("www", "10.9.0.2 10.9.0.77"),
    ] {
        assert_eq!(asks(&net, name), expected, "{name}");
    }
    assert_eq!(asks(&["--network", "other"], "web"), "", "another network knows nothing of it");
    assert_eq!(asks(&["--network", "bridge"], "web"), "", "nor does the default one");
    let said = place.run(&net, "getent hosts 10.9.0.77 | awk '{print $2}'").ok();
    assert_eq!(said.out(), "web2.net");
    place.ask(&["network", "connect", "--alias", "late", "other", "web"]).ok().either_way();
    assert_ne!(asks(&["--network", "other"], "late"), "");
    place.ask(&["network", "disconnect", "net", "web2"]).ok().either_way();
    assert_eq!(asks(&net, "www"), "10.9.0.2");
    place.ask(&["rm", "-f", "web"]).ok().either_way();
    assert_eq!(asks(&net, "web"), "");
}

#[test]
fn other_names_are_asked_of_the_hosts_servers() {
    requires!(root, stockade, debian_image, ip, dnsmasq);
    let place = Place::new();
    let listen = format!("--listen-address={OUTSIDE}");
    let mut server = vec![
        "dnsmasq",
        "-k",
        "-C",
        "/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--user=root",
        "--pid-file",
    ];
    server.extend([listen.as_str(), "--address=/outside.example/198.51.100.7"]);
    let _server = place.outside(&server).start();
    place.ask(&["network", "create", "net"]).ok().either_way();
    place.ask(&["network", "create", "--internal", "closed"]).ok().either_way();
    let asks = |network: &str| place.run(&["--network", network], &find("www.outside.example")).ok().out().to_owned();
    stockade_testkit::call::eventually("an answer", std::time::Duration::from_secs(30), || {
        asks("net") == "198.51.100.7"
    });
    assert_eq!(asks("bridge"), "198.51.100.7");
    assert_eq!(asks("closed"), "", "an internal network reaches nothing by name");
    // Over TCP as well.
    let script = "exec 3<>/dev/tcp/127.0.0.11/53; printf '\\0\\041\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\7outside\\7example\\0\\0\\1\\0\\1' >&3; \
                  head -c 51 <&3 | tail -c 4 | od -An -tu1";
    let said = place.run(&["--network", "net"], script).ok();
    assert_eq!(said.out().split_whitespace().collect::<Vec<_>>(), ["198", "51", "100", "7"]);
}

#[test]
fn a_container_can_serve_names_itself() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let script = "perl -MIO::Socket::INET -e 'for (qw(udp tcp)) { \
                  IO::Socket::INET->new(LocalAddr => \"0.0.0.0\", LocalPort => 53, Proto => $_, $_ eq \"tcp\" ? (Listen => 1) : ()) \
                  or die \"$_ $!\" }' && getent ahostsv4 me | head -n1 | cut -d' ' -f1";
    let said = place.run(&["--network", "name=net,ip=172.17.0.9", "-h", "me"], script).ok();
    assert_eq!(said.out(), "172.17.0.9");
}

/// Each packet would else cost a look-up of its connection in the container too.
#[test]
fn no_connection_of_a_container_is_tracked_in_it() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let script =
        format!("{} && exec 3<>/dev/tcp/127.0.0.11/53 && cat /proc/sys/net/netfilter/nf_conntrack_count", find("me"));
    let said = place.run(&["--network", "name=net,ip=172.17.0.9", "-h", "me"], &script).ok();
    assert_eq!(said.out(), "172.17.0.9\n0");
}

#[test]
fn a_firewall_of_the_containers_own_sees_questions_as_they_are_asked() {
    requires!(root, stockade, debian_image, ip, nft);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let flags = ["--network", "name=net,ip=172.17.0.9", "--name", "walled", "-h", "me"];
    place.detached(&flags, "sleep 1000");
    let rules = "table ip own { chain in { type filter hook input priority 0; policy drop; ct state established accept; \
                 ct state new meta l4proto { tcp, udp } ct original proto-dst 53 accept; }; }";
    let pid = place.inspect("walled", "{{.State.Pid}}");
    let net = format!("--net=/proc/{pid}/ns/net");
    place.on_host(&["nsenter", &net, "nft", rules]).run().ok().either_way();
    let asks = |script: &str| place.ask(&["exec", "walled", "bash", "-c", script]).ok().out().to_owned();
    assert_eq!(asks(&find("me")), "172.17.0.9");
    let over_tcp = "exec 3<>/dev/tcp/127.0.0.11/53; printf '\\0\\024\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\2me\\0\\0\\1\\0\\1' >&3; \
                    head -c 38 <&3 | tail -c 4 | od -An -tu1";
    assert_eq!(asks(over_tcp).split_whitespace().collect::<Vec<_>>(), ["172", "17", "0", "9"]);
}

#[test]
fn files_below_etc() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    place.ask(&["network", "create", "--subnet", "10.9.0.0/24", "net"]).ok().either_way();
    let flags = [
        "--network",
        "net",
        "-h",
        "box",
        "--add-host",
        "db:198.51.100.1",
        "--add-host",
        "up:host-gateway",
        "--dns-search",
        "a.example",
    ];
    let said = place.run(&flags, "cat /etc/hosts /etc/resolv.conf /etc/hostname").ok();
    for line in
        ["198.51.100.1\tdb", "10.9.0.1\tup", "10.9.0.2\tbox", "nameserver 127.0.0.11", "search a.example", "box"]
    {
        assert!(said.out().lines().any(|found| found == line), "{line}: {}", said.out());
    }
    let said = place.run(&["--network", "bridge", "--dns", "198.51.100.9"], "grep nameserver /etc/resolv.conf").ok();
    assert_eq!(said.out(), "nameserver 198.51.100.9");
    let said = place.run(&["--network", "none", "--add-host", "db:198.51.100.1"], "grep db /etc/hosts").ok();
    assert_eq!(said.out(), "198.51.100.1\tdb");
}

#[test]
fn the_name_server_is_confined_and_ends_with_the_container() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let id = place.detached(&["--name", "web", "--network", "net"], "sleep 1000");
    let folder = place.stockade.data().join("containers").join(&id);
    let pid = std::fs::read_to_string(folder.join("names.lock")).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let root = std::fs::read_dir(format!("/proc/{pid}/root")).unwrap().count();
    assert_eq!(root, 0, "its root is empty");
    place.ask(&["kill", "web"]).ok().either_way();
    stockade_testkit::call::eventually("its end", std::time::Duration::from_secs(20), || {
        std::fs::read_to_string(format!("/proc/{pid}/status")).map_or(true, |status| status.contains("State:\tZ"))
    });
}
