//! Whole configurations: what Docker writes, what contradicts itself, and what random edits make of it.

use serde_json::{Value, json};
use stockade_capabilities::{CapSet, Sets};
use stockade_cgroups::model::{Access, DeviceKind};

use super::model::MountSource;
use super::*;

/// As dockerd 29 writes it for `docker run --memory 512m --pids-limit 100 -v data:/data:ro ...`.
const DOCKER: &str = include_str!("testdata/docker.json");

fn docker() -> Value {
    serde_json::from_str(DOCKER).unwrap()
}

fn facts() -> Facts {
    let last_capability = Capability::CHECKPOINT_RESTORE;
    let capabilities = State { sets: Sets::of_root(CapSet::up_to(last_capability)), ..State::default() };
    Facts {
        bundle: "/run/bundle".into(),
        container_id: "c1".to_owned(),
        rootless: false,
        process: ProcessFacts { fixed_groups: None, capabilities, last_capability },
        namespaces: Namespaces::all(),
        own_namespace_paths: vec![
            (stockade_spec::NamespaceType::Network, "/proc/1/ns/net".into()),
            (stockade_spec::NamespaceType::Uts, "/proc/1/ns/uts".into()),
        ],
    }
}

fn plan_value(config: &Value) -> Result<Plan, PlanError> {
    plan(&Spec::parse(config.to_string().as_bytes()).unwrap().0, &facts())
}

/// Docker's configuration with one value replaced, found by its JSON pointer; a missing last key is added.
fn edited(pointer: &str, value: Value) -> Value {
    let mut config = docker();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        object => object[key] = value,
    }
    config
}

#[test]
fn dockers_configuration_is_planned_whole() {
    let plan = plan_value(&docker()).unwrap();
    assert_eq!(plan.notices, Vec::<String>::new());
    assert_eq!(plan.namespaces.new_ones(), Namespaces::all() - Namespaces::USER - Namespaces::TIME);
    assert_eq!(plan.rootfs.mounts.len(), 11);
    assert_eq!(plan.rootfs.mounts[4].source, MountSource::Cgroup { readonly: true });
    assert!(matches!(&plan.rootfs.mounts[3].source, MountSource::New { kind, readonly: true, .. } if kind == "sysfs"));
    assert!(matches!(plan.rootfs.mounts[10].source, MountSource::Bind { recursive: true, .. }));
    assert_eq!((plan.rootfs.devices.len(), plan.rootfs.populate_dev), (6, true));
    let process = plan.process.unwrap();
    assert_eq!(process.capabilities.unwrap().bounding.len(), 14);
    assert_eq!((process.umask, process.groups), (0o022, vec![0, 10]));
    let rules = plan.limits.devices.unwrap();
    assert!(rules.allows(DeviceKind::Character, 136, 0, Access::READ));
    assert!(!rules.allows(DeviceKind::Block, 8, 0, Access::READ));
    assert_eq!(plan.sysctls.len(), 2);
    assert!(plan.seccomp.is_some());
}

