//! What a container keeps of networks when it is started again, and when it gets another name.

use std::time::Duration;

use stockade_testkit::call::eventually;
use stockade_testkit::requires;

use crate::names::find;
use crate::place::{HOST, Place};
use crate::ports::pages;

const LONG: Duration = Duration::from_secs(30);

/// Addresses and ports of the container, as `inspect` has them.
fn has(place: &Place, name: &str) -> String {
    place.inspect(
        name,
        "{{with .NetworkSettings.Networks.net}}{{.IPAddress}} {{.GlobalIPv6Address}} {{.MacAddress}}{{end}} {{json .NetworkSettings.Ports}}",
    )
}

/// Asserts that the container has what it had, is reached from outside by its port, and by a neighbour by its names but for those of `gone`.
fn is_as_before(place: &Place, container: &str, before: &str, names: &[&str], gone: &[&str]) {
    assert_eq!(has(place, container), before);
    let port = place.inspect(container, "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}");
    assert_eq!(place.page(|words| place.outside(words), &format!("{HOST}:{port}")), "web80");
    let asks = |name: &str| {
        let said = place.ask(&["exec", "neighbour", "bash", "-c", &find(name)]).ok();
        said.out().to_owned()
    };
    let address = place.inspect(container, "{{.NetworkSettings.Networks.net.IPAddress}}");
    for name in names {
        assert_eq!(asks(name), address, "{name}");
        let script = format!("exec 3<>/dev/tcp/{name}/80; echo GET / >&3; tail -n1 <&3");
        assert_eq!(place.ask(&["exec", "neighbour", "bash", "-c", &script]).ok().out(), "web80", "{name}");
    }
    for name in gone {
        assert_eq!(asks(name), "", "{name}");
    }
}

/// Ends the container's program, and waits until its policy has started it again.
fn is_started_again(place: &Place, container: &str) {
    let told = "{{.RestartCount}} {{.State.Status}}";
    let (before, pid) = (place.inspect(container, told), place.inspect(container, "{{.State.Pid}}"));
    place.on_host(&["kill", "-9", &pid]).run().ok().either_way();
    eventually("the restart", LONG, || {
        let now = place.inspect(container, told);
        now != before && now.ends_with(" running")
    });
}

#[test]
fn addresses_ports_and_names_outlast_restarts_and_a_rename() {
    requires!(root, stockade, debian_image, ip, curl);
    let place = Place::new();
    place.ask(&["network", "create", "--ipv6", "--subnet", "10.9.0.0/24", "net"]).ok().either_way();
    // Who has taken the first address and port, and is gone later: what is free is not what was had.
    place.detached(&["--name", "first", "--network", "net", "-p", "80"], "sleep 1000");
    let flags =
        ["--name", "web", "--network", "net", "--network-alias", "www", "-h", "box", "-p", "80", "--restart", "always"];
    place.detached(&flags, &pages(&[80], "web"));
    place.detached(&["--name", "neighbour", "--network", "net"], "sleep 1000");
    place.ask(&["rm", "-f", "first"]).ok().either_way();
    let before = has(&place, "web");
    is_as_before(&place, "web", &before, &["web", "www", "box"], &[]);
    place.ask(&["restart", "-t", "0", "web"]).ok().either_way();
    is_as_before(&place, "web", &before, &["web", "www", "box"], &[]);
    is_started_again(&place, "web");
    is_as_before(&place, "web", &before, &["web", "www", "box"], &[]);
    place.ask(&["rename", "web", "site"]).ok().either_way();
    is_as_before(&place, "site", &before, &["site", "www", "box"], &["web"]);
    is_started_again(&place, "site");
    is_as_before(&place, "site", &before, &["site", "www", "box"], &["web"]);
    place.ask(&["restart", "-t", "0", "site"]).ok().either_way();
    is_as_before(&place, "site", &before, &["site", "www", "box"], &["web"]);
    // What a restart keeps goes with its end.
    place.ask(&["stop", "-t", "0", "site"]).ok().either_way();
    let others = place.run(&["--network", "net", "--ip", before.split(' ').next().unwrap()], "true");
    assert_eq!(others.code(), 0, "{others:?}");
}
