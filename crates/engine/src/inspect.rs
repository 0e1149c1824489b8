//! `inspect`: all that is known of a container, in the shape that Docker gives it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stockade_images::HealthCheck;
use stockade_monitor::health::Health;
use stockade_storage::ContainerRoot;

use crate::container::{ContainerError, View};
use crate::files::FileError;
pub use crate::host_config::{
    DeviceMapping, DeviceRate, DeviceWeight, HostConfig, InspectedRestart, InspectedUlimit, LogConfig,
};
use crate::{ContainerId, Engine, State};
use stockade_monitor::cause::Cause;

/// A container in Docker's words; what Docker does not have is in [`Inspection::stockade`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspection {
    /// The whole id.
    pub id: String,
    /// When it was made.
    pub created: String,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where it is in its life.
    pub state: InspectedState,
    /// The image's id, or its name if it has no id.
    pub image: String,
    /// `/` and the name, as Docker has it.
    pub name: String,
    /// How many times it was started again since somebody started it.
    pub restart_count: u32,
    /// The log's file; empty without one.
    pub log_path: String,
    /// Files of the host that are mounted in the container.
    pub resolv_conf_path: String,
    /// The same.
    pub hostname_path: String,
    /// The same.
    pub hosts_path: String,
    /// The AppArmor profile; empty if there is none.
    pub app_armor_profile: String,
    /// Of SELinux: there is none.
    #[serde(skip_deserializing)]
    pub mount_label: &'static str,
    /// The same.
    #[serde(skip_deserializing)]
    pub process_label: &'static str,
    /// The processes that `exec` runs in it; Docker has `null` for none.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    /// What it runs on.
    #[serde(default)]
    pub platform: String,
    /// How its root is made.
    #[serde(default)]
    pub driver: String,
    /// Of what its root is made.
    #[serde(default)]
    pub graph_driver: GraphDriver,
    /// The bytes that the disk holds for what it wrote, where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<u64>,
    /// The same with its image's layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<u64>,
    /// What was asked for of the host.
    pub host_config: HostConfig,
    /// What was asked for of the inside.
    pub config: Config,
    /// Folders and files of the host in the container.
    pub mounts: Vec<MountPoint>,
    /// What it has of networks.
    #[serde(default)]
    pub network_settings: crate::network::settings::NetworkSettings,
    /// What confines it, and what does not.
    pub stockade: Confinement,
}

/// `GraphDriver`. The root itself is mounted where the host does not see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver {
    /// How the root is made.
    pub name: String,
    /// Its folders on the host: `LowerDir`, topmost first, `UpperDir` and `WorkDir`.
    pub data: BTreeMap<String, String>,
}

impl GraphDriver {
    fn of(folder: &Path, lowers: &[PathBuf]) -> Self {
        let root = ContainerRoot::at(folder);
        let lowers: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
        let data = [
            ("LowerDir", lowers.join(":")),
            ("UpperDir", root.upper.display().to_string()),
            ("WorkDir", root.work.display().to_string()),
        ];
        let data = data.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        Self { name: DRIVER.to_owned(), data }
    }
}

/// `State`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedState {
    /// Docker's word.
    pub status: String,
    /// Whether its program runs.
    pub running: bool,
    /// Whether it is frozen.
    pub paused: bool,
    /// Whether it is being restarted.
    pub restarting: bool,
    /// Whether the kernel killed a process of it for want of memory, in its last run.
    #[serde(rename = "OOMKilled", default)]
    pub oom_killed: bool,
    /// Whether its removal failed.
    pub dead: bool,
    /// The host's id of its first process; 0 if it does not run.
    pub pid: i32,
    /// Its last exit code.
    pub exit_code: u8,
    /// What went wrong.
    pub error: String,
    /// When it was started last; Docker's zero time if never.
    pub started_at: String,
    /// When it ended last; Docker's zero time if never.
    pub finished_at: String,
    /// What its health check has found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// `Config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// The host name in the container.
    pub hostname: String,
    /// `--domainname`.
    #[serde(default)]
    pub domainname: String,
    /// `--user`, or the image's.
    pub user: String,
    /// Whether who starts it in the foreground gives it input.
    #[serde(default)]
    pub attach_stdin: bool,
    /// Whether he gets its standard output.
    #[serde(default)]
    pub attach_stdout: bool,
    /// Whether he gets its standard error.
    #[serde(default)]
    pub attach_stderr: bool,
    /// `--tty`.
    pub tty: bool,
    /// `--interactive`.
    pub open_stdin: bool,
    /// Whether standard input ends with the first client.
    pub stdin_once: bool,
    /// The whole environment.
    pub env: Vec<String>,
    /// The command after the entrypoint.
    pub cmd: Vec<String>,
    /// The image, as it was asked for.
    pub image: String,
    /// Where the image or `--volume` wants volumes of the container's own.
    #[serde(default)]
    pub volumes: BTreeMap<String, Nothing>,
    /// The working directory.
    pub working_dir: String,
    /// The entrypoint.
    pub entrypoint: Vec<String>,
    /// What a build on top of the image does first: nothing of a container's.
    #[serde(skip_deserializing)]
    pub on_build: Option<Nothing>,
    /// The image's labels and `--label`.
    pub labels: BTreeMap<String, String>,
    /// What `stop` sends first.
    pub stop_signal: String,
    /// Seconds that `stop` waits; negative means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The health check: the image's and `--health-cmd` with its like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    /// The image's shell, which health checks are run by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Ports that the image or `--expose` names, such as `80/tcp`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Nothing>,
}

