//! The pure function from options to a posture.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use stockade_apparmor::Mode::Complain;
use stockade_apparmor::{Confinement, Load, Plan, Selection};
use stockade_capabilities::CapSet;
use stockade_spec::{
    Capabilities, Cpu, Device, DeviceRule, IdMapping, Mount, Namespace, NamespaceType, Resources, Rlimit,
};

use crate::capabilities;
use crate::defaults;
use crate::devices::{DeviceFlag, Lookup};
use crate::error::{PolicyError, invalid};
use crate::namespaces::{CgroupMode, IpcMode, Mode, NetworkMode, UserMode, UtsMode};
use crate::options::{Machine, Options};
use crate::security::Seccomp;
use crate::sysctl::Owner;

/// Something that the user should see although it is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A wall is weaker than the default because the machine cannot make it.
    Degraded(String),
    /// A wall is weaker than the default because of something that this container is given.
    Shared(String),
    /// A spelling that will not be accepted for ever.
    Deprecated(String),
}

impl fmt::Display for Notice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(text) => out.write_str(text),
            Self::Degraded(text) => write!(out, "degraded: {text}"),
            Self::Deprecated(text) => write!(out, "deprecated: {text}"),
        }
    }
}

/// What a container is confined by: all that an OCI configuration needs to be told of it.
#[derive(Clone, Debug)]
pub struct Posture {
    /// The bounding set; what a seccomp profile's conditions are resolved with.
    pub bounding: CapSet,
    /// The five sets.
    pub capabilities: Capabilities,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// The system call filter, not yet read or resolved.
    pub seccomp: Seccomp,
    /// The AppArmor profile, not yet loaded.
    pub apparmor: Plan,
    /// Paths that are hidden.
    pub masked_paths: Vec<PathBuf>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<PathBuf>,
    /// The new namespaces.
    pub namespaces: Vec<Namespace>,
    /// The namespaces to join, each with the container that has it.
    pub joined: Vec<(NamespaceType, String)>,
    /// The id mapping of the container's user namespace, new or joined, else empty.
    pub uid_mappings: Vec<IdMapping>,
    /// The same for groups.
    pub gid_mappings: Vec<IdMapping>,
    /// The mounts, in their order; without those of volumes.
    pub mounts: Vec<Mount>,
    /// The device files beyond those that every container has.
    pub devices: Vec<Device>,
    /// The limits, and the device rules among them.
    pub resources: Resources,
    /// The sysctls.
    pub sysctls: BTreeMap<String, String>,
    /// The resource limits.
    pub rlimits: Vec<Rlimit>,
    /// The adjustment of the out-of-memory score.
    pub oom_score_adj: Option<i32>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// What the user should see.
    pub notices: Vec<Notice>,
}

impl Posture {
    /// Decides. Changes nothing; looks at host devices through `lookup` only.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn plan(options: &Options, machine: &Machine, lookup: &Lookup<'_>) -> Result<Self, PolicyError> {
        conflicts(options)?;
        let (bounding, missing) = capabilities::choose(options, machine)?;
        let mut notices = options.security.notices.clone();
        if !missing.is_empty() {
            notices.push(Notice::Degraded(format!("without {missing}, which this process does not have")));
        }
        let selection = options.security.apparmor.as_ref().unwrap_or(&Selection::Default);
        let apparmor = stockade_apparmor::plan(selection, &machine.apparmor, options.privileged)?;
        match &apparmor {
            Plan::Unconfined(Some(degradation)) => notices.push(Notice::Degraded(degradation.to_string())),
            Plan::Profile { load: Load::Loaded(name) } => {
                let complains = |found: &&Confinement| found.mode == Complain;
                notices.extend(machine.apparmor.find(name.as_str()).filter(complains).map(|found| {
                    let text =
                        format!("the AppArmor profile {found} denies nothing: what it does not allow is only logged");
                    Notice::Shared(text)
                }));
            }
            _ => {}
        }
        let default_seccomp = if options.privileged { Seccomp::Unconfined } else { Seccomp::Builtin };
        let open = options.privileged || options.security.unmask;
        let (namespaces, joined) = namespaces(options, machine);
        let (devices, rules) = devices(options, machine, lookup)?;
        let mut resources = options.resources.resources(machine.processors, lookup)?;
        resources.devices = rules;
        if machine.is_rootless() {
            refuse_limits(options, &resources, machine.delegated.as_deref())?;
            // None can be in force: nobody is to read that they were asked for.
            resources.devices.clear();
            let without = if machine.delegated.is_none() { NO_GROUP } else { NO_RULES };
            notices.push(Notice::Degraded(without.to_owned()));
        }
        Ok(Self {
            bounding,
            capabilities: capabilities::sets(bounding, options.uid),
            no_new_privileges: options.security.no_new_privileges,
            seccomp: options.security.seccomp.clone().unwrap_or(default_seccomp),
            apparmor,
            masked_paths: if open {
                Vec::new()
            } else {
                defaults::masked_paths(machine.processors).map(Into::into).collect()
            },
            readonly_paths: if open {
                Vec::new()
            } else {
                defaults::READONLY_PATHS.iter().map(|e| e.value.into()).collect()
            },
            namespaces,
            joined,
            uid_mappings: options.uid_mappings.clone(),
            gid_mappings: options.gid_mappings.clone(),
            mounts: mounts(options, machine),
            devices,
            resources,
            sysctls: sysctls(options, machine)?,
            rlimits: rlimits(options),
            oom_score_adj: options.oom_score_adj,
            read_only: options.read_only,
            notices,
        })
    }

    /// The name for OCI's `apparmorProfile`; `None` without a profile, and for one in a file, whose name
    /// [`stockade_apparmor::load::ensure`] tells.
    #[must_use]
    pub fn apparmor_profile(&self) -> Option<&str> {
        match &self.apparmor {
            Plan::Profile { load: Load::Own } => Some(stockade_apparmor::DEFAULT_PROFILE),
            Plan::Profile { load: Load::Loaded(name) } => Some(name.as_str()),
            Plan::Profile { load: Load::File(_) } | Plan::Unconfined(_) => None,
        }
    }
}

