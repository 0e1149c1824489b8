//! Which wall, and which way: a table.

use stockade_capabilities::{CapSet, Capability};
use stockade_namespaces::{IdMap, IdMaps, IdRange};
use stockade_policy::defaults;
use stockade_seccomp::architecture::Arch;
use stockade_spec::{Mount, Rlimit, Spec};

use super::*;

/// A container of defaults with users of its own: 0 to 65535 are 100000 and on.
fn walls() -> Walls {
    let ranges = vec![IdRange { inside: 0, outside: 100_000, count: 65536 }];
    let map = IdMap::new(ranges).unwrap();
    let mut walls = Walls::of(&Spec::default(), None, IdMaps { users: map.clone(), groups: map }, true).unwrap();
    walls.bounding = defaults::CAPABILITIES.iter().map(|entry| entry.value).collect();
    walls.filter =
        Some(crate::explain::filter(&stockade_seccomp::Profile::builtin().unwrap(), walls.bounding).unwrap());
    walls.masked = vec!["/proc/kcore".into(), "/sys/firmware".into()];
    walls.readonly = vec!["/proc/sys".into(), "/proc/bus".into()];
    walls.own_users = true;
    walls.pids = Some(20);
    walls
}

/// A call that failed.
fn attempt(name: &str, arguments: &[u64], errno: i32) -> Attempt {
    let call = Syscall::from_name(name).unwrap();
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    Attempt {
        audit: Arch::X86_64.audit(),
        number: call.number(Arch::X86_64).unwrap(),
        call: Some(call),
        arguments: all,
        errno,
        path: None,
        file: File::default(),
        checked: Some(Vec::new()),
        is_root: Some(true),
        numbers: None,
        met_pids_limit: Some(false),
    }
}

fn with_path(name: &str, path: &str, errno: i32) -> Attempt {
    Attempt { path: Some(path.into()), ..attempt(name, &[], errno) }
}

fn asking(attempt: Attempt, capability: Capability, of_host: bool) -> Attempt {
    Attempt { checked: Some(vec![Checked { capability, of_host }]), ..attempt }
}

/// The wall and the first way.
fn said(walls: &Walls, attempt: &Attempt) -> Option<(Wall, String)> {
    judge(walls, attempt)
        .map(|denial| (denial.wall, denial.ways.first().map(|way| way.flag.clone()).unwrap_or_default()))
}

