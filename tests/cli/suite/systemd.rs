//! `--cgroup-driver systemd`: a container is a scope of systemd's, in the slice that `--cgroup-parent` names.

use stockade_testkit::systemd::Systemd;
use stockade_testkit::{Call, Stockade, programs, requires};

/// `stockade --cgroup-driver systemd` beside it.
fn call(systemd: &Systemd, stockade: &Stockade, arguments: &[&str]) -> Call {
    let call = systemd.call(programs::built("stockade").to_str().unwrap());
    let call = call.arg("--data-root").arg(stockade.data()).args(["--exec-root", "/run/stockade-test"]);
    call.args(["--cgroup-driver", "systemd", "--default-network", "none"]).args(arguments)
}

#[test]
fn a_container_is_a_scope() {
    requires!(root, stockade, busybox_packed, systemd);
    let (systemd, stockade) = (Systemd::boot(), Stockade::new());
    let ask = |arguments: &[&str]| call(&systemd, &stockade, arguments).run();
    assert_eq!(ask(&["info", "--format", "{{.CgroupDriver}}"]).ok().out().trim(), "systemd");
    let run = |flags: &[&str]| {
        let all: Vec<&str> =
            ["run", "-d"].iter().chain(flags).copied().chain([stockade.image(), "sleep", "1000"]).collect();
        ask(&all).ok().out().trim().to_owned()
    };
    let id = run(&[]);
    let unit = format!("stockade-{id}.scope");
    assert_eq!(systemd.property(&unit, "ControlGroup"), format!("/system.slice/{unit}"));
    ask(&["exec", &id, "true"]).ok();
    ask(&["pause", &id]).ok();
    ask(&["unpause", &id]).ok();
    // Of whatever option a later command has, it is the container's own driver that counts.
    let plain = systemd.call(programs::built("stockade").to_str().unwrap());
    let plain = plain.arg("--data-root").arg(stockade.data()).args(["--exec-root", "/run/stockade-test"]);
    plain.args(["restart", "-t", "0", &id]).run().ok();
    assert_eq!(systemd.property(&unit, "ActiveState"), "active");
    ask(&["rm", "-f", &id]).ok();
    assert!(!systemd.knows(&unit));
    let id = run(&["--cgroup-parent", "a-b.slice"]);
    let unit = format!("stockade-{id}.scope");
    assert_eq!(systemd.property(&unit, "ControlGroup"), format!("/a.slice/a-b.slice/{unit}"));
    ask(&["stop", "-t", "0", &id]).ok();
    assert!(!systemd.knows(&unit));
    ask(&["rm", &id]).ok();
    let refused = ask(&["run", "--cgroup-parent", "/a/b", stockade.image(), "true"]);
    refused.exits(125).refuses(&["must be a slice"]);
}

#[test]
fn where_there_is_no_systemd_it_is_said() {
    requires!(root, stockade, busybox_packed);
    if std::path::Path::new("/run/systemd/private").exists() {
        // A machine that has one: what is said elsewhere cannot be heard here.
        return;
    }
    let stockade = Stockade::new();
    let done = stockade.call(&["--cgroup-driver", "systemd", "run", "--rm", stockade.image(), "true"]).run();
    done.exits(125).refuses(&["cgroupfs"]);
    stockade.call(&["--cgroup-driver", "other", "ps"]).run().exits(125).refuses(&["cgroupfs or systemd"]);
}
