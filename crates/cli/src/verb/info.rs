//! `info`: the machine, as far as it bears on containers, in Docker's shape.

use clap::Args;
use serde_json::{Map, Value, json};
use stockade_engine::Info as Machine;
use stockade_engine::images::registry::RegistryOptions;

use crate::exit::{Failure, NO_TEMPLATE, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::size;
use crate::show::template::{Filling, Template};

/// What there is of each kind. There is nothing to plug in.
const VOLUMES: [&str; 1] = ["local"];
const NETWORKS: [&str; 4] = ["bridge", "host", "macvlan", "null"];
const LOGS: [&str; 3] = ["journald", "json-file", "none"];
/// The log driver without `--log-driver`.
const LOGGING: &str = "json-file";
/// The registry of names without a host.
const INDEX: &str = "https://index.docker.io/v1/";
/// Registries that are always asked as insecure ones.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// Print what this machine offers to containers, and which walls it cannot make
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A Go template, such as '{{.CgroupVersion}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl Info {
    /// Prints it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let format = self.format.as_deref().filter(|format| !format.is_empty());
        let template = format.filter(|format| *format != "json").map(Template::parse);
        let template = template.transpose().map_err(|error| Failure::of(NO_TEMPLATE, &error))?;
        let machine = stockade_engine::info(&global.engine()?).map_err(|error| Failure::failed(&error))?;
        let registries = global.registry_options()?;
        match (format, template) {
            (None, _) => {
                lines(&machine, &registries).iter().try_for_each(|line| say::line(line))?;
                warnings(&machine).iter().for_each(|warning| say::warning(warning));
            }
            (Some(_), None) => say::line(&fields(&machine, &registries).to_string())?,
            (Some(_), Some(template)) => {
                let filled = template.fill(&Filling::of(fields(&machine, &registries)));
                say::line(&filled.map_err(|error| Failure::failed(&error))?)?;
            }
        }
        Ok(SUCCESS)
    }
}

/// Which of the usual walls this machine cannot make, and which limits it cannot keep, the latter in Docker's words.
fn warnings(machine: &Machine) -> Vec<String> {
    let limits = &machine.limits;
    let apparmor = machine.apparmor_degradation.iter().map(|reason| match reason.starts_with("no AppArmor") {
        true => reason.clone(),
        false => format!("no AppArmor: {reason}"),
    });
    let time = (!machine.time_namespace).then(|| "no time namespaces: this kernel has none".to_owned());
    let missing = [
        (limits.memory, "No memory limit support"),
        (limits.swap, "No swap limit support"),
        (limits.cpu_quota, "No cpu cfs quota support"),
        (limits.cpu_quota, "No cpu cfs period support"),
        (limits.cpu_shares, "No cpu shares support"),
        (limits.cpuset, "No cpuset support"),
        (limits.pids, "No pids limit support"),
    ];
    let missing = missing.into_iter().filter(|(there, _)| !there).map(|(_, text)| text.to_owned());
    let rootless = (!machine.groups).then(|| {
        "No control groups without root: no limits, no device rules, and no pause (stockade doctor tells more)"
            .to_owned()
    });
    apparmor.chain(time).chain(rootless).chain(missing).collect()
}

/// What confines containers that are made without an option, in Docker's words.
fn security(machine: &Machine) -> Vec<&'static str> {
    let apparmor = machine.apparmor_degradation.is_none().then_some("name=apparmor");
    let users = if machine.rootless { "name=rootless" } else { "name=userns" };
    apparmor.into_iter().chain(["name=seccomp,profile=builtin", users, "name=cgroupns"]).collect()
}

/// The runtime's name, by which `--runtime` finds it.
fn runtime_name(machine: &Machine) -> String {
    machine.runtime.file_name().unwrap_or(machine.runtime.as_os_str()).to_string_lossy().into_owned()
}