#[test]
#[allow(clippy::too_many_lines)]
fn the_wall_and_the_least_flag() {
    use Wall::{Capability as Cap, Device, Limit, MaskedPath, Network, Pids, ReadOnlyPath, Seccomp, UserNamespace};
    let walls = walls();
    let device = |path: &str| File { device: Some(super::Device::OfHost(path.into())), ..File::default() };
    let unnamed = File { device: Some(super::Device::Unnamed("c 60:1".to_owned())), ..File::default() };
    let of_nobody = File { owner: Some(0), ..File::default() };
    let limit = |name, errno, capability| asking(attempt(name, &[0, 0, 0], errno), capability, true);
    for (attempt, wall, way) in [
        (attempt("mount", &[], EPERM), Seccomp, "--cap-add SYS_ADMIN"),
        (attempt("settimeofday", &[], EPERM), Seccomp, "--cap-add SYS_TIME --userns=host"),
        (attempt("syslog", &[3], EPERM), Seccomp, "--cap-add SYSLOG --userns=host"),
        (attempt("io_uring_setup", &[], EPERM), Seccomp, "--security-opt seccomp=default+io_uring_setup"),
        (attempt("keyctl", &[], EPERM), Seccomp, "--security-opt seccomp=default+keyctl"),
        (attempt("unshare", &[0x1000_0000], EPERM), Seccomp, "--security-opt seccomp=default+unshare"),
        (attempt("unshare", &[0x2_0000], EPERM), Seccomp, "--cap-add SYS_ADMIN"),
        (attempt("socket", &[40, 1, 0], EPERM), Seccomp, "--security-opt seccomp=default+socket"),
        (
            Attempt { numbers: Some([0x1000_0000, 0]), ..attempt("clone3", &[1, 88], ENOSYS) },
            Seccomp,
            "--security-opt seccomp=default+clone3",
        ),
        (asking(attempt("socket", &[2, 3, 1], EPERM), Capability::NET_ADMIN, false), Cap, "--cap-add NET_ADMIN"),
        (asking(with_path("mknod", "/x", EPERM), Capability::MKNOD, true), UserNamespace, "--userns=host"),
        (
            asking(with_path("openat", "/x", EPERM), Capability::SYS_RAWIO, true),
            UserNamespace,
            "--cap-add SYS_RAWIO --userns=host",
        ),
        (
            with_path("openat", "/proc/sys/net/ipv4/ip_forward", EROFS),
            ReadOnlyPath,
            "--sysctl net.ipv4.ip_forward=VALUE",
        ),
        (
            with_path("openat", "/proc/sys/kernel/panic", EROFS),
            ReadOnlyPath,
            "--security-opt systempaths=unconfined --userns=host",
        ),
        (with_path("openat", "/sys/firmware/efi", ENOENT), MaskedPath, "--security-opt systempaths=unconfined"),
        (with_path("openat", "/proc/kcore", 0), MaskedPath, "--security-opt systempaths=unconfined"),
        (
            Attempt { file: device("/dev/fuse"), ..with_path("openat", "/dev/fuse", ENOENT) },
            Device,
            "--device /dev/fuse",
        ),
        (Attempt { file: device("/dev/fuse"), ..with_path("openat", "/x", EPERM) }, Device, "--device /dev/fuse"),
        (Attempt { file: unnamed, ..with_path("openat", "/x", EPERM) }, Device, "--device-cgroup-rule 'c 60:1 rwm'"),
        (attempt("fchownat", &[0, 0, 70_000, 0], EINVAL), UserNamespace, "--userns=host"),
        (Attempt { file: of_nobody, ..with_path("openat", "/host/secret", EACCES) }, UserNamespace, "--userns=host"),
        (Attempt { met_pids_limit: Some(true), ..attempt("clone", &[], EAGAIN) }, Pids, "--pids-limit 40"),
        (attempt("connect", &[], ENETUNREACH), Network, "--network bridge"),
        (
            Attempt {
                numbers: Some([5, u64::MAX]),
                ..asking(attempt("prlimit64", &[0, 7], EPERM), Capability::SYS_RESOURCE, true)
            },
            Limit,
            "--ulimit nofile=5:-1",
        ),
        (
            asking(attempt("setpriority", &[0, 0, (-5i32 as u32).into()], EACCES), Capability::SYS_NICE, true),
            UserNamespace,
            "--cap-add SYS_NICE --userns=host",
        ),
        (limit("sched_setscheduler", EPERM, Capability::SYS_NICE), UserNamespace, "--cap-add SYS_NICE --userns=host"),
        (limit("mlock", ENOMEM, Capability::IPC_LOCK), Limit, "--cap-add IPC_LOCK --userns=host"),
    ] {
        assert_eq!(said(&walls, &attempt), Some((wall, way.to_owned())), "{attempt:?}");
    }
}