#[test]
fn every_error_names_its_property() {
    let map = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
    for (pointer, value, path) in [
        ("/ociVersion", json!("2.0.0"), "ociVersion"),
        ("/ociVersion", json!("1.0"), "ociVersion"),
        ("/ociVersion", json!("1.01.0"), "ociVersion"),
        ("/root", Value::Null, "root"),
        ("/root/path", json!(""), "root.path"),
        ("/linux", Value::Null, "linux"),
        ("/hostname", json!("a\nb"), "hostname"),
        ("/linux/namespaces", json!([]), "linux.namespaces"),
        ("/linux/namespaces/1/path", json!("proc/1/ns/net"), "linux.namespaces[1].path"),
        ("/linux/namespaces/0/path", json!("/proc/2/ns/mnt"), "linux.namespaces[0].path"),
        ("/linux/namespaces/-", json!({"type": "pid"}), "linux.namespaces[6].type"),
        ("/linux/namespaces/-", json!({"type": "user"}), "linux.uidMappings"),
        ("/linux/uidMappings", map, "linux.uidMappings"),
        ("/linux/namespaces/2", json!({"type": "uts", "path": "/proc/1/ns/uts"}), "hostname"),
        ("/linux/namespaces/1", json!({"type": "time"}), "linux.sysctl[\"net.ipv4.ip_unprivileged_port_start\"]"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}), "linux.timeOffsets[\"monotonic\"]"),
        ("/linux/mountLabel", json!("x"), "linux.mountLabel"),
        ("/linux/intelRdt", json!({"closID": "x"}), "linux.intelRdt"),
        ("/linux/personality", json!({"domain": "LINUX", "flags": ["X"]}), "linux.personality.flags"),
        ("/linux/cgroupsPath", json!("/a/../b"), "linux.cgroupsPath"),
        ("/linux/rootfsPropagation", json!("none"), "linux.rootfsPropagation"),
        ("/linux/maskedPaths/0", json!("proc/acpi"), "linux.maskedPaths[0]"),
        ("/linux/readonlyPaths/1", json!("fs"), "linux.readonlyPaths[1]"),
        ("/linux/sysctl/kernel.core_pattern", json!("|/x"), "linux.sysctl[\"kernel.core_pattern\"]"),
        ("/linux/resources/pids/limit", json!(-5), "linux.resources.pids.limit"),
        ("/process/cwd", json!("tmp"), "process.cwd"),
        ("/process/args", json!([]), "process.args"),
        ("/process/args/0", json!("a\u{0}b"), "process.args[0]"),
        ("/process/env/1", json!("=x"), "process.env[1]"),
        ("/process/env/1", json!("x"), "process.env[1]"),
        ("/process/user/uid", json!(u32::MAX), "process.user.uid"),
        ("/process/user/umask", json!(0o1000), "process.user.umask"),
        ("/process/oomScoreAdj", json!(1001), "process.oomScoreAdj"),
        ("/process/selinuxLabel", json!("x"), "process.selinuxLabel"),
        ("/process/apparmorProfile", json!("a\nb"), "process.apparmorProfile"),
        ("/process/capabilities/effective/0", json!("CAP_X"), "process.capabilities.effective[0]"),
        ("/process/capabilities/effective/0", json!("CAP_BPF"), "process.capabilities.effective"),
        ("/process/capabilities/ambient", json!(["CAP_CHOWN"]), ""),
        ("/process/execCPUAffinity", json!({"initial": "2-1"}), "process.execCPUAffinity.initial"),
        ("/process/rlimits/0/type", json!("RLIMIT_X"), "process.rlimits[0].type"),
        ("/hooks/prestart/0/path", json!("x"), "hooks.prestart[0].path"),
        ("/mounts/10/destination", json!("/a/.."), "mounts[10].destination"),
        ("/mounts/10/destination", json!("/sys/../proc"), ""),
        ("/mounts/10/destination", json!("/proc/self"), "mounts[10].destination"),
        ("/mounts/10/destination", json!("/proc/uptime"), ""),
        ("/mounts/10/options", json!(["bind", "size=1"]), "mounts[10].options"),
        ("/mounts/10/options", json!(["bind", "remount"]), "mounts[10].options"),
        ("/mounts/10/options", json!(["bind", "idmap"]), "mounts[10].uidMappings"),
        ("/mounts/10/source", json!(""), "mounts[10].source"),
        ("/mounts/0/type", json!("tmpfs"), "mounts[0].destination"),
        ("/mounts/1/type", Value::Null, "mounts[1].type"),
        ("/mounts/3/options", json!(["tmpcopyup"]), "mounts[3].options"),
        ("/mounts/4/options", json!(["name=x"]), "mounts[4].options"),
        ("/mounts/1/options", json!(["=x"]), "mounts[1].options"),
    ] {
        let planned = plan_value(&edited(pointer, value.clone()));
        match planned {
            Ok(_) => assert_eq!(path, "", "{pointer} {value}"),
            Err(error) => {
                assert_eq!(error.path(), path, "{pointer} {value}: {error}");
                assert!(error.to_string().starts_with(path), "{error}");
            }
        }
    }
}