/// An empty object, which Docker has where a set is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// One of `Mounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    /// `bind` or `volume`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The volume's name; empty for others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// On the host.
    pub source: String,
    /// In the container.
    pub destination: String,
    /// The volume's driver; empty for others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The options as they were given.
    pub mode: String,
    /// Whether the container may write it.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// How mounts below it appear on the other side.
    pub propagation: String,
    /// `disabled` if mounts below its source did not come along; Docker has that among the options only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bind_recursive: String,
}

/// What confines a container: what the engine asked the runtime for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Confinement {
    /// Degradations and deprecated spellings, each one line.
    pub notices: Vec<String>,
    /// The AppArmor profile, or `unconfined`.
    pub app_armor: String,
    /// `builtin`, `unconfined`, or the profile's file, or `inline`.
    pub seccomp: String,
    /// `sha256:` and the digest of the filter's OCI form, as `config.json` has it; empty without a filter.
    pub seccomp_digest: String,
    /// The five capability sets by name.
    pub capabilities: BTreeMap<String, Vec<String>>,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// The namespaces of the container's own, and those that it joins.
    pub namespaces: BTreeMap<String, String>,
    /// The cgroup's path.
    pub cgroup: String,
    /// The host's id of the monitor; 0 if none lives.
    pub monitor: i32,
    /// What went wrong without stopping the container, such as output that is lost to its log: a time and a sentence each.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// Why it ended.
    #[serde(default)]
    pub cause: Option<Death>,
}

/// Why a container could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Its networks.
    #[error(transparent)]
    Network(#[from] crate::network::NetworksError),
}

/// How roots of containers are made.
pub(crate) const DRIVER: &str = "overlayfs";

/// Docker's time for what has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Why a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Death {
    /// In one line.
    pub summary: String,
    /// What is known of it.
    pub details: Cause,
}

impl Death {
    fn of(details: Cause) -> Self {
        Self { summary: details.to_string(), details }
    }
}

/// All that is known of the container.
///
/// # Errors
/// See [`InspectError`].
pub fn inspect(engine: &Engine, id: &ContainerId) -> Result<Inspection, InspectError> {
    let view = engine.view(id)?;
    let troubles = engine.folder(id)?.troubles()?;
    let health = crate::health::found(&engine.folder(id)?, view.record.config.healthcheck.as_ref())?;
    let state = InspectedState { health, ..state(&view) };
    let mut network_settings = engine.network_settings(&engine.folder(id)?, view.pid)?;
    network_settings.add_fixed(&view.record.host_config.network_mode);
    let cause = view.life.end.as_ref().and_then(|end| end.cause.clone()).filter(|_| view.life.state == State::Exited);
    let exec_ids = exec_ids(engine, id, &view)?;
    let record = view.record;
    let folder = engine.containers().join(id.as_str());
    let path = |name: &str| folder.join(name).display().to_string();
    let log_path = record.log_path(&folder).map(|path| path.display().to_string()).unwrap_or_default();
    let mut command = record.command.into_iter();
    let profile = record.confinement.app_armor.clone();
    Ok(Inspection {
        id: record.id.to_string(),
        created: record.created,
        path: command.next().unwrap_or_default(),
        args: command.collect(),
        state,
        image: record.image.id.clone().unwrap_or_else(|| record.image.reference.clone()),
        name: format!("/{}", record.name),
        restart_count: view.restarts,
        log_path,
        resolv_conf_path: path("resolv.conf"),
        hostname_path: path("hostname"),
        hosts_path: path("hosts"),
        mount_label: "",
        process_label: "",
        app_armor_profile: if profile == "unconfined" { String::new() } else { profile },
        exec_ids,
        platform: std::env::consts::OS.to_owned(),
        driver: DRIVER.to_owned(),
        graph_driver: GraphDriver::of(&folder, &record.image.lowers),
        size_rw: None,
        size_root_fs: None,
        host_config: record.host_config,
        config: record.config,
        mounts: record.mounts,
        network_settings,
        stockade: Confinement {
            monitor: view.monitor.unwrap_or_default(),
            troubles,
            cause: cause.map(Death::of),
            ..record.confinement
        },
    })
}

/// The processes that `exec` runs.
fn exec_ids(engine: &Engine, id: &ContainerId, view: &View) -> Result<Option<Vec<String>>, ContainerError> {
    if view.pid.is_none() {
        return Ok(None);
    }
    let folder = engine.folder(id)?;
    let running = crate::exec::running(&folder);
    let running = running.map_err(FileError::at("read", folder.path.join(stockade_monitor::exec::FOLDER)))?;
    Ok(Some(running).filter(|ids| !ids.is_empty()))
}

fn state(view: &View) -> InspectedState {
    let end = view.life.end.clone().unwrap_or_default();
    let time = |time: Option<String>| time.unwrap_or_else(|| NEVER.into());
    InspectedState {
        status: view.life.state.docker().into(),
        running: view.life.state.is_up(),
        paused: view.life.state == State::Paused,
        restarting: view.life.state == State::Restarting,
        oom_killed: end.cause.as_ref().is_some_and(Cause::out_of_memory),
        dead: false,
        pid: view.pid.unwrap_or_default(),
        exit_code: end.code,
        error: end.error.unwrap_or_default(),
        started_at: time(end.started),
        finished_at: time(end.finished),
        health: None,
    }
}