#[test]
fn what_no_wall_denied_is_not_told() {
    let walls = walls();
    for attempt in [
        // Programs do without it.
        attempt("clone3", &[1, 88], ENOSYS),
        Attempt { numbers: Some([0x11, 0]), ..attempt("clone3", &[1, 88], ENOSYS) },
        // Permissions of files, for who is no root, or who gave capabilities up.
        Attempt {
            is_root: Some(false),
            ..asking(with_path("openat", "/etc/shadow", EACCES), Capability::DAC_OVERRIDE, false)
        },
        asking(with_path("openat", "/etc/shadow", EACCES), Capability::DAC_OVERRIDE, false),
        with_path("openat", "/not/there", ENOENT),
        with_path("openat", "/dev/nothing", ENOENT),
        with_path("openat", "/etc/passwd", 0),
        with_path("execve", "/bin/sh", 0),
        attempt("clone", &[], EAGAIN),
        attempt("openat", &[], EMFILE),
        attempt("fchownat", &[0, 0, 1000, u64::MAX], EINVAL),
        attempt("kill", &[], EPERM),
        attempt("prlimit64", &[0, 7], EPERM),
        // A filter that would deny it with another error has not.
        attempt("mount", &[], EACCES),
    ] {
        assert_eq!(said(&walls, &attempt), None, "{attempt:?}");
    }
    let connected = Walls { networkless: false, ..walls };
    assert_eq!(said(&connected, &attempt("connect", &[], ENETUNREACH)), None);
}

#[test]
fn a_new_proc_is_denied_by_what_the_old_one_hides() {
    let bounding = CapSet::from(Capability::SYS_ADMIN);
    let filter = crate::explain::filter(&stockade_seccomp::Profile::builtin().unwrap(), bounding).unwrap();
    let walls = Walls { filter: Some(filter), bounding, ..walls() };
    let named = |name: &[u8; 8]| Some([u64::from_ne_bytes(*name), 0]);
    let mount = |numbers| Attempt { numbers, checked: Some(Vec::new()), ..attempt("mount", &[], EPERM) };
    let proc = judge(&walls, &mount(named(b"proc\0abc"))).unwrap();
    assert_eq!((proc.wall, proc.certainty), (Wall::MaskedPath, Certainty::Known));
    assert_eq!(proc.ways[0].flag, "--security-opt systempaths=unconfined");
    assert_eq!(judge(&walls, &mount(None)).unwrap().certainty, Certainty::Inferred);
    assert!(judge(&walls, &mount(named(b"procfs\0\0"))).is_none());
    assert!(judge(&walls, &Attempt { arguments: [0, 0, 0, 0x20, 0, 0], ..mount(None) }).is_none());
    assert!(judge(&walls, &Attempt { checked: None, ..mount(None) }).is_none());
    let open = Walls { masked: Vec::new(), readonly: Vec::new(), ..walls };
    assert!(judge(&open, &mount(named(b"proc\0abc"))).is_none());
}

#[test]
fn who_is_not_root_is_denied_by_permissions_though_nobody_knows_who_it_was() {
    // DAC_READ_SEARCH is asked for first, and no container of defaults has it; root would have been let in by the other.
    let both = [Capability::DAC_READ_SEARCH, Capability::DAC_OVERRIDE]
        .map(|capability| Checked { capability, of_host: false });
    let shadow = Attempt { checked: Some(both.to_vec()), is_root: None, ..with_path("openat", "/etc/shadow", EACCES) };
    assert_eq!(said(&walls(), &shadow), None);
    let raw = Attempt { is_root: None, ..asking(attempt("socket", &[2, 3, 1], EPERM), Capability::NET_ADMIN, false) };
    assert_eq!(judge(&walls(), &raw).unwrap().certainty, Certainty::Inferred);
    let unknown = Attempt { met_pids_limit: None, ..attempt("clone", &[], EAGAIN) };
    assert_eq!(judge(&walls(), &unknown).unwrap().certainty, Certainty::Inferred);
    let setting =
        Attempt { arguments: [0, 0, 1, 0, 0, 0], ..with_path("openat", "/proc/sys/net/ipv4/ip_forward", EACCES) };
    assert_eq!(judge(&walls(), &setting).unwrap().wall, Wall::ReadOnlyPath);
    assert!(judge(&walls(), &Attempt { arguments: [0; 6], ..setting }).is_none());
}