#[test]
fn ids_must_be_mapped() {
    let mut config = edited("/linux/namespaces/-", json!({"type": "user"}));
    config["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 10}]);
    config["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 11}]);
    let plan = plan_value(&config).unwrap();
    assert_eq!(plan.namespaces.maps().unwrap().users.outside(9), Some(100_009));
    config["process"]["user"]["uid"] = json!(10);
    let error = plan_value(&config).unwrap_err();
    assert_eq!(error.path(), "process.user.uid");
    assert!(error.to_string().contains("linux.uidMappings (0 100000 10)"), "{error}");
}

#[test]
fn a_joined_user_namespace_keeps_its_own_maps() {
    let mut config = edited("/linux/namespaces/-", json!({"type": "user", "path": "/proc/7/ns/user"}));
    config["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 10}]);
    let plan = plan_value(&config).unwrap();
    assert_eq!((plan.namespaces.maps(), plan.namespaces.joined().len()), (None, 1));
    assert!(plan.notices[0].starts_with("linux.uidMappings"), "{:?}", plan.notices);
}

#[test]
fn the_path_of_an_own_namespace_is_sharing_it() {
    let mut config = edited("/linux/namespaces/1", json!({"type": "network", "path": "/proc/1/ns/net"}));
    assert!(plan_value(&config).unwrap_err().path().starts_with("linux.sysctl["));
    config["linux"]["sysctl"] = json!({});
    let plan = plan_value(&config).unwrap();
    assert!(plan.namespaces.joined().is_empty() && !plan.namespaces.new_ones().contains(Namespaces::NET));
}

#[test]
fn what_the_runtime_lacks_is_said_and_left_out() {
    let spec = Spec::parse(DOCKER.as_bytes()).unwrap().0;
    let mut facts = facts();
    facts.process.capabilities.sets = Sets::of_root(CapSet::of(&[Capability::CHOWN]));
    let plan = plan(&spec, &facts).unwrap();
    assert_eq!(plan.process.unwrap().capabilities.unwrap().bounding, CapSet::of(&[Capability::CHOWN]));
    assert_eq!(plan.notices.len(), 3);
    assert!(plan.notices[0].contains("CAP_DAC_OVERRIDE"), "{:?}", plan.notices);
}

#[test]
fn a_later_option_wins() {
    use stockade_kernel::mount::{AccessTimes, Attributes};
    let options = json!(["bind", "ro", "rw", "nosuid", "noatime", "atime", "strictatime", "rro", "rshared", "private"]);
    let plan = plan_value(&edited("/mounts/10/options", options)).unwrap();
    let mount = &plan.rootfs.mounts[10];
    assert_eq!(mount.attributes.set, Attributes::NO_SUID);
    assert_eq!(mount.attributes.clear, Attributes::READ_ONLY);
    assert_eq!(mount.attributes.access_times, Some(AccessTimes::Strict));
    assert_eq!(mount.recursive_attributes.set, Attributes::READ_ONLY);
    assert_eq!(mount.propagation.len(), 2);
}

/// A small generator of numbers that are the same in each run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

/// Replaces, removes, doubles or swaps something at a random place.
fn mutate(value: &mut Value, numbers: &mut Numbers) {
    let descend = numbers.below(6) != 0;
    match value {
        Value::Object(object) if descend && !object.is_empty() => {
            let key = object.keys().nth(numbers.below(object.len())).unwrap().clone();
            if numbers.below(20) == 0 {
                object.remove(&key);
            } else {
                mutate(&mut object[&key], numbers);
            }
        }
        Value::Array(list) if descend && !list.is_empty() => {
            let index = numbers.below(list.len());
            match numbers.below(12) {
                0 => drop(list.remove(index)),
                1 => list.push(list[index].clone()),
                _ => mutate(&mut list[index], numbers),
            }
        }
        _ => *value = hostile(value, numbers),
    }
}

/// Values that have broken runtimes, mostly of the type that is there.
fn hostile(now: &Value, numbers: &mut Numbers) -> Value {
    let texts =
        ["", "/", "..", "/../..", "a\u{0}b", "\n", "/proc/self/fd/7", "user", "rbind", "0-2,7", "4294967296", "é"];
    let counts = [-1, 0, 1, 4096, i64::MAX, i64::MIN, i64::from(u32::MAX)];
    let other_type = numbers.below(8) == 0;
    match (now, numbers.below(6)) {
        (Value::String(_), _) if !other_type => json!(texts[numbers.below(texts.len())]),
        (Value::Number(_), 0) if !other_type => json!(u64::MAX),
        (Value::Number(_), _) if !other_type => json!(counts[numbers.below(counts.len())]),
        (Value::Bool(flag), _) if !other_type => json!(!flag),
        (Value::Array(_), _) if !other_type => json!([]),
        (Value::Object(_), _) if !other_type => json!({}),
        (_, 0) => json!(u64::MAX),
        (_, 1) => json!([]),
        (_, 2) => json!({}),
        (_, 3) => json!(texts[numbers.below(texts.len())]),
        _ => Value::Null,
    }
}

#[test]
fn random_edits_are_planned_or_refused_by_name() {
    let rich = rich();
    let (mut planned, mut refused) = (0, 0);
    for seed in 0..8_000 {
        let mut numbers = Numbers(seed);
        let mut config = if seed % 2 == 0 { docker() } else { rich.clone() };
        for _ in 0..=numbers.below(3) {
            mutate(&mut config, &mut numbers);
        }
        let text = config.to_string();
        let Ok((spec, _)) = Spec::parse(text.as_bytes()) else {
            continue;
        };
        match plan(&spec, &facts()) {
            Ok(_) => planned += 1,
            Err(error) => {
                refused += 1;
                let top = error.path().split(['.', '[']).next().unwrap();
                let known = ["ociVersion", "root", "mounts", "process", "hostname", "domainname", "hooks", "linux"];
                assert!(known.contains(&top), "seed {seed}: {error}");
            }
        }
    }
    assert!(planned > 500 && refused > 500, "{planned} planned, {refused} refused");
}

/// Docker's configuration with every other property of the specification.
fn rich() -> Value {
    let mut config = docker();
    config["domainname"] = json!("example");
    config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 4});
    config["process"]["execCPUAffinity"] = json!({"initial": "0-1", "final": "0"});
    config["process"]["consoleSize"] = json!({"height": 24, "width": 80});
    let linux = &mut config["linux"];
    linux["namespaces"] = json!([{"type": "mount"}, {"type": "network"}, {"type": "uts"}, {"type": "pid"},
        {"type": "ipc"}, {"type": "cgroup"}, {"type": "user"}, {"type": "time"}]);
    linux["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    linux["gidMappings"] = linux["uidMappings"].clone();
    linux["timeOffsets"] = json!({"monotonic": {"secs": 5, "nanosecs": 1}, "boottime": {"secs": -5}});
    linux["devices"] = json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438}]);
    linux["netDevices"] = json!({"eth9": {"name": "lan"}});
    linux["personality"] = json!({"domain": "LINUX32"});
    linux["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    linux["resources"]["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": 0}]);
    linux["resources"]["network"] = json!({"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]});
    linux["resources"]["rdma"] = json!({"mlx5_1": {"hcaHandles": 3}});
    linux["resources"]["unified"] = json!({"memory.high": "1000000"});
    linux["rootfsPropagation"] = json!("rprivate");
    config["mounts"][10]["options"] = json!(["rbind", "rro", "ridmap"]);
    config
}

#[test]
fn every_property_of_the_specification_is_planned() {
    let plan = plan_value(&rich()).unwrap();
    assert_eq!(plan.notices, Vec::<String>::new());
    assert_eq!(plan.domainname.as_deref(), Some("example"));
    assert_eq!(plan.net_devices, [("eth9".to_owned(), "lan".to_owned())]);
    assert_eq!(plan.namespaces.offsets().unwrap().boottime.seconds, -5);
    assert_eq!(plan.rootfs.devices.len(), 7);
    assert!(plan.rootfs.mounts[10].id_map.as_ref().unwrap().recursive);
    assert!(plan.personality.is_some() && plan.memory_policy.is_some());
}
