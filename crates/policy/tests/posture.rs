//! From options to postures: Docker's defaults, what each option changes, and what excludes what.
#![allow(clippy::unwrap_used)] // An integration test is a test throughout; clippy excuses only test functions.

use std::path::Path;

use stockade_capabilities::{CapSet, Capability};
use stockade_policy::apparmor::{Confinement, Mode as ApparmorMode, Support};
use stockade_policy::devices::DeviceNode;
use stockade_policy::namespaces::{CgroupMode, IpcMode, Mode, NetworkMode, PidMode, UserMode, UtsMode};
use stockade_policy::resources::ResourceOptions;
use stockade_policy::{
    FillError, Machine, Notice, Options, PolicyError, Posture, Resolved, Seccomp, SecurityOptions, defaults,
};
use stockade_spec::{Device, DeviceType, IdMapping, NamespaceType, Root, Spec};

fn machine() -> Machine {
    let last_cap = Capability::CHECKPOINT_RESTORE;
    let profile = Confinement { profile: "stockade-default".to_owned(), mode: ApparmorMode::Enforce };
    Machine {
        last_cap,
        capabilities: CapSet::up_to(last_cap),
        processors: 2,
        cgroup_v2: true,
        time_namespace: true,
        apparmor: Support { enabled: true, loaded: Some(vec![profile]), ..Support::default() },
        own_groups: Vec::new(),
        delegated: None,
        host_devices: vec![Device {
            path: "/dev/kvm".into(),
            kind: DeviceType::Character,
            major: Some(10),
            minor: Some(232),
            file_mode: None,
            uid: None,
            gid: None,
        }],
        host_shm: "/dev/shm".into(),
    }
}

fn lookup(path: &Path) -> std::io::Result<DeviceNode> {
    match path.to_str() {
        Some("/dev/fuse") => Ok(DeviceNode { kind: DeviceType::Character, major: 10, minor: 229, mode: 0o20666 }),
        Some("/dev/sda") => Ok(DeviceNode { kind: DeviceType::Block, major: 8, minor: 0, mode: 0o60660 }),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    }
}

fn plan(options: &Options) -> Result<Posture, PolicyError> {
    Posture::plan(options, &machine(), &lookup)
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn security(options: &[&str]) -> Options {
    Options { security: SecurityOptions::parse(options).unwrap(), ..Options::default() }
}

#[test]
fn the_default_is_dockers() {
    let posture = plan(&Options::default()).unwrap();
    let caps = "CAP_CHOWN,CAP_DAC_OVERRIDE,CAP_FOWNER,CAP_FSETID,CAP_KILL,CAP_SETGID,CAP_SETUID,CAP_SETPCAP,\
                CAP_NET_BIND_SERVICE,CAP_NET_RAW,CAP_SYS_CHROOT,CAP_MKNOD,CAP_AUDIT_WRITE,CAP_SETFCAP";
    assert_eq!(posture.bounding.to_string(), caps);
    assert_eq!(posture.capabilities.effective, posture.capabilities.bounding);
    assert!(posture.capabilities.inheritable.is_empty() && posture.capabilities.ambient.is_empty());
    assert_eq!(posture.seccomp, Seccomp::Builtin);
    assert_eq!(posture.apparmor_profile(), Some("stockade-default"));
    assert_eq!(posture.masked_paths.len(), 12 + 2);
    assert!(posture.masked_paths.iter().any(|path| path.ends_with("cpu1/thermal_throttle")));
    assert_eq!(posture.readonly_paths.len(), 5);
    let kinds: Vec<_> = posture.namespaces.iter().map(|namespace| namespace.kind).collect();
    use NamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Time, Uts};
    assert_eq!(kinds, [Mount, Pid, Ipc, Network, Uts, Cgroup, Time]);
    assert_eq!(posture.sysctls["net.ipv4.ping_group_range"], "0 2147483647");
    assert_eq!(posture.sysctls["net.ipv4.ip_unprivileged_port_start"], "0");
    assert!(!posture.resources.devices[0].allow && posture.resources.devices.len() == 8);
    assert!(posture.rlimits.is_empty() && posture.notices.is_empty() && posture.devices.is_empty());
    let shm = posture.mounts.iter().find(|mount| mount.destination == Path::new("/dev/shm")).unwrap();
    assert!(shm.options.contains(&"size=67108864".to_owned()));
    for path in ["/sys", "/sys/fs/cgroup"] {
        let mount = posture.mounts.iter().find(|mount| mount.destination == Path::new(path)).unwrap();
        assert!(mount.options.contains(&"ro".to_owned()), "{path}");
    }
}

