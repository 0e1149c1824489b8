//! `network COMMAND`, and what is left when all is gone.

use stockade_testkit::requires;

use crate::names::find;
use crate::place::{OUTSIDE, Place};

#[test]
fn networks_are_made_listed_and_removed() {
    requires!(root, stockade, busybox_packed, ip);
    let place = Place::new();
    let id =
        place.ask(&["network", "create", "--subnet", "10.9.0.0/24", "--label", "a=b", "net"]).ok().out().to_owned();
    assert_eq!(id.len(), 64);
    place.ask(&["network", "create", "net"]).refuses(&["network with name net already exists"]).either_way();
    place
        .ask(&["network", "create", "--subnet", "10.9.0.128/25", "n2"])
        .refuses(&["overlaps with that of network net"])
        .either_way();
    place.ask(&["network", "create", "-o", "x=y", "n2"]).refuses(&["invalid network option \"x\""]).either_way();
    place.ask(&["network", "create", "-d", "overlay", "n2"]).refuses(&["bridge and macvlan"]).either_way();
    let ipvlan = place.ask(&["network", "create", "-d", "ipvlan", "-o", "parent=up0", "-o", "ipvlan_mode=l3", "n2"]);
    ipvlan.refuses(&["--driver ipvlan", "macvlan", "enable_ip_masquerade=false"]).either_way();
    place.ask(&["network", "create", "host"]).refuses(&["predefined host network"]).either_way();
    place
        .ask(&["network", "rm", "bridge"])
        .refuses(&["bridge is a pre-defined network and cannot be removed"])
        .either_way();
    let names = place.ask(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"]).ok();
    assert_eq!(names.out(), "bridge bridge\nhost host\nnet bridge\nnone null");
    let found = place.ask(&["network", "inspect", &id[..8]]).ok();
    let found = &found.json()[0];
    assert_eq!(found["IPAM"]["Config"][0]["Subnet"], "10.9.0.0/24");
    assert_eq!((&found["IPAM"]["Config"][0]["Gateway"], &found["Labels"]["a"]), (&"10.9.0.1".into(), &"b".into()));
    // The second one avoids the first, and routes of the host.
    place.ask(&["network", "create", "n2"]).ok().either_way();
    let second = place.inspect("n2", "{{(index .IPAM.Config 0).Subnet}}");
    assert_eq!(second, "172.17.0.0/16");
    place.on_host(&["ip", "route", "add", "172.18.0.0/16", "dev", "up0"]).run().ok().either_way();
    place.ask(&["network", "create", "n3"]).ok().either_way();
    assert_eq!(place.inspect("n3", "{{(index .IPAM.Config 0).Subnet}}"), "172.19.0.0/16");
    let image = place.stockade.image().to_owned();
    let container = place.call(&["run", "-d", "--name", "web", "--network", "net", &image, "sleep", "1000"]).run().ok();
    place.stockade.know(container.out());
    let refused = place.ask(&["network", "rm", "net"]);
    refused.refuses(&["network net has active endpoints (name:\"web\""]).either_way();
    let pruned = place.ask(&["network", "prune", "-f"]).ok();
    assert_eq!(pruned.out(), "Deleted Networks:\nn2\nn3");
    place.ask(&["rm", "-f", "web"]).ok().either_way();
    place.ask(&["network", "rm", "net"]).ok().either_way();
    place.ask(&["network", "rm", "net"]).refuses(&["network net not found"]).either_way();
    place.ask(&["network", "rm", "-f", "net"]).ok().either_way();
}

#[test]
fn nothing_is_left_of_killed_containers_and_flushed_rules_come_back() {
    requires!(root, stockade, busybox_packed, ip, nft, curl);
    let place = Place::new();
    let image = place.stockade.image().to_owned();
    place.ask(&["network", "create", "--subnet", "10.9.0.0/24", "net"]).ok().either_way();
    let serve = "mkdir /tmp/w; echo hello > /tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w";
    let flags = ["run", "-d", "--name", "web", "--network", "net", "-p", "8080:80", &image, "sh", "-c", serve];
    let id = place.stockade.know(place.ask(&flags).ok().out());
    assert_eq!(place.page(|words| place.on_host(words), "127.0.0.1:8080"), "hello");
    place.on_host(&["nft", "flush", "ruleset"]).run().ok().either_way();
    place.ask(&["network", "reload"]).ok().either_way();
    assert_eq!(place.page(|words| place.on_host(words), "127.0.0.1:8080"), "hello");
    let monitor = place.inspect("web", "{{.Stockade.Monitor}}");
    stockade_testkit::call::Call::new("kill").args(["-9", &monitor]).run().ok().either_way();
    // Whichever command comes next finds out.
    assert_eq!(place.inspect("web", "{{.State.Status}}"), "exited");
    let rules = place.on_host(&["nft", "list", "ruleset"]).run().ok();
    assert!(!rules.out().contains("8080") && !rules.out().contains("10.9.0.2"), "{}", rules.out());
    place.ask(&["start", "web"]).ok().either_way();
    assert_eq!(place.page(|words| place.on_host(words), "127.0.0.1:8080"), "hello");
    let links = place.on_host(&["ip", "-br", "link", "show", "type", "veth"]).run().ok();
    assert_eq!(links.out().lines().filter(|line| line.starts_with("veth")).count(), 1, "{}", links.out());
    place.ask(&["rm", "-f", &id]).ok().either_way();
    place.ask(&["network", "rm", "net"]).ok().either_way();
    let links = place.on_host(&["ip", "-br", "link"]).run().ok();
    assert!(!links.out().contains("veth") && !links.out().contains("br-"), "{}", links.out());
}

#[test]
fn several_networks_and_changes_while_it_runs() {
    requires!(root, stockade, busybox_packed, ip);
    let place = Place::new();
    let image = place.stockade.image().to_owned();
    for (name, subnet) in [("net1", "10.9.1.0/24"), ("net2", "10.9.2.0/24"), ("net3", "10.9.3.0/24")] {
        place.ask(&["network", "create", "--subnet", subnet, name]).ok().either_way();
    }
    let flags =
        ["run", "-d", "--name", "web", "--network", "net2", "--network", "name=net1,mac-address=02:00:00:00:00:05"];
    let id = place
        .call(&flags)
        .args([
            &image,
            "sh",
            "-c",
            "while true; do { ip -o -4 addr; ip route; } > /tmp/now.new; mv /tmp/now.new /tmp/now; sleep 0.2; done",
        ])
        .run()
        .ok();
    place.stockade.know(id.out());
    let pid = place.inspect("web", "{{.State.Pid}}");
    let inside = |words: &[&str]| {
        let target = format!("--net=/proc/{pid}/ns/net");
        stockade_testkit::call::Call::new("nsenter").arg(target).args(words).run().ok().out().to_owned()
    };
    let route = || inside(&["ip", "route", "show", "default"]);
    assert!(route().contains("via 10.9.1.1"), "{}", route());
    assert!(inside(&["ip", "link"]).contains("02:00:00:00:00:05"));
    place.ask(&["network", "connect", "--ip", "10.9.3.33", "net3", "web"]).ok().either_way();
    assert!(inside(&["ip", "-4", "addr"]).contains("10.9.3.33/24"));
    place.ask(&["network", "connect", "net3", "web"]).refuses(&["already exists in network net3"]).either_way();
    place.ask(&["network", "disconnect", "net1", "web"]).ok().either_way();
    assert!(route().contains("via 10.9.2.1") && !inside(&["ip", "-4", "addr"]).contains("10.9.1."), "{}", route());
    place.ask(&["network", "disconnect", "net1", "web"]).refuses(&["is not connected to network net1"]).either_way();
    // It is there again after a restart.
    place.ask(&["stop", "-t", "0", "web"]).ok().either_way();
    place.ask(&["start", "web"]).ok().either_way();
    let networks =
        place.inspect("web", "{{range $name, $one := .NetworkSettings.Networks}}{{$name}}={{$one.IPAddress}} {{end}}");
    assert!(networks.contains("net2=10.9.2.") && networks.contains("net3=10.9.3.33"), "{networks}");
    let image = place.stockade.image().to_owned();
    let taken = place.ask(&["run", "--network", "name=net3,ip=10.9.3.33", &image, "true"]);
    taken.refuses(&["the address 10.9.3.33 is already in use"]).either_way();
}

#[test]
fn many_at_once_have_addresses_of_their_own() {
    requires!(root, stockade, busybox_packed, ip);
    let place = Place::new();
    let image = place.stockade.image().to_owned();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let script = "ip -o -4 addr show eth0 | awk '{print $4}'";
    let running: Vec<_> = (0..8)
        .map(|_| {
            place.call(&["run", "--rm", "--network", "net", &image, "sh", "-c", &format!("{script}; sleep 2")]).start()
        })
        .collect();
    let mut addresses: Vec<String> = running.into_iter().map(|one| one.wait().ok().out().to_owned()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 8, "{addresses:?}");
    let found = place.ask(&["network", "inspect", "net"]).ok();
    assert_eq!(found.json()[0]["Containers"].as_object().map(serde_json::Map::len), Some(0));
}

/// A container on an interface of the host is a neighbour of its own, with an address and a hardware address that the outside sees.
#[test]
fn macvlan_containers_are_neighbours_of_the_hosts() {
    requires!(root, stockade, debian_image, ip, socat);
    let place = Place::new();
    let create = ["network", "create", "-d", "macvlan", "--subnet", "192.0.2.0/24", "--gateway", OUTSIDE, "-o"];
    place.ask(&[&create[..], &["parent=up0", "lan"]].concat()).ok().either_way();
    let reply = place.stockade.folder().join("reply");
    std::fs::write(&reply, "echo $SOCAT_PEERADDR").unwrap();
    let answer = format!("EXEC:sh {}", reply.display());
    let _server = place.outside(&["socat", "TCP-LISTEN:7000,fork,reuseaddr", &answer]).start();
    let asks = |address: &str| format!("timeout 5 bash -c 'cat < /dev/tcp/{address}/7000'");
    let flags = ["--network", "name=lan,ip=192.0.2.77,mac-address=02:00:00:00:00:77"];
    let script = format!("for i in 1 2 3 4 5 6; do {} 2>/dev/null && break; sleep 0.5; done", asks(OUTSIDE));
    assert_eq!(place.run(&flags, &script).ok().out(), "192.0.2.77");
    let neighbours = place.outside(&["ip", "neigh", "show", "192.0.2.77"]).run().ok();
    assert!(neighbours.out().contains("02:00:00:00:00:77"), "{}", neighbours.out());
    // They find each other, by names too, and of the host nothing is left behind.
    place.detached(&["--name", "web", "--network", "name=lan,ip=192.0.2.78"], &crate::ports::pages(&[80], "web"));
    let script =
        format!("{} && timeout 5 bash -c 'exec 3<>/dev/tcp/web/80; echo GET / >&3; tail -n1 <&3'", find("web"));
    assert_eq!(place.run(&["--network", "lan"], &script).ok().out(), "192.0.2.78\nweb80");
    place.ask(&["rm", "-f", "web"]).ok().either_way();
    let links = place.on_host(&["ip", "-br", "link", "show", "type", "macvlan"]).run().ok();
    assert_eq!(links.out(), "");
    // An interface that is not there is said when a container is to be on it.
    place.ask(&["network", "create", "-d", "macvlan", "-o", "parent=none0", "nowhere"]).ok().either_way();
    place.run(&["--network", "nowhere"], "true").refuses(&["there is no interface none0"]).either_way();
}