#[test]
fn requests_that_are_answered_by_a_message_are_known_by_what_they_asked_for() {
    let asked = |capability| vec![Checked { capability, of_host: false }];
    assert_eq!(request(&walls(), &asked(Capability::NET_ADMIN)).unwrap().ways[0].flag, "--cap-add NET_ADMIN");
    assert!(request(&walls(), &asked(Capability::SYS_ADMIN)).is_none());
    let bounding = CapSet::from(Capability::NET_ADMIN);
    assert!(request(&Walls { bounding, ..walls() }, &asked(Capability::NET_ADMIN)).is_none());
}

#[test]
fn without_users_of_its_own_a_capability_is_enough() {
    let walls = Walls { own_users: false, bounding: CapSet::EMPTY, ..walls() };
    let filter = crate::explain::filter(&stockade_seccomp::Profile::builtin().unwrap(), CapSet::EMPTY).unwrap();
    let walls = Walls { filter: Some(filter), ..walls };
    for (attempt, wall, way) in [
        (
            asking(attempt("socket", &[2, 3, 1], EPERM), Capability::NET_RAW, true),
            Wall::Capability,
            "--cap-add NET_RAW",
        ),
        (attempt("chroot", &[], EPERM), Wall::Seccomp, "--cap-add SYS_CHROOT"),
        (attempt("settimeofday", &[], EPERM), Wall::Seccomp, "--cap-add SYS_TIME"),
        (
            with_path("openat", "/proc/sys/kernel/panic", EROFS),
            Wall::ReadOnlyPath,
            "--security-opt systempaths=unconfined",
        ),
    ] {
        assert_eq!(said(&walls, &attempt), Some((wall, way.to_owned())), "{attempt:?}");
    }
    // Of several that would do the one that gives least.
    let both = [Capability::BPF, Capability::SYS_ADMIN].map(|capability| Checked { capability, of_host: true });
    let unfiltered = Walls { filter: None, ..walls };
    let bpf = Attempt { checked: Some(both.to_vec()), ..attempt("bpf", &[], EPERM) };
    assert_eq!(said(&unfiltered, &bpf), Some((Wall::Capability, "--cap-add BPF".to_owned())));
    // A kernel that does not tell.
    let untold = Attempt { checked: None, ..attempt("sethostname", &[], EPERM) };
    let denial = judge(&unfiltered, &untold).unwrap();
    assert_eq!((denial.wall, denial.certainty), (Wall::Capability, Certainty::Inferred));
}