#[test]
fn without_root_nothing_is_asked_for_that_only_root_can_give() {
    let range = |container_id, size| IdMapping { container_id, host_id: container_id, size };
    let with = |groups: &[IdMapping], options: &Options| {
        Posture::plan(options, &Machine { own_groups: groups.to_vec(), ..machine() }, &lookup)
    };
    let ranges = [range(0, 1), range(1, 65536)];
    let posture = with(&ranges, &Options::default()).unwrap();
    assert!(posture.resources.devices.is_empty());
    assert_eq!(posture.sysctls["net.ipv4.ping_group_range"], "0 65536");
    assert!(
        posture.notices.iter().any(|notice| matches!(notice, Notice::Degraded(text) if text.contains("control group")))
    );
    let mount = |posture: &Posture, path: &str| {
        posture.mounts.iter().find(|mount| mount.destination == Path::new(path)).unwrap().clone()
    };
    let has_group =
        |posture: &Posture| mount(posture, "/dev/pts").options.iter().any(|option| option.starts_with("gid="));
    assert!(has_group(&posture));
    // With a group of the user's own, what its controllers can keep may be asked for.
    let delegated = Machine { own_groups: ranges.to_vec(), delegated: Some(vec!["pids".to_owned()]), ..machine() };
    let mut options = Options::default();
    options.resources.pids_limit = Some(5);
    assert!(with(&ranges, &options).is_err());
    assert!(Posture::plan(&options, &delegated, &lookup).is_ok());
    options.resources.memory = Some(64 << 20);
    assert!(Posture::plan(&options, &delegated, &lookup).is_err());
    let alone = with(&[range(0, 1)], &Options::default()).unwrap();
    assert_eq!(alone.sysctls["net.ipv4.ping_group_range"], "0 0");
    assert!(!has_group(&alone));
    let host = with(&ranges, &Options { network: NetworkMode::Host, privileged: true, ..Options::default() }).unwrap();
    let sys = mount(&host, "/sys");
    assert_eq!(sys.kind.as_deref(), Some("bind"));
    assert!(sys.options.contains(&"rro".to_owned()), "{sys:?}");
    let refused = |change: fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        with(&ranges, &options).unwrap_err().to_string()
    };
    for said in [
        refused(|options| options.resources.memory = Some(64 << 20)),
        refused(|options| options.resources.cpu_shares = Some(7)),
        refused(|options| options.resources.pids_limit = Some(7)),
        refused(|options| options.resources.blkio_weight = Some(20)),
        refused(|options| options.security.writable_cgroups = true),
        refused(|options| options.devices = vec!["/dev/fuse:/dev/fuse:r".parse().unwrap()]),
    ] {
        assert!(said.contains("control group") && said.contains("as root"), "{said}");
    }
    assert!(refused(|options| options.devices = vec!["/dev/fuse:/dev/x".parse().unwrap()]).contains("its own path"));
}

#[test]
fn every_default_has_a_reason() {
    let reasons = (defaults::CAPABILITIES.iter().map(|e| e.reason))
        .chain(defaults::MASKED_PATHS.iter().map(|e| e.reason))
        .chain(defaults::READONLY_PATHS.iter().map(|e| e.reason))
        .chain(defaults::DEVICE_RULES.iter().map(|e| e.reason))
        .chain(defaults::MOUNTS.iter().map(|e| e.reason));
    assert!(reasons.into_iter().all(|reason| !reason.is_empty()));
}

#[test]
fn capability_flags() {
    let bounding = |add: &[&str], drop: &[&str]| {
        let options = Options { cap_add: names(add), cap_drop: names(drop), ..Options::default() };
        plan(&options).map(|posture| posture.bounding)
    };
    let all = machine().capabilities;
    let chown = CapSet::from(Capability::CHOWN);
    assert_eq!(bounding(&["chown"], &["ALL"]).unwrap(), chown);
    assert_eq!(bounding(&["all"], &["mknod"]).unwrap(), all - Capability::MKNOD.into());
    assert_eq!(bounding(&[], &["ALL"]).unwrap(), CapSet::EMPTY);
    assert_eq!(bounding(&["CAP_SYS_ADMIN"], &["Chown"]).unwrap().len(), 14);
    for wrong in ["", "CHWON", "chown,kill", "0"] {
        assert!(matches!(bounding(&[wrong], &[]), Err(PolicyError::Capability(_))), "{wrong}");
        assert!(matches!(bounding(&[], &[wrong]), Err(PolicyError::Capability(_))), "{wrong}");
    }
}

