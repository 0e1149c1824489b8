//! Real containers for checks that a changed configuration alone does not reach: labels, what is outside of the root, keys, crashes, the
//! host's own settings, and containers of others that are found without being told where their configuration is.

use std::os::linux::net::SocketAddrExt;
use std::path::Path;
use std::time::Duration;

use stockade_testkit::{Running, eventually, programs};

use super::*;

#[test]
fn a_label_that_was_asked_for_and_is_not_there_is_found() {
    requires!(root, stake, stockade, busybox_image);
    let bundle = walled();
    let mut asked = bundle.config().clone();
    let bundle = bundle.detached();
    for (key, part) in [("apparmorProfile", "label: apparmor"), ("selinuxLabel", "label: selinux")] {
        asked["process"][key] = "system_u:system_r:container_t".into();
        let found = weaker(&report(&bundle, &asked, bundle.pid()).1);
        assert_eq!(found, BTreeSet::from([part.to_owned()]));
        asked["process"].as_object_mut().unwrap().remove(key);
    }
}

/// A container that shares the host's network: its interfaces, and the abstract sockets of the host's programs.
#[test]
fn the_hosts_network_is_found_with_what_is_reached_by_it() {
    requires!(root, stake, stockade, busybox_image);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(format!("stockade-test-{}", std::process::id()));
    let _socket = std::os::unix::net::UnixListener::bind_addr(&address.unwrap()).unwrap();
    let without_settings = |config: &mut Value| {
        config["linux"]["sysctl"].as_object_mut().unwrap().retain(|key, _| !key.starts_with("net."));
    };
    let bundle = walled().edit(without_settings);
    let asked = bundle.config().clone();
    let bundle = bundle.without_namespace("network").detached();
    let found = weaker(&report(&bundle, &asked, bundle.pid()).1);
    let expected = ["namespaces: net", "network: interfaces", "abstract-sockets: abstract sockets"];
    assert_eq!(found, expected.into_iter().map(str::to_owned).collect());
}

/// A program brought into the container by `nsenter` with what `prelude` opens: its pid.
fn brought_in(bundle: &Bundle, prelude: &str, words: &str) -> (Running, i32) {
    let script = format!("{prelude} exec nsenter -t {} -m -p -i -n -u {words}", bundle.pid());
    let running = Call::new("sh").args(["-c", &script]).start();
    let child = || {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.pid()));
        children.ok()?.split_whitespace().next()?.parse::<i32>().ok()
    };
    let executed = |pid: i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !line.starts_with(b"nsenter") && !line.is_empty()
    };
    eventually("a program in the container", Duration::from_secs(20), || child().is_some_and(executed));
    let pid = child().unwrap();
    (running, pid)
}

/// CVE-2024-21626 and CVE-2019-5736, as they look afterwards.
#[test]
fn a_folder_and_a_program_that_are_outside_are_found() {
    requires!(root, stake, stockade, busybox_image, nsenter);
    let bundle = walled();
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    let of = |pid: i32| -> BTreeSet<String> {
        let found = weaker(&report(&bundle, &asked, pid).1);
        found.into_iter().filter(|one| one.starts_with("inside: ") || one.starts_with("runtime: ")).collect()
    };
    assert_eq!(of(bundle.pid()), BTreeSet::new());
    let (running, pid) = brought_in(&bundle, "", "--wd=/usr /bin/sleep 1000");
    assert_eq!(of(pid), BTreeSet::from(["inside: working directory".to_owned()]));
    drop(running);
    let prelude = format!("exec 9<{};", programs::built("inside").display());
    let (running, pid) = brought_in(&bundle, &prelude, "/proc/self/fd/9 poll-fds 60");
    assert_eq!(of(pid), BTreeSet::from(["inside: program", "runtime: program"].map(str::to_owned)));
    drop(running);
}

#[test]
fn keys_crashes_and_dumps_are_told_though_nobody_asks_for_them() {
    requires!(root, stake, stockade, busybox_image);
    let closed = walled().detached();
    let open = Bundle::busybox().args(&["/bin/sleep", "1000"]).edit(|config| {
        config["linux"].as_object_mut().unwrap().remove("seccomp");
        config["linux"]["readonlyPaths"] = serde_json::json!([]);
    });
    let asked = open.config().clone();
    let open = open.detached();
    let told = with_verdict(&report(&open, &asked, open.pid()).1, "not-asked");
    let parts = ["keyring: calls", "crashes: core_pattern"];
    for part in parts {
        assert!(told.contains(part), "{part}: {told:?}");
    }
    let holds = with_verdict(&report(&closed, &closed.config().clone(), closed.pid()).1, "holds");
    for part in parts.into_iter().chain(["crashes: dumpable"]) {
        assert!(holds.contains(part), "{part}: {holds:?}");
    }
}

#[test]
fn the_hosts_settings_are_those_of_proc() {
    requires!(root, stake, stockade, busybox_image);
    let bundle = walled().detached();
    let (_, report) = report(&bundle, &bundle.config().clone(), bundle.pid());
    let (holds, open) = (with_verdict(&report, "holds"), with_verdict(&report, "not-asked"));
    for (key, least) in
        [("kernel.kptr_restrict", 1), ("kernel.randomize_va_space", 2), ("kernel.perf_event_paranoid", 2)]
    {
        let text = std::fs::read_to_string(format!("/proc/sys/{}", key.replace('.', "/"))).unwrap();
        let stands = text.trim().parse::<i64>().unwrap() >= least;
        let part = format!("host: {key}");
        assert_eq!((holds.contains(&part), open.contains(&part)), (stands, !stands), "{part} is {text}");
    }
}

/// runc by itself keeps its states below /run/runc, where nobody has to say what was asked for.
#[test]
fn a_container_of_runc_is_found_by_its_process_alone() {
    requires!(root, runc, stockade, busybox_image);
    let runc = programs::on_path("runc").unwrap();
    let bundle = walled().runtime(&runc).state_in(Path::new("/run/runc"));
    let bundle = bundle.detached();
    let pid = format!("pid:{}", bundle.pid());
    let report = audit(&["--format", "json", &pid]).json()[0].clone();
    let config = bundle.folder().join("config.json");
    assert_eq!(report["askedBy"].as_str(), config.to_str(), "{report:#}");
    let found = weaker(&report);
    let allowed = ["calls: upper bits", "filter: program", "mounts: /sys/fs/cgroup"];
    assert!(found.iter().all(|one| allowed.contains(&one.as_str())), "{found:?}");
}