/// What a container of an ordinary user is without.
const NO_GROUP: &str =
    "no control group: it has no limits, no device rules beyond the permissions of device files, and cannot be paused";

/// The same where a group was delegated to the user.
const NO_RULES: &str =
    "no device rules beyond the permissions of device files: those of a control group are for root to set";

/// Refuses what only a control group can keep, with controllers other than those in `delegated`.
fn refuse_limits(options: &Options, resources: &Resources, delegated: Option<&[String]>) -> Result<(), PolicyError> {
    let lacks = |controller: &str| !delegated.is_some_and(|all| all.iter().any(|one| one == controller));
    if let Some(flag) = options.devices.iter().find(|flag| flag.host != flag.container) {
        let reason = "it can be had at its own path only, because device files are for root to make";
        return Err(invalid("--device", flag.container.display().to_string(), reason));
    }
    let less = |flag: &DeviceFlag| "rwm".chars().any(|access| !flag.access.contains(access));
    let pids = resources.pids.as_ref().and_then(|pids| pids.limit).is_some_and(|limit| limit > 0);
    let cpu = resources.cpu.clone().unwrap_or_default();
    let sets = !cpu.cpus.is_empty() || !cpu.mems.is_empty();
    let time = Cpu { cpus: String::new(), mems: String::new(), ..cpu } != Cpu::default();
    let asked = [
        (resources.memory.is_some() && lacks("memory"), "a limit of memory"),
        (time && lacks("cpu"), "a limit of processors"),
        (sets && lacks("cpuset"), "a set of processors"),
        (resources.block_io.is_some() && lacks("io"), "a limit of block devices"),
        (pids && lacks("pids"), "--pids-limit"),
        (options.devices.iter().any(less), "--device with less than rwm"),
        (!options.device_rules.is_empty(), "--device-cgroup-rule"),
        (options.security.writable_cgroups, "--security-opt writable-cgroups"),
    ];
    asked.into_iter().find(|(given, _)| *given).map_or(Ok(()), |(_, what)| Err(PolicyError::NoGroup(what)))
}

/// Refuses options that exclude each other.
fn conflicts(options: &Options) -> Result<(), PolicyError> {
    let (own_user, user) = (options.user.is_own(), options.user.flag());
    let joins_network = matches!(options.network, NetworkMode::Container(_));
    let rules = [
        (options.hostname && options.uts == UtsMode::Host, "--hostname", "--uts host"),
        (options.hostname && joins_network, "--hostname", "--network container"),
        (own_user && options.privileged, "--privileged", user),
        (own_user && options.pid.0 == Mode::Host, "--pid host", user),
        (own_user && options.network == NetworkMode::Host, "--network host", user),
        (own_user && options.ipc == IpcMode::Host, "--ipc host", user),
        (own_user && options.security.writable_cgroups, "--security-opt writable-cgroups", user),
    ];
    if let Some((_, first, second)) = rules.into_iter().find(|(wrong, ..)| *wrong) {
        return Err(PolicyError::Conflict { first, second });
    }
    let mapped = !options.uid_mappings.is_empty() && !options.gid_mappings.is_empty();
    if own_user && !mapped {
        return Err(PolicyError::Incomplete { option: user, needs: "mappings of user and group ids" });
    }
    let unmapped = options.uid_mappings.is_empty() && options.gid_mappings.is_empty();
    if !own_user && !unmapped {
        return Err(PolicyError::Incomplete { option: "a mapping of ids", needs: "--userns auto or private" });
    }
    match options.oom_score_adj {
        Some(score) if !(-1000..=1000).contains(&score) => {
            Err(invalid("--oom-score-adj", score.to_string(), "not from -1000 to 1000"))
        }
        _ => Ok(()),
    }
}

