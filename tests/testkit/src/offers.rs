//! What a test needs, what a run offers, and the record of what was skipped.
//!
//! A *run* fixes what it offers in `STOCKADE_OFFERS` (comma separated names); `cargo xtask test` does so for the
//! machine that it stands on, a CI lane may do it by hand. Without the variable the machine is asked, test by test.
//! Offering is a promise: a test whose needs are offered probes them once more, by using them, and fails where the
//! promise does not hold. So a machine that quietly loses its cgroups turns the suite red and not green.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that fixes what the run offers.
pub const OFFERS: &str = "STOCKADE_OFFERS";

/// The variable that names the file which collects skipped tests: one `test<TAB>reason` a line.
pub const SKIPS: &str = "STOCKADE_SKIPS";

/// One thing that a test can need.
pub struct Need {
    /// The name, as it stands in `requires!` and in `STOCKADE_OFFERS`.
    pub name: &'static str,
    /// Whether the machine looks as if it had it: cheap, changes nothing.
    pub advertised: fn() -> bool,
    /// Whether it works when it is used.
    pub works: fn() -> bool,
}

/// Every need that a test can have.
pub const NEEDS: &[Need] = &[
    Need { name: "root", advertised: is_root, works: can_mount },
    Need { name: "cgroup_v1", advertised: || cgroup_mounted("cgroup", "pids"), works: cgroup_v1_works },
    Need { name: "systemd", advertised: crate::systemd::is_there, works: crate::systemd::is_there },
    // Control groups with controllers in whichever world.
    Need {
        name: "limits",
        advertised: || cgroup_mounted("cgroup", "pids") || cgroup_v2_controller("pids"),
        works: || if crate::cgroup::is_v1("pids") { cgroup_v1_works() } else { cgroup_v2_works() },
    },
    Need { name: "cgroup_v2", advertised: || cgroup_v2_controller("pids"), works: cgroup_v2_works },
    Need { name: "apparmor", advertised: apparmor_enabled, works: apparmor_works },
    Need { name: "user_namespaces", advertised: user_namespaces, works: || succeeds("unshare", &["-U", "true"]) },
    Need {
        name: "time_namespaces",
        advertised: || exists("/proc/self/ns/time"),
        works: || succeeds("unshare", &["-T", "true"]),
    },
    Need { name: "sys_resource", advertised: has_sys_resource, works: has_sys_resource },
    Need { name: "x86_64", advertised: || cfg!(target_arch = "x86_64"), works: || cfg!(target_arch = "x86_64") },
    Need { name: "tracepoints", advertised: tracepoints, works: tracepoints },
    // Those of every kernel.
    Need { name: "call_tracepoints", advertised: call_tracepoints, works: call_tracepoints },
    Need { name: "busybox_image", advertised: busybox_image, works: busybox_image },
    Need { name: "debian_image", advertised: debian_image, works: debian_image },
    Need { name: "nginx_image", advertised: nginx_image, works: nginx_image },
    Need { name: "servers_image", advertised: servers_image, works: servers_image },
    Need {
        name: "cni_plugins",
        advertised: || exists("/usr/lib/cni/bridge"),
        works: || exists("/usr/lib/cni/host-local"),
    },
    Need {
        name: "dbus_daemon",
        advertised: || crate::programs::on_path("dbus-daemon").is_some(),
        works: || succeeds("dbus-daemon", &["--version"]),
    },
    Need {
        name: "docker_init",
        advertised: || crate::programs::on_path("docker-init").is_some(),
        works: || succeeds("docker-init", &["--version"]),
    },
    Need {
        name: "docker_registry",
        advertised: || crate::programs::on_path("docker-registry").is_some(),
        works: || succeeds("docker-registry", &["--version"]) && crate::programs::on_path("setpriv").is_some(),
    },
    Need { name: "stake", advertised: has_stake, works: has_stake },
    Need { name: "block_device", advertised: has_block_device, works: has_block_device },
    Need { name: "busybox_packed", advertised: busybox_packed, works: busybox_packed },
    Need { name: "unpacker", advertised: has_unpacker, works: has_unpacker },
    Need { name: "stockade", advertised: has_stockade, works: has_stockade },
    Need { name: "runtime", advertised: has_runtime, works: has_runtime },
    program!("apparmor_parser", &["--version"]),
    program!("busybox", &["true"]),
    program!("capsh", &["--print"]),
    program!("containerd", &["--version"]),
    program!("crun", &["--version"]),
    program!("ctr", &["--version"]),
    program!("curl", &["--version"]),
    program!("dnsmasq", &["--version"]),
    program!("docker", &["--version"]),
    program!("dockerd", &["--version"]),
    Need {
        name: "fuse_overlayfs",
        advertised: || exists("/usr/bin/fuse-overlayfs") && exists("/dev/fuse"),
        works: || succeeds("fuse-overlayfs", &["--version"]),
    },
    program!("firewalld", &["--help"]),
    program!("htpasswd", &[]),
    program!("ip", &["-V"]),
    Need {
        name: "journald",
        advertised: || exists("/lib/systemd/systemd-journald"),
        works: || succeeds("journalctl", &["--version"]),
    },
    program!("jq", &["--version"]),
    program!("lsns", &["--version"]),
    program!("newuidmap", &[]),
    program!("nft", &["--version"]),
    program!("nginx", &["-v"]),
    program!("nsenter", &["--version"]),
    program!("openssl", &["version"]),
    program!("pasta", &["--version"]),
    program!("podman", &["--version"]),
    program!("runc", &["--version"]),
    program!("script", &["--version"]),
    program!("setpriv", &["--version"]),
    program!("setsid", &["--version"]),
    program!("skopeo", &["--version"]),
    program!("socat", &["-V"]),
    program!("strace", &["-V"]),
    program!("tcpdump", &["--version"]),
    program!("tmux", &["-V"]),
    program!("umoci", &["--version"]),
    program!("unshare", &["--version"]),
    program!("youki", &["--version"]),
    program!("zstd", &["--version"]),
];