#[test]
fn cve_2016_8867_users_hold_nothing() {
    let posture = plan(&Options { uid: 1000, cap_add: names(&["net_admin"]), ..Options::default() }).unwrap();
    let caps = posture.capabilities;
    assert!(caps.effective.is_empty() && caps.permitted.is_empty() && caps.ambient.is_empty());
    assert_eq!(caps.bounding.len(), 15);
}

#[test]
fn what_the_engine_lacks_is_an_error_by_name_and_else_shown() {
    let lacking = CapSet::from(Capability::SYS_RESOURCE);
    let machine = Machine { capabilities: machine().capabilities - lacking, ..machine() };
    let plan = |options| Posture::plan(&options, &machine, &lookup);
    let privileged = plan(Options { privileged: true, ..Options::default() }).unwrap();
    assert_eq!(privileged.bounding, machine.capabilities);
    assert!(matches!(privileged.notices.as_slice(), [Notice::Degraded(text)] if text.contains("CAP_SYS_RESOURCE")));
    let named = plan(Options { cap_add: names(&["SYS_RESOURCE"]), ..Options::default() });
    assert!(matches!(named, Err(PolicyError::CapabilityUnavailable(set)) if set == lacking));
}

#[test]
fn privileged_opens_everything_but_what_was_chosen() {
    let posture = plan(&Options { privileged: true, ..Options::default() }).unwrap();
    assert_eq!((posture.seccomp, posture.bounding.len()), (Seccomp::Unconfined, 41));
    assert!(posture.masked_paths.is_empty() && posture.readonly_paths.is_empty());
    assert_eq!(posture.devices.len(), 1);
    assert!(posture.mounts.iter().all(|mount| !mount.options.contains(&"ro".to_owned())));
    let chosen = Options { privileged: true, ..security(&["seccomp=builtin", "apparmor=stockade-default"]) };
    let posture = plan(&Options { cap_drop: names(&["mknod"]), ..chosen }).unwrap();
    assert_eq!((&posture.seccomp, posture.apparmor_profile()), (&Seccomp::Builtin, Some("stockade-default")));
    assert!(!posture.bounding.contains(Capability::MKNOD));
    let read_only = plan(&Options { privileged: true, read_only: true, ..Options::default() }).unwrap();
    assert_eq!(read_only.mounts.iter().filter(|mount| mount.options.contains(&"ro".to_owned())).count(), 2);
}

#[test]
fn security_options_change_the_posture() {
    assert!(plan(&security(&["systempaths=unconfined"])).unwrap().masked_paths.is_empty());
    assert!(plan(&security(&["no-new-privileges"])).unwrap().no_new_privileges);
    assert_eq!(plan(&security(&["apparmor=unconfined"])).unwrap().apparmor_profile(), None);
    assert!(matches!(plan(&security(&["apparmor=absent"])), Err(PolicyError::AppArmor(_))));
    let complaining = Confinement { profile: "mine".to_owned(), mode: ApparmorMode::Complain };
    let complains = Machine {
        apparmor: Support { enabled: true, loaded: Some(vec![complaining]), ..Support::default() },
        ..machine()
    };
    let posture = Posture::plan(&security(&["apparmor=mine"]), &complains, &lookup).unwrap();
    assert!(
        matches!(posture.notices.as_slice(), [Notice::Shared(text)] if text.contains("mine (complain) denies nothing"))
    );
    let without = Machine { apparmor: Support::default(), ..machine() };
    let degraded = Posture::plan(&Options::default(), &without, &lookup).unwrap();
    assert!(matches!(degraded.notices.as_slice(), [Notice::Degraded(_)]));
    assert!(Posture::plan(&security(&["apparmor=stockade-default"]), &without, &lookup).is_err());
}

#[test]
fn namespaces_follow_the_options() {
    let has = |posture: &Posture, kind| posture.namespaces.iter().any(|namespace| namespace.kind == kind);
    let host = Options {
        pid: PidMode(Mode::Host),
        ipc: IpcMode::Host,
        uts: UtsMode::Host,
        network: NetworkMode::Host,
        cgroup: Some(CgroupMode::Host),
        ..Options::default()
    };
    let posture = plan(&host).unwrap();
    let left: Vec<_> = posture.namespaces.iter().map(|namespace| namespace.kind).collect();
    assert_eq!(left, [NamespaceType::Mount, NamespaceType::Time]);
    assert!(posture.sysctls.is_empty());
    let joined = Options { network: NetworkMode::Container("c".into()), ..Options::default() };
    let posture = plan(&joined).unwrap();
    assert_eq!(posture.joined, [(NamespaceType::Network, "c".to_owned())]);
    assert!(!has(&posture, NamespaceType::Network));
    let v1 = Machine { cgroup_v2: false, ..machine() };
    let privileged = Options { privileged: true, ..Options::default() };
    assert!(!has(&Posture::plan(&privileged, &v1, &lookup).unwrap(), NamespaceType::Cgroup));
    assert!(has(&Posture::plan(&Options::default(), &v1, &lookup).unwrap(), NamespaceType::Cgroup));
}

