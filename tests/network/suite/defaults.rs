//! The network of those who name none, and two data folders on one machine.

use stockade_testkit::requires;
use stockade_testkit::stockade::Stockade;

use crate::place::{HOST, Place};

#[test]
fn without_a_word_a_container_is_on_bridge() {
    requires!(root, stockade, busybox_packed, ip, curl);
    let place = Place::new();
    let image = place.stockade.image().to_owned();
    let serve = "mkdir /tmp/w; echo hello > /tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w";
    let started = place.ask(&["run", "-d", "--name", "web", "-p", "8080:80", &image, "sh", "-c", serve]).ok();
    place.stockade.know(started.out());
    assert_eq!(place.inspect("web", "{{.HostConfig.NetworkMode}}"), "bridge");
    assert_eq!(place.page(|words| place.outside(words), &format!("{HOST}:8080")), "hello");
    let address = place.inspect("web", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
    let script = format!("wget -qO- http://{address}");
    let said = place.ask(&["run", "--rm", &image, "sh", "-c", &script]).ok();
    assert_eq!(said.out(), "hello");
    let links = "ls /sys/class/net | paste -sd ' '";
    let of = |words: &[&str]| place.call(words).args([&image, "sh", "-c", links]).run();
    assert_eq!(of(&["run", "--rm"]).ok().out(), "eth0 lo");
    assert_eq!(of(&["run", "--rm", "--userns", "auto"]).ok().out(), "eth0 lo");
    assert_eq!(of(&["run", "--rm", "--network", "none"]).ok().out(), "lo");
    assert_eq!(of(&["--default-network", "none", "run", "--rm"]).ok().out(), "lo");
    place.ask(&["network", "create", "net"]).ok().either_way();
    assert_eq!(of(&["--default-network", "net", "run", "--rm", "--network-alias", "a"]).ok().out(), "eth0 lo");
    of(&["--default-network", "nosuch", "run", "--rm"]).refuses(&["network nosuch not found"]).either_way();
    of(&["--default-network", "container:web", "run"]).refuses(&["--default-network"]).either_way();
}

/// Rules are made of one data folder's records: another one's would undo them.
#[test]
fn a_second_data_folder_does_not_undo_the_rules_of_the_first() {
    requires!(root, stockade, busybox_packed, ip, nft);
    let place = Place::new();
    let image = place.stockade.image().to_owned();
    // As a new network namespace has what the machine has.
    place.on_host(&["sysctl", "-qw", "net.ipv4.ip_forward=0"]).run().ok().either_way();
    let second = Stockade::in_own_namespace();
    let other = |words: &[&str]| place.on_host(&[]).args(second.command_line()).args(words).run();
    let started = place.ask(&["run", "-d", "--name", "web", "-p", "8080:80", &image, "sleep", "1000"]).ok();
    let id = place.stockade.know(started.out());
    let rules = || place.on_host(&["nft", "list", "ruleset"]).run().ok().out().to_owned();
    let before = rules();
    assert!(before.contains("8080"), "{before}");
    let owner = place.stockade.data().display().to_string();
    let refused = other(&["run", "--rm", &image, "true"]);
    refused.refuses(&[&owner, "--data-root", "--network none"]).either_way();
    assert_eq!(rules(), before);
    other(&["network", "create", "net"]).ok().either_way();
    other(&["network", "reload"]).ok().either_way();
    other(&["network", "rm", "net"]).ok().either_way();
    other(&["run", "--rm", "--network", "none", &image, "true"]).ok().either_way();
    assert_eq!(rules(), before);
    place.ask(&["rm", "-f", &id]).ok().either_way();
    other(&["run", "--rm", &image, "true"]).ok().either_way();
    place.ask(&["run", "--rm", &image, "true"]).ok().either_way();
    // Forwarding was off before the first container: that nothing else is forwarded stays so, whosever the rules are.
    other(&["run", "--rm", &image, "true"]).ok().either_way();
    let through = place.on_host(&["nft", "list", "chain", "inet", "stockade", "through"]).run().ok();
    assert!(through.out().trim_end_matches(['}', '\n', '\t', ' ']).ends_with("drop"), "{}", through.out());
}