/// A need for a program of the host, by its name.
macro_rules! program {
    ($name:literal, $arguments:expr) => {
        Need {
            name: $name,
            advertised: || crate::programs::on_path($name).is_some(),
            works: || succeeds($name, $arguments),
        }
    };
}
use program;

/// Whether the test that `site` (a path inside it) belongs to may run; records a skip when it may not.
///
/// # Panics
/// If a need is unknown, or is offered and does not work.
pub fn met(needs: &[&str], site: &str) -> bool {
    let test = site.trim_end_matches("::requirement_site");
    let offers = std::env::var(OFFERS).ok();
    for name in needs {
        let need = NEEDS.iter().find(|need| need.name == *name);
        let need = need.unwrap_or_else(|| panic!("`{name}` is not a need that offers.rs knows"));
        let offered = match &offers {
            Some(list) => list.split(',').any(|offer| offer.trim() == *name),
            None => (need.advertised)(),
        };
        if !offered {
            skip(test, &format!("needs {name}, which this run does not offer"));
            return false;
        }
        assert!((need.works)(), "this run offers {name}, and it does not work here");
    }
    true
}

/// The names of all that this machine seems to have, with the programs under test and the images in these folders.
#[must_use]
pub fn advertised(programs: &Path, images: &Path) -> Vec<&'static str> {
    let here = NEEDS.iter().filter(|need| match need.name {
        "runtime" => is_runtime(&crate::programs::runtime_in(programs)),
        "stake" => crate::programs::runtime_is_ours() && is_runtime(&crate::programs::runtime_in(programs)),
        "busybox_packed" => {
            ["oci/index.json", "oci.tar", "docker.tar"].iter().all(|name| images.join("busybox").join(name).is_file())
        }
        "unpacker" => programs.join("stockade-unpack").is_file(),
        "stockade" => ["stockade", "stockade-dns", "stockade-monitor", "stockade-unpack", "stake"]
            .iter()
            .all(|name| programs.join(name).is_file()),
        "busybox_image" => images.join("busybox/rootfs").is_dir(),
        "debian_image" => images.join("debian/rootfs").is_dir(),
        "nginx_image" => images.join("nginx/rootfs/usr/sbin/nginx").is_file(),
        "servers_image" => images.join("servers/rootfs/usr/sbin/nginx").is_file(),
        _ => (need.advertised)(),
    });
    here.map(|need| need.name).collect()
}

