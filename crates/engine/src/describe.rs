//! What `inspect` will tell of a container, written down when it is made. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use stockade_images::Image;
use stockade_policy::defaults::DEFAULT_SHM_SIZE;
use stockade_policy::devices::DeviceFlag;
use stockade_policy::limits::Tmpfs;
use stockade_policy::namespaces::{CgroupMode, IpcMode, Mode, NetworkMode, UserMode, UtsMode};
use stockade_policy::resources::Cpus;
use stockade_spec::{DeviceRule, DeviceType};

use crate::Engine;
use crate::Request;
use crate::inspect::{
    Config, Confinement, DeviceMapping, DeviceRate, DeviceWeight, HostConfig, InspectedUlimit, Nothing,
};
use crate::network::ask::{Attach, PortRequest};
use crate::network::settings::PortBinding;
use crate::process::Payload;
use crate::request::{Given, VolumesFrom};
use crate::session::Shown;
use crate::spec::Parts;
use crate::walls::{Walls, kind_word};

/// `UsernsMode`, as Podman has it; Docker's is empty for the host's.
fn userns_word(mode: &UserMode) -> String {
    match mode {
        UserMode::Unset | UserMode::Host => String::new(),
        UserMode::Private => "private".into(),
        UserMode::Auto(_) => "auto".into(),
        UserMode::KeepId => "keep-id".into(),
        UserMode::Container(id) => format!("container:{id}"),
    }
}