#[test]
fn conflicts_are_errors() {
    let map = || vec![IdMapping { container_id: 0, host_id: 100_000, size: 65536 }];
    let private =
        || Options { user: UserMode::Private, uid_mappings: map(), gid_mappings: map(), ..Options::default() };
    assert!(plan(&private()).is_ok());
    assert_eq!(plan(&private()).unwrap().sysctls["net.ipv4.ping_group_range"], "0 65535");
    let joined = plan(&Options { user: UserMode::Container("c".into()), ..private() }).unwrap();
    assert_eq!(joined.joined, [(NamespaceType::User, "c".to_owned())]);
    assert!(joined.namespaces.iter().all(|namespace| namespace.kind != NamespaceType::User));
    let wrong = [
        Options { hostname: true, uts: UtsMode::Host, ..Options::default() },
        Options { hostname: true, network: NetworkMode::Container("c".into()), ..Options::default() },
        Options { privileged: true, ..private() },
        Options { pid: PidMode(Mode::Host), ..private() },
        Options { network: NetworkMode::Host, ..private() },
        Options { ipc: IpcMode::Host, ..private() },
        Options { security: SecurityOptions::parse(["writable-cgroups"]).unwrap(), ..private() },
        Options { user: UserMode::Private, ..Options::default() },
        Options { uid_mappings: map(), ..Options::default() },
        Options { oom_score_adj: Some(1001), ..Options::default() },
        Options { network: NetworkMode::Host, sysctls: vec!["net.x=1".parse().unwrap()], ..Options::default() },
        Options { ipc: IpcMode::Host, sysctls: vec!["kernel.sem=1".parse().unwrap()], ..Options::default() },
        Options { devices: vec!["/dev/absent".parse().unwrap()], ..Options::default() },
    ];
    for options in wrong {
        assert!(plan(&options).is_err(), "{options:?}");
    }
}

#[test]
fn devices_and_mounts_follow_the_options() {
    let options = Options {
        devices: vec!["/dev/fuse:/dev/f:rw".parse().unwrap()],
        tmpfs: vec!["/dev/shm:size=1m".parse().unwrap()],
        ulimits: vec!["nofile=1".parse().unwrap(), "nofile=2".parse().unwrap()],
        ..Options::default()
    };
    let posture = plan(&options).unwrap();
    assert_eq!((posture.devices[0].path.to_str(), posture.devices[0].minor), (Some("/dev/f"), Some(229)));
    assert_eq!(posture.resources.devices.last().unwrap().access.as_deref(), Some("rw"));
    assert_eq!(posture.mounts.iter().filter(|mount| mount.destination == Path::new("/dev/shm")).count(), 1);
    assert_eq!(posture.rlimits.iter().map(|limit| limit.soft).collect::<Vec<_>>(), [2]);
    let none = plan(&Options { ipc: IpcMode::None, ..Options::default() }).unwrap();
    assert!(none.mounts.iter().all(|mount| mount.destination != Path::new("/dev/shm")));
}

fn resources(resources: &ResourceOptions) -> Result<stockade_spec::Resources, PolicyError> {
    resources.resources(2, &lookup)
}

#[test]
fn limits_in_ocis_words() {
    let given = ResourceOptions {
        memory: Some(64 << 20),
        cpus: Some("1.5".parse().unwrap()),
        pids_limit: Some(0),
        device_read_bps: vec!["/dev/sda:1mb".parse().unwrap()],
        memory_swappiness: Some(0),
        oom_kill_disable: true,
        blkio_weight: Some(10),
        blkio_weight_device: vec!["/dev/sda:20".parse().unwrap(), "/dev/sda:0".parse().unwrap()],
        ..ResourceOptions::default()
    };
    let limits = resources(&given).unwrap();
    let memory = limits.memory.unwrap();
    assert_eq!((memory.limit, memory.swap), (Some(64 << 20), Some(128 << 20)));
    assert_eq!((memory.swappiness, memory.disable_oom_killer), (Some(0), Some(true)));
    let cpu = limits.cpu.unwrap();
    assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
    assert_eq!(limits.pids.unwrap().limit, Some(-1));
    let io = limits.block_io.unwrap();
    assert_eq!(io.weight_device.iter().map(|device| device.weight).collect::<Vec<_>>(), [Some(20)]);
    assert_eq!((io.weight, io.throttle_read_bps_device[0].rate), (Some(10), 1 << 20));
    let none = resources(&ResourceOptions::default()).unwrap();
    assert_eq!(none, stockade_spec::Resources::default());
}

