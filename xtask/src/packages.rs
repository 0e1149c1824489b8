//! The Debian packages that the tests use, and the installation of those that are missing.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Package by package; a test says what it needs of them by `requires!`.
const PACKAGES: &[&str] = &[
    "apache2-utils",
    "apparmor",
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "dbus-daemon",
    "debootstrap",
    "docker-registry",
    "dnsmasq-base",
    "docker.io",
    "firewalld",
    "fuse-overlayfs",
    "iperf3",
    "iproute2",
    "jq",
    "libcap2-bin",
    "nftables",
    "nginx-light",
    "openssl",
    "podman",
    "procps",
    "runc",
    "skopeo",
    "socat",
    "strace",
    "systemd",
    "tcpdump",
    "tmux",
    "passt",
    "uidmap",
    "umoci",
    "util-linux",
    "valgrind",
    "wrk",
    "zstd",
];

/// While this file exists, packages do not start their services (policy-rc.d, Debian policy 9.3.3.1).
const NO_SERVICES: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing, as root on Debian; otherwise, or when that fails, names what is missing and goes on: the
/// tests that need it are skipped and counted.
pub(crate) fn install() {
    let missing: Vec<&str> = PACKAGES.iter().copied().filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return;
    }
    eprintln!("xtask: not installed: {}", missing.join(" "));
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !root || !Path::new("/usr/bin/apt-get").exists() {
        eprintln!("xtask: installing them takes root and apt-get; the tests that need them are skipped");
        return;
    }
    let guard = forbid_services();
    if !apt(&["update"], &[]) || !apt(&["install", "--no-install-recommends"], &missing) {
        // One unknown package must not keep the others away.
        for name in &missing {
            apt(&["install", "--no-install-recommends"], &[name]);
        }
    }
    if guard && let Err(error) = std::fs::remove_file(NO_SERVICES) {
        eprintln!("xtask: cannot remove {NO_SERVICES}: {error}");
    }
}

fn installed(package: &str) -> bool {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.ends_with(b" installed"))
}

fn apt(verb: &[&str], packages: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-y"]).args(verb).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    let status = command.stdin(Stdio::null()).status();
    let fine = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    if !fine {
        eprintln!("xtask: apt-get {} {} failed ({status:?})", verb.join(" "), packages.join(" "));
    }
    fine
}

/// Whether the file was made here, and so must be removed again.
fn forbid_services() -> bool {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(NO_SERVICES);
    file.and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n")).is_ok()
}