/// Records that `test` did not run, and why.
///
/// # Panics
/// If the record cannot be written: a skip that nobody counts must not look like a pass.
pub fn skip(test: &str, reason: &str) {
    eprintln!("skipped: {test}: {reason}");
    let Some(path) = std::env::var_os(SKIPS) else { return };
    let mut file = OpenOptions::new().append(true).create(true).open(&path).expect("the skip file opens");
    file.write_all(format!("{test}\t{reason}\n").as_bytes()).expect("the skip file takes a line");
}

fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A program without a harmless invocation only has to start.
    command.status().is_ok_and(|status| arguments.is_empty() || status.success())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Root that may not mount cannot run a container.
fn can_mount() -> bool {
    is_root() && succeeds("unshare", &["-m", "mount", "-t", "tmpfs", "none", "/mnt"])
}

/// A disk that a limit can be set for.
fn has_block_device() -> bool {
    let disks = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    disks.into_iter().any(|disk| Path::new("/dev").join(disk.file_name()).exists())
}

fn has_sys_resource() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_RESOURCE))
}

fn user_namespaces() -> bool {
    read("/proc/sys/user/max_user_namespaces").trim() != "0"
        && read("/proc/sys/kernel/unprivileged_userns_clone").trim() != "0"
}

fn apparmor_enabled() -> bool {
    read("/sys/module/apparmor/parameters/enabled").trim() == "Y"
}

fn apparmor_works() -> bool {
    apparmor_enabled()
        && exists("/sys/kernel/security/apparmor/profiles")
        && succeeds("apparmor_parser", &["--version"])
}

fn busybox_image() -> bool {
    crate::programs::image("busybox").is_dir()
}

fn servers_image() -> bool {
    crate::programs::image("servers").join("usr/sbin/nginx").is_file()
}

fn nginx_image() -> bool {
    crate::programs::image("nginx").join("usr/sbin/nginx").is_file()
}

fn tracepoints() -> bool {
    cfg!(target_arch = "x86_64") && exists("/sys/kernel/tracing/events/capability/cap_capable/id")
}

fn call_tracepoints() -> bool {
    cfg!(target_arch = "x86_64") && exists("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id")
}

fn debian_image() -> bool {
    crate::programs::image("debian").is_dir()
}

/// The image in the forms that skopeo and umoci write.
fn busybox_packed() -> bool {
    ["oci/index.json", "oci.tar", "docker.tar"]
        .iter()
        .all(|name| crate::programs::images().join("busybox").join(name).is_file())
}

fn has_runtime() -> bool {
    is_runtime(&crate::programs::runtime())
}

/// The program that unpacks layers.
fn has_unpacker() -> bool {
    crate::programs::is_built("stockade-unpack")
}

/// The engine and what it needs beside it.
fn has_stockade() -> bool {
    ["stockade", "stockade-dns", "stockade-monitor", "stockade-unpack", "stake"]
        .iter()
        .all(|name| crate::programs::is_built(name))
}

fn has_stake() -> bool {
    crate::programs::runtime_is_ours() && has_runtime()
}

/// Whether `program` answers `--version` as OCI runtimes do, with the version of the specification.
fn is_runtime(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success() && String::from_utf8_lossy(&output.stdout).contains("spec:"))
}

/// Whether a hierarchy of type `kind` (`cgroup` or `cgroup2`) with `controller` is mounted.
fn cgroup_mounted(kind: &str, controller: &str) -> bool {
    crate::cgroup::hierarchies().iter().any(|one| one.kind == kind && one.controllers.iter().any(|c| c == controller))
}

fn cgroup_v2_controller(controller: &str) -> bool {
    crate::cgroup::hierarchies().iter().filter(|one| one.kind == "cgroup2").any(|one| {
        let path = one.mount.join("cgroup.controllers");
        std::fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|word| word == controller))
    })
}

fn cgroup_v1_works() -> bool {
    let hierarchies = crate::cgroup::hierarchies();
    hierarchies.iter().filter(|one| one.kind == "cgroup").any(|one| can_make_group(&one.mount))
}

fn cgroup_v2_works() -> bool {
    let hierarchies = crate::cgroup::hierarchies();
    hierarchies.iter().filter(|one| one.kind == "cgroup2").any(|one| can_make_group(&one.mount))
}

/// Two threads may ask at once.
fn can_make_group(mount: &Path) -> bool {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = mount.join(format!("stockade-test-{}-probe-{number}", std::process::id()));
    std::fs::create_dir(&path).is_ok() && std::fs::remove_dir(&path).is_ok()
}