/// The new namespaces, and those to join.
fn namespaces(options: &Options, machine: &Machine) -> (Vec<Namespace>, Vec<(NamespaceType, String)>) {
    let mut new = vec![NamespaceType::Mount];
    let mut joined = Vec::new();
    let mut add = |kind, mode: Mode| match mode {
        Mode::Private => new.push(kind),
        Mode::Host => {}
        Mode::Container(container) => joined.push((kind, container)),
    };
    add(NamespaceType::Pid, options.pid.0.clone());
    add(
        NamespaceType::Ipc,
        match &options.ipc {
            IpcMode::Private | IpcMode::Shareable | IpcMode::None => Mode::Private,
            IpcMode::Host => Mode::Host,
            IpcMode::Container(container) => Mode::Container(container.clone()),
        },
    );
    add(
        NamespaceType::Network,
        match &options.network {
            NetworkMode::None | NetworkMode::Bridge => Mode::Private,
            NetworkMode::Host => Mode::Host,
            NetworkMode::Container(container) => Mode::Container(container.clone()),
        },
    );
    // Docker: a privileged container sees the host's hierarchies on version 1, and its own on version 2.
    let cgroup = options.cgroup.unwrap_or(if options.privileged && !machine.cgroup_v2 {
        CgroupMode::Host
    } else {
        CgroupMode::Private
    });
    let new_or_host = [
        (NamespaceType::Uts, options.uts == UtsMode::Private),
        (NamespaceType::Cgroup, cgroup == CgroupMode::Private),
        (NamespaceType::Time, machine.time_namespace),
        (NamespaceType::User, options.user.is_new()),
    ];
    if let UserMode::Container(container) = &options.user {
        joined.push((NamespaceType::User, container.clone()));
    }
    new.extend(new_or_host.into_iter().filter(|(_, private)| *private).map(|(kind, _)| kind));
    (new.into_iter().map(|kind| Namespace { kind, path: PathBuf::new() }).collect(), joined)
}

/// The device files and the device rules.
fn devices(
    options: &Options,
    machine: &Machine,
    lookup: &Lookup<'_>,
) -> Result<(Vec<Device>, Vec<DeviceRule>), PolicyError> {
    let (mut devices, mut rules): (Vec<Device>, Vec<DeviceRule>) = if options.privileged {
        let all = DeviceRule { allow: true, kind: None, major: None, minor: None, access: Some("rwm".to_owned()) };
        (machine.host_devices.clone(), vec![all])
    } else {
        (Vec::new(), defaults::device_rules().collect())
    };
    for flag in &options.devices {
        let (device, rule) = flag.granted(lookup)?;
        devices.retain(|other| other.path != device.path);
        devices.push(device);
        rules.push(rule);
    }
    rules.extend(options.device_rules.iter().cloned());
    Ok((devices, rules))
}

/// The default mounts as the options change them, then the `--tmpfs` ones.
fn mounts(options: &Options, machine: &Machine) -> Vec<Mount> {
    let replaced = |mount: &Mount| options.tmpfs.iter().any(|tmpfs| tmpfs.0.destination == mount.destination);
    let mut mounts: Vec<Mount> = defaults::mounts()
        .filter(|mount| !replaced(mount))
        .filter_map(|mount| adapted(mount, options, machine))
        .collect();
    mounts.extend(options.tmpfs.iter().map(|tmpfs| tmpfs.0.clone()));
    mounts
}