#[test]
fn contradictory_limits_are_errors() {
    const M: u64 = 1 << 20;
    let none = ResourceOptions::default;
    let cpus = Some("1".parse().unwrap());
    let wrong = [
        ResourceOptions { memory: Some(6 * M - 1), ..none() },
        ResourceOptions { memory_swap: Some(64 << 20), ..none() },
        ResourceOptions { memory: Some(8 * M), memory_swap: Some(7 << 20), ..none() },
        ResourceOptions { memory: Some(8 * M), memory_swap: Some(-2), ..none() },
        ResourceOptions { memory: Some(8 * M), memory_reservation: Some(9 * M), ..none() },
        ResourceOptions { memory_reservation: Some(M), ..none() },
        ResourceOptions { memory_swappiness: Some(101), ..none() },
        ResourceOptions { memory_swappiness: Some(-2), ..none() },
        ResourceOptions { cpus, cpu_quota: Some(50_000), ..none() },
        ResourceOptions { cpus, cpu_period: Some(50_000), ..none() },
        ResourceOptions { cpus: Some("3".parse().unwrap()), ..none() },
        ResourceOptions { cpu_period: Some(999), ..none() },
        ResourceOptions { cpu_period: Some(1_000_001), ..none() },
        ResourceOptions { cpu_quota: Some(999), ..none() },
        ResourceOptions { cpu_shares: Some(262_145), ..none() },
        ResourceOptions { cpuset_cpus: Some("0-2".parse().unwrap()), ..none() },
        ResourceOptions { blkio_weight: Some(9), ..none() },
        ResourceOptions { blkio_weight: Some(1001), ..none() },
        ResourceOptions { device_write_iops: vec!["/dev/absent:1".parse().unwrap()], ..none() },
    ];
    for options in wrong {
        assert!(resources(&options).is_err(), "{options:?}");
    }
    let unset = ResourceOptions { memory_swappiness: Some(-1), ..none() };
    assert_eq!(resources(&unset).unwrap().memory, None);
    let unlimited = ResourceOptions { memory: Some(8 * M), memory_swap: Some(-1), ..none() };
    assert_eq!(resources(&unlimited).unwrap().memory.unwrap().swap, Some(-1));
}

#[test]
fn a_posture_is_written_whole_or_not_at_all() {
    let posture = plan(&Options { read_only: true, ..Options::default() }).unwrap();
    let filter = || Some(serde_json::value::RawValue::from_string("{}".to_owned()).unwrap());
    let profile = |name: &str| Some(name.to_owned());
    let mut spec = Spec { root: Some(Root::default()), ..Spec::default() };
    let wrong = [
        (None, profile("stockade-default"), FillError::Seccomp),
        (filter(), None, FillError::AppArmor),
        (filter(), profile("another"), FillError::AppArmor),
    ];
    for (seccomp, apparmor_profile, error) in wrong {
        assert_eq!(posture.fill(&mut spec, Resolved { seccomp, apparmor_profile }), Err(error));
        assert!(spec.process.is_none() && spec.linux.is_none());
    }
    let resolved = Resolved { seccomp: filter(), apparmor_profile: profile("stockade-default") };
    posture.fill(&mut spec, resolved).unwrap();
    let (process, linux) = (spec.process.unwrap(), spec.linux.unwrap());
    assert!(spec.root.unwrap().readonly && linux.seccomp.is_some());
    assert_eq!(process.apparmor_profile, "stockade-default");
    assert_eq!(process.capabilities.unwrap().bounding.len(), 14);
    assert_eq!(linux.masked_paths, posture.masked_paths);
    let open = plan(&Options { privileged: true, ..Options::default() }).unwrap();
    let filtered = Resolved { seccomp: filter(), apparmor_profile: None };
    assert_eq!(open.fill(&mut Spec::default(), filtered), Err(FillError::Seccomp));
}