/// For people.
fn lines(machine: &Machine, registries: &RegistryOptions) -> Vec<String> {
    let runtime = match &machine.runtime_version {
        Ok(version) => version.clone(),
        Err(reason) => format!("does not answer: {reason}"),
    };
    let yes = |is: bool| if is { "yes" } else { "no" };
    let mut lines = vec![
        "Client: Stockade".to_owned(),
        format!(" Version:    {}", machine.version),
        String::new(),
        "Server:".to_owned(),
        format!(" Containers: {}", machine.running + machine.paused + machine.stopped),
        format!("  Running: {}", machine.running),
        format!("  Paused: {}", machine.paused),
        format!("  Stopped: {}", machine.stopped),
        format!(" Images: {}", machine.images),
        format!(" Server Version: {}", machine.version),
        format!(" Storage Driver: {}", machine.storage),
        format!("  Backing Filesystem: {}", machine.data_filesystem),
        format!(" Logging Driver: {LOGGING}"),
        format!(" Cgroup Driver: {}", machine.cgroup_driver.name()),
        format!(" Cgroup Version: {}", machine.cgroup_version),
        " Plugins:".to_owned(),
        format!("  Volume: {}", VOLUMES.join(" ")),
        format!("  Network: {}", NETWORKS.join(" ")),
        format!("  Log: {}", LOGS.join(" ")),
        format!(" Runtimes: {}", runtime_name(machine)),
        format!(" Default Runtime: {}", runtime_name(machine)),
        format!(" Init Binary: {}", machine.init.display()),
        format!(" OCI Runtime: {} ({runtime})", machine.runtime.display()),
        " Security Options:".to_owned(),
    ];
    for option in security(machine) {
        let mut parts = option.trim_start_matches("name=").split(',');
        lines.push(format!("  {}", parts.next().unwrap_or_default()));
        lines.extend(parts.filter_map(|part| part.split_once('=')).map(|(_, value)| format!("   Profile: {value}")));
    }
    lines.extend([
        format!(" Security Modules: {}", machine.security_modules.join(" ")),
        format!(" Seccomp Actions: {}", machine.seccomp_actions.join(" ")),
        format!(" Time Namespaces: {}", yes(machine.time_namespace)),
        format!(" Kernel Version: {}", machine.kernel),
        format!(" Operating System: {}", machine.operating_system),
        format!(" OSType: {}", std::env::consts::OS),
        format!(" Architecture: {}", machine.architecture),
        format!(" CPUs: {}", machine.processors),
        format!(" Total Memory: {}", size::binary(machine.memory)),
        format!(" Name: {}", machine.hostname),
        format!(" Data Root Dir: {}", machine.data.display()),
        format!(" Exec Root Dir: {}", machine.exec.display()),
        " Insecure Registries:".to_owned(),
    ]);
    lines.extend(registries.insecure.iter().map(String::as_str).chain(LOOPBACK).map(|one| format!("  {one}")));
    if !registries.mirrors.is_empty() {
        lines.push(" Registry Mirrors:".to_owned());
        lines.extend(registries.mirrors.iter().map(|one| format!("  {one}")));
    }
    lines
}

/// For programs; Docker's names where Docker has one. What there is none of, such as Docker's `ID`, is not there.
fn fields(machine: &Machine, registries: &RegistryOptions) -> Value {
    let parts =
        [kept_fields(machine), machine_fields(machine), engine_fields(machine, registries), own_fields(machine)];
    let all = parts.iter().filter_map(Value::as_object).flatten();
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What is kept.
fn kept_fields(machine: &Machine) -> Value {
    json!({
        "Containers": machine.running + machine.paused + machine.stopped,
        "ContainersRunning": machine.running,
        "ContainersPaused": machine.paused,
        "ContainersStopped": machine.stopped,
        "Images": machine.images,
        "Driver": machine.storage,
        "DriverStatus": [["Backing Filesystem", machine.data_filesystem]],
        "DockerRootDir": machine.data.display().to_string(),
    })
}

/// The machine.
fn machine_fields(machine: &Machine) -> Value {
    let limits = &machine.limits;
    json!({
        "MemoryLimit": limits.memory,
        "SwapLimit": limits.swap,
        "OomKillDisable": limits.oom_kill_disable,
        "CpuCfsPeriod": limits.cpu_quota,
        "CpuCfsQuota": limits.cpu_quota,
        "CPUShares": limits.cpu_shares,
        "CPUSet": limits.cpuset,
        "PidsLimit": limits.pids,
        "IPv4Forwarding": machine.ipv4_forwarding,
        "CgroupVersion": machine.cgroup_version.to_string(),
        "KernelVersion": machine.kernel,
        "OperatingSystem": machine.operating_system,
        "OSVersion": machine.os_version,
        "OSType": std::env::consts::OS,
        "Architecture": machine.architecture,
        "NCPU": machine.processors,
        "MemTotal": machine.memory,
        "Name": machine.hostname,
        "SystemTime": jiff::Timestamp::now().to_string(),
    })
}

/// The engine.
fn engine_fields(machine: &Machine, registries: &RegistryOptions) -> Value {
    let insecure = registries.insecure.iter().map(|name| {
        let index = json!({ "Name": name, "Mirrors": [], "Secure": false, "Official": false });
        (name.clone(), index)
    });
    json!({
        "ServerVersion": machine.version,
        "ClientInfo": { "Version": machine.version },
        "Plugins": { "Volume": VOLUMES, "Network": NETWORKS, "Authorization": null, "Log": LOGS },
        "LoggingDriver": LOGGING,
        "CgroupDriver": machine.cgroup_driver.name(),
        "IndexServerAddress": INDEX,
        "RegistryConfig": {
            "InsecureRegistryCIDRs": LOOPBACK,
            "IndexConfigs": insecure.collect::<Map<_, _>>(),
            "Mirrors": registries.mirrors,
        },
        "Runtimes": { runtime_name(machine): { "path": machine.runtime.display().to_string() } },
        "DefaultRuntime": runtime_name(machine),
        "InitBinary": machine.init.display().to_string(),
        "SecurityOptions": security(machine),
        "Swarm": { "LocalNodeState": "inactive" },
        "Labels": [],
        "Debug": false,
        "Warnings": warnings(machine),
    })
}

/// What Docker does not tell.
fn own_fields(machine: &Machine) -> Value {
    json!({
        "BackingFilesystem": machine.data_filesystem,
        "DataRoot": machine.data.display().to_string(),
        "ExecRoot": machine.exec.display().to_string(),
        "Runtime": machine.runtime.display().to_string(),
        "RuntimeVersion": machine.runtime_version.as_ref().unwrap_or_else(|reason| reason),
        "SecurityModules": machine.security_modules,
        "AppArmor": machine.apparmor_degradation.is_none(),
        "SeccompActions": machine.seccomp_actions,
        "TimeNamespaces": machine.time_namespace,
    })
}
