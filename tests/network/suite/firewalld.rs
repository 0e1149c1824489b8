//! Beside the real firewalld, with a bus and a configuration of its own, in the test's network namespace.

use std::time::Duration;

use rustix::process::Signal;
use stockade_testkit::call::{Call, Running, eventually};
use stockade_testkit::requires;

use crate::place::{HOST, HOST_SIX, OUTSIDE, Place};

/// firewalld and the bus that it is asked by.
struct Firewalld<'a> {
    place: &'a Place,
    bus: String,
    running: Vec<Running>,
}

impl<'a> Firewalld<'a> {
    fn start(place: &'a Place) -> Self {
        let folder = place.stockade.folder().join("firewalld");
        std::fs::create_dir_all(folder.join("etc")).unwrap();
        let at = |name: &str| folder.join(name).display().to_string();
        let configuration = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\"><busconfig><type>system</type>\
             <listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/><allow send_type=\"method_call\"/><allow user=\"*\"/></policy></busconfig>",
            at("bus")
        );
        std::fs::write(at("bus.conf"), configuration).unwrap();
        std::fs::write(at("etc/firewalld.conf"), "DefaultZone=public\nFirewallBackend=nftables\n").unwrap();
        let mut own = Self { place, bus: format!("unix:path={}", at("bus")), running: Vec::new() };
        let config = format!("--config-file={}", at("bus.conf"));
        let bus = own.call(&["dbus-daemon", "--nofork", "--nopidfile", &config]).start();
        eventually("the bus", Duration::from_secs(20), || folder.join("bus").exists());
        let config = format!("--system-config={}", at("etc"));
        let flags = ["--nofork", "--nopid", "--log-target=console", &config];
        let daemon = own.call(&["firewalld"]).args(flags).start();
        own.running = vec![daemon, bus];
        eventually("firewalld", Duration::from_secs(50), || own.call(&["firewall-cmd", "--state"]).run().code() == 0);
        own
    }

    fn call(&self, words: &[&str]) -> Call {
        self.place.on_host(words).env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus).limit(Duration::from_secs(120))
    }

    fn ask(&self, words: &[&str]) -> String {
        self.call(&["firewall-cmd"]).args(words).run().ok().out().to_owned()
    }
}

impl Drop for Firewalld<'_> {
    fn drop(&mut self) {
        for one in self.running.drain(..) {
            one.signal(Signal::KILL);
            one.wait().either_way();
        }
    }
}

/// A container's page, and what it says of the one outside.
fn reached(place: &Place) -> String {
    let script = format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{OUTSIDE}/7001' 2>/dev/null && echo out || echo shut");
    place.ask(&["exec", "web", "bash", "-c", &script]).ok().out().to_owned()
}

/// Published ports are reached before and after a reload, which takes firewalld's rules away and makes them again (CVE-2025-54388 was that Docker's
/// went with them); and what goes out does as firewalld is told.
#[test]
fn published_ports_outlive_a_reload_of_firewalld() {
    requires!(root, stockade, debian_image, ip, nft, curl, socat, firewalld, dbus_daemon);
    let place = Place::new();
    let _outside = place.says(|words| place.outside(words), 7001, "outside");
    let before = Firewalld::start(&place);
    place.ask(&["network", "create", "--ipv6", "--subnet", "10.9.0.0/24", "net"]).ok().either_way();
    let serve = "exec perl -MIO::Socket::IP -e '$s = IO::Socket::IP->new(LocalAddr => \"::\", LocalPort => 80, Listen => 9, V6Only => 0) or die; \
         while ($c = $s->accept) { $c->recv($b, 999); print $c \"HTTP/1.0 200 OK\\r\\n\\r\\nweb\"; close $c }'";
    place.detached(&["--name", "web", "--network", "net", "-p", "8080:80", "-p", "127.0.0.1:8081:80"], serve);
    let rules = || place.on_host(&["nft", "list", "table", "inet", "stockade"]).run().ok().out().to_owned();
    let own = rules();
    let all = || {
        assert!(place.on_host(&["nft", "list", "ruleset"]).run().ok().out().contains("table inet firewalld"));
        for address in [format!("{HOST}:8080"), format!("[{HOST_SIX}]:8080")] {
            assert_eq!(place.page(|words| place.outside(words), &address), "web", "{address}");
        }
        assert_eq!(place.page(|words| place.on_host(words), "127.0.0.1:8081"), "web");
        let closed = place.outside(&["curl", "-sS", "-m", "2", &format!("http://{HOST}:8081/")]).run();
        assert_ne!(closed.code(), 0, "the loopback's port is the host's alone");
        closed.either_way();
        assert_eq!(rules(), own);
    };
    all();
    before.ask(&["--reload"]);
    all();
    // What it rejects stays so until its administrator lets it out.
    assert_eq!(reached(&place), "shut");
    before.ask(&["--permanent", "--zone=trusted", "--add-source=10.9.0.0/24"]);
    before.ask(&["--reload"]);
    assert_eq!(reached(&place), "out");
    before.ask(&["--complete-reload"]);
    all();
    assert_eq!(reached(&place), "out");
    drop(before);
    place.on_host(&["nft", "delete", "table", "inet", "firewalld"]).run().ok().either_way();
    assert_eq!(reached(&place), "out");
}