#[test]
fn read_only_file_systems_are_told_apart() {
    let mount = |destination: &str, source: Option<&str>, options: &[&str]| Mount {
        destination: destination.into(),
        source: source.map(Into::into),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    let spec = Spec {
        mounts: vec![
            mount("/data", Some("/srv/data"), &["bind", "ro"]),
            mount("/data/own", None, &["rw"]),
            mount("/sys", None, &["ro"]),
            mount("/sys/fs/cgroup", None, &["ro"]),
        ],
        root: Some(stockade_spec::Root { readonly: true, ..Default::default() }),
        ..Spec::default()
    };
    let map = || IdMap::new(vec![IdRange { inside: 0, outside: 0, count: u32::MAX }]).unwrap();
    let walls = Walls::of(&spec, None, IdMaps { users: map(), groups: map() }, false).unwrap();
    for (path, wall, way) in [
        ("/data/x", Wall::ReadOnlyMount, "-v /srv/data:/data"),
        ("/sys/kernel/x", Wall::ReadOnlyMount, "--privileged"),
        ("/sys/fs/cgroup/x", Wall::ReadOnlyMount, "--security-opt writable-cgroups"),
        ("/var/log/x", Wall::ReadOnlyRoot, "--tmpfs /var/log"),
        ("/x", Wall::ReadOnlyRoot, "--read-only=false"),
    ] {
        assert_eq!(said(&walls, &with_path("openat", path, EROFS)), Some((wall, way.to_owned())), "{path}");
    }
    assert_eq!(said(&walls, &with_path("openat", "/data/own/x", EROFS)), None);
    let unknown = judge(&walls, &attempt("openat", &[], EROFS)).unwrap();
    assert_eq!((unknown.wall, unknown.certainty), (Wall::ReadOnlyRoot, Certainty::Inferred));
    let unknown = judge(&Walls { root_read_only: false, ..walls }, &attempt("openat", &[], EROFS)).unwrap();
    assert_eq!((unknown.wall, unknown.certainty), (Wall::ReadOnlyPath, Certainty::Inferred));
}

#[test]
fn limits_that_were_asked_for_are_named() {
    let rlimit = |kind: &str| Rlimit { kind: kind.to_owned(), soft: 10, hard: 10 };
    let rlimits = ["RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC"].map(rlimit).to_vec();
    let walls = Walls { rlimits, ..walls() };
    for (name, errno, way) in [
        ("openat", EMFILE, "--ulimit nofile=20:20"),
        ("ftruncate", EFBIG, "--ulimit fsize=-1:-1"),
        ("clone", EAGAIN, "--ulimit nproc=-1:-1"),
    ] {
        assert_eq!(said(&walls, &attempt(name, &[], errno)), Some((Wall::Limit, way.to_owned())), "{name}");
    }
    let memory = memory(&Walls { memory: Some(1 << 20), ..walls.clone() }).unwrap();
    assert_eq!(memory.ways[0].flag, "--memory 2097152");
    assert!(super::memory(&walls).is_none());
}

#[test]
fn programs_that_would_raise_rights_are_told_where_they_may_not() {
    let walls = Walls { no_new_privileges: true, ..walls() };
    let file = File { raises: true, ..File::default() };
    let su = Attempt { file, ..with_path("execve", "/bin/su", 0) };
    let way = "--security-opt no-new-privileges=false".to_owned();
    assert_eq!(said(&walls, &su), Some((Wall::NoNewPrivileges, way)));
    assert_eq!(said(&Walls { no_new_privileges: false, ..walls }, &su), None);
}

#[test]
fn a_changed_profile_is_changed_further_and_somebody_elses_is_named() {
    let mut walls = walls();
    walls.profile = Some("default+mount-ptrace".to_owned());
    let own = stockade_seccomp::Profile::builtin().unwrap().changed(&"+mount-ptrace".parse().unwrap()).unwrap();
    walls.filter = Some(crate::explain::filter(&own, walls.bounding).unwrap());
    for (call, way) in [
        ("keyctl", "--security-opt seccomp=default+mount-ptrace+keyctl"),
        ("ptrace", "--security-opt seccomp=default+mount+ptrace --cap-add SYS_PTRACE"),
    ] {
        assert_eq!(said(&walls, &attempt(call, &[], EPERM)), Some((Wall::Seccomp, way.to_owned())), "{call}");
    }
    walls.profile = Some("/etc/p.json".to_owned());
    let denial = judge(&walls, &attempt("keyctl", &[], EPERM)).unwrap();
    assert_eq!(denial.ways[0].flag, "--security-opt seccomp=unconfined");
    assert!(denial.because[0].contains("/etc/p.json"), "{denial}");
}

#[test]
fn a_denial_is_said_in_words() {
    let denial = judge(&walls(), &with_path("openat", "/proc/sys/net/ipv4/ip_forward", EROFS)).unwrap();
    let text = denial.to_string();
    let first = "openat(\"/proc/sys/net/ipv4/ip_forward\") failed with EROFS (Read-only file system): a read-only file of the kernel's \
                 [read-only-path]";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("--sysctl net.ipv4.ip_forward=VALUE would allow it"), "{text}");
    let unknown = Attempt { call: None, number: 999, ..attempt("socket", &[], EPERM) };
    assert_eq!(super::text::tried(&unknown), "system call 999()");
    assert_eq!(super::text::tried(&attempt("socket", &[40, 1, u64::MAX], EPERM)), "socket(40, 1, -1)");
}