/// One default mount as the options change it; `None` if the container has none there, or another container's.
fn adapted(mut mount: Mount, options: &Options, machine: &Machine) -> Option<Mount> {
    let writable = |mount: &mut Mount| mount.options.retain(|option| option != "ro");
    match mount.destination.to_str()? {
        // sysfs shows the network namespace, and only who owns that may mount it: an ordinary user does not own the host's.
        "/sys" if machine.is_rootless() && options.network == NetworkMode::Host => {
            let mut bound = bind(mount, "/sys".into());
            bound.options.push("rro".to_owned());
            return Some(bound);
        }
        "/dev/mqueue" if machine.is_rootless() && options.ipc == IpcMode::Host => {
            return Some(bind(mount, "/dev/mqueue".into()));
        }
        "/sys" if options.privileged && !options.read_only => writable(&mut mount),
        "/sys/fs/cgroup" if options.security.writable_cgroups || options.privileged && !options.read_only => {
            writable(&mut mount);
        }
        // The kernel takes no group that is not mapped; terminals then have that of who opens them.
        "/dev/pts"
            if ![&options.gid_mappings, &machine.own_groups].iter().all(|ids| maps(ids, defaults::TTY_GROUP)) =>
        {
            mount.options.retain(|option| !option.starts_with("gid="));
        }
        "/dev/shm" => match &options.ipc {
            IpcMode::None | IpcMode::Container(_) => return None,
            IpcMode::Host => return Some(bind(mount, machine.host_shm.clone())),
            IpcMode::Private | IpcMode::Shareable => {
                let size = options.shm_size.filter(|size| *size != 0).unwrap_or(defaults::DEFAULT_SHM_SIZE);
                mount.options.push(format!("size={size}"));
            }
        },
        _ => {}
    }
    Some(mount)
}

/// Whether a container with these mappings has the id: all where none are mapped.
fn maps(mappings: &[IdMapping], id: u32) -> bool {
    let holds = |range: &IdMapping| id.checked_sub(range.container_id).is_some_and(|offset| offset < range.size);
    mappings.is_empty() || mappings.iter().any(holds)
}

/// `mount` as a bind mount of the host's.
fn bind(mount: Mount, source: PathBuf) -> Mount {
    let options = ["rbind", "rprivate", "nosuid", "noexec", "nodev"].map(str::to_owned).to_vec();
    Mount { kind: Some("bind".to_owned()), source: Some(source), options, ..mount }
}

/// The default sysctls and the user's, which must belong to namespaces of the container's own.
fn sysctls(options: &Options, machine: &Machine) -> Result<BTreeMap<String, String>, PolicyError> {
    let own_network = matches!(options.network, NetworkMode::None | NetworkMode::Bridge);
    let own_ipc = matches!(options.ipc, IpcMode::Private | IpcMode::Shareable | IpcMode::None);
    let mut sysctls = BTreeMap::new();
    for (name, value) in defaults::NETWORK_SYSCTLS.iter().map(|entry| entry.value) {
        if own_network {
            let groups = [&options.gid_mappings, &machine.own_groups].into_iter().find(|groups| !groups.is_empty());
            sysctls.insert(name.to_owned(), mapped_range(name, value, groups));
        }
    }
    for sysctl in &options.sysctls {
        let own = match sysctl.namespace {
            Owner::Network => own_network,
            Owner::Ipc => own_ipc,
            Owner::Uts => options.uts == UtsMode::Private,
        };
        if !own {
            return Err(invalid("--sysctl", &sysctl.name, "its namespace is not the container's own"));
        }
        sysctls.insert(sysctl.name.clone(), sysctl.value.clone());
    }
    Ok(sysctls)
}

/// The value of a setting; a range of groups ends where the container's ids do, which is all that the kernel takes.
fn mapped_range(name: &str, value: &str, groups: Option<&Vec<IdMapping>>) -> String {
    match groups.and_then(|groups| whole_from_zero(groups)) {
        Some(size) if name == defaults::GROUP_RANGE => format!("0 {}", (size - 1).min(defaults::LAST_GROUP)),
        _ => value.to_owned(),
    }
}

/// How many groups there are from 0 on without a gap; `None` without 0.
fn whole_from_zero(groups: &[IdMapping]) -> Option<u32> {
    let next =
        |end: u32| groups.iter().find(|range| range.container_id == end).and_then(|range| end.checked_add(range.size));
    std::iter::successors(next(0), |end| next(*end)).last()
}

/// The resource limits; of two with the same name the later one, as in Docker.
fn rlimits(options: &Options) -> Vec<Rlimit> {
    let mut rlimits: Vec<Rlimit> = Vec::new();
    for ulimit in &options.ulimits {
        rlimits.retain(|other| other.kind != ulimit.0.kind);
        rlimits.push(ulimit.0.clone());
    }
    rlimits
}