/// `HostConfig`.
pub(crate) fn host_config(engine: &Engine, request: &Request, walls: &Walls) -> HostConfig {
    let (options, posture) = (&walls.options, &walls.posture);
    let limits = &options.resources;
    let memory = posture.resources.memory.clone().unwrap_or_default();
    let cpu = posture.resources.cpu.clone().unwrap_or_default();
    let paths = |paths: &[std::path::PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
    HostConfig {
        binds: request
            .binds
            .iter()
            .filter(|bind| bind.given != Given::VolumesFrom)
            .map(crate::request::Bind::text)
            .chain(request.volumes.iter().filter_map(crate::request::VolumeMount::text))
            .collect(),
        container_id_file: request.id_file.clone().unwrap_or_default(),
        log_config: request.logging.config(),
        network_mode: request.network.attachments.first().map_or_else(|| network_word(&options.network), network_name),
        port_bindings: port_bindings(&request.network.ports),
        publish_all_ports: request.network.publish_all,
        dns: request.network.names.servers.iter().map(ToString::to_string).collect(),
        dns_options: request.network.names.options.clone(),
        dns_search: request.network.names.search.clone(),
        extra_hosts: request.network.hosts.iter().map(extra_host).collect(),
        auto_remove: request.remove,
        restart_policy: request.restart.into(),
        cap_add: options.cap_add.clone(),
        cap_drop: options.cap_drop.clone(),
        group_add: request.groups.clone(),
        ipc_mode: ipc_word(&options.ipc),
        pid_mode: mode_word(&options.pid.0, ""),
        uts_mode: if options.uts == UtsMode::Host { "host".into() } else { String::new() },
        userns_mode: userns_word(&options.user),
        cgroupns_mode: match options.cgroup {
            Some(CgroupMode::Host) => "host".into(),
            Some(CgroupMode::Private) => "private".into(),
            None => String::new(),
        },
        cgroup_parent: request.cgroup_parent.clone().unwrap_or_default(),
        oom_score_adj: options.oom_score_adj.unwrap_or_default(),
        privileged: options.privileged,
        readonly_rootfs: options.read_only,
        security_opt: security_words(walls),
        shm_size: options.shm_size.filter(|size| *size != 0).unwrap_or(DEFAULT_SHM_SIZE),
        sysctls: options.sysctls.iter().map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
        runtime: engine.runtime().display().to_string(),
        init: request.init,
        annotations: request.annotations.clone(),
        volumes_from: request.volumes_from.iter().map(VolumesFrom::text).collect(),
        cpu_shares: cpu.shares.unwrap_or_default(),
        memory: memory.limit.unwrap_or_default(),
        memory_swap: memory.swap.unwrap_or_default(),
        memory_reservation: memory.reservation.unwrap_or_default(),
        memory_swappiness: memory.swappiness,
        oom_kill_disable: limits.oom_kill_disable,
        tmpfs: options.tmpfs.iter().map(tmpfs).collect(),
        devices: options.devices.iter().map(device).collect(),
        device_cgroup_rules: options.device_rules.iter().map(device_rule).collect(),
        nano_cpus: limits.cpus.map(Cpus::nano).unwrap_or_default(),
        cpu_period: limits.cpu_period.unwrap_or_default(),
        cpu_quota: limits.cpu_quota.unwrap_or_default(),
        cpuset_cpus: cpu.cpus,
        cpuset_mems: cpu.mems,
        blkio_weight: posture.resources.block_io.as_ref().and_then(|io| io.weight).unwrap_or_default(),
        blkio_weight_device: limits.blkio_weight_device.iter().map(|limit| weight(limit.parts())).collect(),
        blkio_device_read_bps: limits.device_read_bps.iter().map(|limit| rate(limit.parts())).collect(),
        blkio_device_write_bps: limits.device_write_bps.iter().map(|limit| rate(limit.parts())).collect(),
        blkio_device_read_iops: limits.device_read_iops.iter().map(|limit| rate(limit.parts())).collect(),
        blkio_device_write_iops: limits.device_write_iops.iter().map(|limit| rate(limit.parts())).collect(),
        pids_limit: posture.resources.pids.as_ref().and_then(|pids| pids.limit).unwrap_or_default(),
        ulimits: posture.rlimits.iter().map(ulimit).collect(),
        masked_paths: paths(&posture.masked_paths),
        readonly_paths: paths(&posture.readonly_paths),
        ..HostConfig::default()
    }
}

/// What is not the usual of a tmpfs.
fn tmpfs(Tmpfs(mount): &Tmpfs) -> (String, String) {
    let usual = ["noexec", "nosuid", "nodev"];
    let given: Vec<&str> = mount.options.iter().map(String::as_str).filter(|word| !usual.contains(word)).collect();
    (mount.destination.display().to_string(), given.join(","))
}

fn device(flag: &DeviceFlag) -> DeviceMapping {
    DeviceMapping {
        path_on_host: flag.host.display().to_string(),
        path_in_container: flag.container.display().to_string(),
        cgroup_permissions: flag.access.clone(),
    }
}

/// As `--device-cgroup-rule` has it.
fn device_rule(rule: &DeviceRule) -> String {
    let kind = match rule.kind {
        Some(DeviceType::Block) => 'b',
        Some(DeviceType::Character) => 'c',
        _ => 'a',
    };
    let number = |number: Option<i64>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let access = rule.access.as_deref().unwrap_or("rwm");
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

fn weight((path, weight): (&Path, u16)) -> DeviceWeight {
    DeviceWeight { path: path.display().to_string(), weight }
}

fn rate((path, rate): (&Path, u64)) -> DeviceRate {
    DeviceRate { path: path.display().to_string(), rate }
}

fn network_word(mode: &NetworkMode) -> String {
    match mode {
        NetworkMode::None => "none".into(),
        NetworkMode::Bridge => "bridge".into(),
        NetworkMode::Host => "host".into(),
        NetworkMode::Container(id) => format!("container:{id}"),
    }
}

/// As Docker has it: the name as it was given.
fn network_name(attach: &Attach) -> String {
    attach.network.clone()
}

fn extra_host((name, address): &(String, Option<std::net::IpAddr>)) -> String {
    let address = address.map_or_else(|| "host-gateway".to_owned(), |address| address.to_string());
    format!("{name}:{address}")
}

/// What was asked for; a port that is drawn is empty.
fn port_bindings(ports: &[PortRequest]) -> BTreeMap<String, Vec<PortBinding>> {
    let mut all = BTreeMap::<String, Vec<PortBinding>>::new();
    for port in ports {
        let host_port = match port.host_ports {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let host_ip = port.host.map(|host| host.to_string()).unwrap_or_default();
        let key = format!("{}/{}", port.container_port, port.protocol);
        all.entry(key).or_default().push(PortBinding { host_ip, host_port });
    }
    all
}

/// The image's ports, those of `--expose`, and those that are published.
fn exposed_ports(request: &Request, image: &Image) -> BTreeMap<String, Nothing> {
    let published = request.network.ports.iter().map(|port| format!("{}/{}", port.container_port, port.protocol));
    let all = image.config.exposed_ports.iter().chain(&request.exposed).cloned().chain(published);
    all.map(|port| (port, Nothing {})).collect()
}

fn ipc_word(mode: &IpcMode) -> String {
    match mode {
        IpcMode::Private => "private".into(),
        IpcMode::Shareable => "shareable".into(),
        IpcMode::None => "none".into(),
        IpcMode::Host => "host".into(),
        IpcMode::Container(id) => format!("container:{id}"),
    }
}

fn mode_word(mode: &Mode, private: &str) -> String {
    match mode {
        Mode::Private => private.into(),
        Mode::Host => "host".into(),
        Mode::Container(id) => format!("container:{id}"),
    }
}

/// The choices of `--security-opt` that were made, in one spelling.
fn security_words(walls: &Walls) -> Vec<String> {
    let security = &walls.options.security;
    let flag = |set: bool, word: &str| set.then(|| word.to_owned());
    let seccomp = security.seccomp.as_ref().map(|_| format!("seccomp={}", walls.seccomp_word()));
    let profile = walls.profile_name.as_deref().unwrap_or("unconfined");
    let apparmor = security.apparmor.as_ref().map(|_| format!("apparmor={profile}"));
    let flags = [
        flag(security.no_new_privileges, "no-new-privileges"),
        flag(security.writable_cgroups, "writable-cgroups"),
        flag(security.unmask, "systempaths=unconfined"),
    ];
    seccomp.into_iter().chain(apparmor).chain(flags.into_iter().flatten()).collect()
}

fn ulimit(limit: &stockade_spec::Rlimit) -> InspectedUlimit {
    let number = |value: u64| i64::try_from(value).unwrap_or(-1);
    let name = limit.kind.trim_start_matches("RLIMIT_").to_ascii_lowercase();
    InspectedUlimit { name, hard: number(limit.hard), soft: number(limit.soft) }
}

/// `Config`.
pub(crate) fn config(request: &Request, image: &Image, payload: &Payload, parts: &Parts<'_>, hostname: &str) -> Config {
    let own = request.volumes.iter().filter(|volume| volume.name.is_none() && volume.given == Given::Volume);
    let own = own.map(|volume| volume.target.display().to_string()).chain(image.config.volumes.iter().cloned());
    let mut labels = image.config.labels.clone();
    labels.extend(request.labels.clone());
    Config {
        hostname: hostname.to_owned(),
        domainname: request.domainname.clone().unwrap_or_default(),
        user: payload.user.clone(),
        attach_stdin: request.interactive && !request.detached,
        attach_stdout: matches!(request.shown, Shown::Both | Shown::Output) && !request.detached,
        attach_stderr: matches!(request.shown, Shown::Both | Shown::Error) && !request.detached,
        tty: request.terminal,
        open_stdin: request.interactive,
        stdin_once: request.interactive && !request.detached,
        env: parts.environment.clone(),
        cmd: payload.cmd.clone(),
        image: image.reference.familiar(),
        volumes: own.map(|target| (target, Nothing {})).collect(),
        exposed_ports: exposed_ports(request, image),
        working_dir: payload.cwd.clone(),
        entrypoint: payload.entrypoint.clone(),
        on_build: None,
        labels,
        stop_signal: request.ending.signal.clone().unwrap_or_else(|| image.config.stop_signal.clone()),
        stop_timeout: request.ending.timeout,
        healthcheck: payload.health.clone(),
        shell: image.config.shell.clone(),
    }
}

/// What confines it.
pub(crate) fn confinement(walls: &Walls, cgroup: &str) -> Confinement {
    let posture = &walls.posture;
    let sets = &posture.capabilities;
    let set = |name: &str, set: &[String]| (name.to_owned(), set.to_vec());
    let new = posture.namespaces.iter().map(|namespace| (kind_word(namespace.kind).to_owned(), "private".to_owned()));
    let joined = walls.joined.iter();
    let joined = joined.map(|joined| (kind_word(joined.kind).to_owned(), format!("container:{}", joined.container)));
    let digest = |filter: &serde_json::value::RawValue| {
        let bytes = Sha256::digest(filter.get().as_bytes());
        bytes.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    };
    Confinement {
        notices: walls.notices(),
        app_armor: walls.profile_name.clone().unwrap_or_else(|| "unconfined".into()),
        seccomp: walls.seccomp_word(),
        seccomp_digest: walls.filter.as_deref().map(digest).unwrap_or_default(),
        capabilities: BTreeMap::from([
            set("bounding", &sets.bounding),
            set("permitted", &sets.permitted),
            set("effective", &sets.effective),
            set("inheritable", &sets.inheritable),
            set("ambient", &sets.ambient),
        ]),
        no_new_privileges: posture.no_new_privileges,
        namespaces: new.chain(joined).collect(),
        cgroup: cgroup.to_owned(),
        monitor: 0,
        troubles: Vec::new(),
        cause: None,
    }
}
