//! What the engine remembers of a container: `record.json`, which is written once, and `life.json`, which changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use stockade_images::HealthCheck;
use stockade_monitor::cause::Cause;
use stockade_monitor::state::Phase;
use stockade_spec::{IdMapping, NamespaceType};
use stockade_storage::volumes::VolumeName;

use crate::inspect::{Config, Confinement, HostConfig, MountPoint};
use crate::lifecycle::{Event, Refused, State};
use crate::{ContainerId, ContainerName};

/// The version of both files.
pub(crate) const VERSION: u32 = 1;

/// A file that says of which version it is.
pub(crate) trait Versioned {
    fn version(&self) -> u32;
}

impl Versioned for Record {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for Life {
    fn version(&self) -> u32 {
        self.version
    }
}

/// What a container is: written when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) id: ContainerId,
    pub(crate) name: ContainerName,
    /// RFC 3339, UTC.
    pub(crate) created: String,
    pub(crate) image: ImageRecord,
    /// The program and its arguments, without the init that may be put before it.
    pub(crate) command: Vec<String>,
    pub(crate) host_config: HostConfig,
    pub(crate) config: Config,
    pub(crate) mounts: Vec<MountPoint>,
    #[serde(default)]
    pub(crate) volumes: Vec<VolumeUse>,
    pub(crate) confinement: Confinement,
    pub(crate) apparmor: Profile,
    pub(crate) joined: Vec<Joined>,
    /// The id mapping of its user namespace; empty without one.
    pub(crate) uid_mappings: Vec<IdMapping>,
    pub(crate) gid_mappings: Vec<IdMapping>,
}

/// What `ps` shows of a [`Record`], which must have the same keys. The values of the others are passed over: where containers are many, to read
/// them is most of the work.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Short {
    version: u32,
    pub(crate) id: ContainerId,
    pub(crate) name: ContainerName,
    pub(crate) created: String,
    pub(crate) image: ShortImage,
    pub(crate) command: Vec<String>,
    pub(crate) host_config: ShortHostConfig,
    pub(crate) config: ShortConfig,
    pub(crate) mounts: Vec<MountPoint>,
    #[serde(default, rename = "volumes")]
    _volumes: IgnoredAny,
    #[serde(rename = "confinement")]
    _confinement: IgnoredAny,
    #[serde(rename = "apparmor")]
    _apparmor: IgnoredAny,
    #[serde(rename = "joined")]
    _joined: IgnoredAny,
    #[serde(rename = "uid_mappings")]
    _uid_mappings: IgnoredAny,
    #[serde(rename = "gid_mappings")]
    _gid_mappings: IgnoredAny,
}

/// The same of an [`ImageRecord`].
#[derive(Debug, Deserialize)]
pub(crate) struct ShortImage {
    pub(crate) reference: String,
    pub(crate) id: Option<String>,
}

/// The same of a [`HostConfig`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShortHostConfig {
    pub(crate) network_mode: String,
    #[serde(default)]
    pub(crate) port_bindings: BTreeMap<String, IgnoredAny>,
    pub(crate) auto_remove: bool,
}

/// The same of a [`Config`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShortConfig {
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) exposed_ports: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    pub(crate) healthcheck: Option<HealthCheck>,
}

impl Versioned for Short {
    fn version(&self) -> u32 {
        self.version
    }
}

/// The log's file.
pub(crate) const LOG: &str = "container-json.log";

impl Record {
    /// Where the container's log is, if it keeps one.
    pub(crate) fn log_path(&self, folder: &Path) -> Option<PathBuf> {
        (self.host_config.log_config.kind == crate::logging::JSON_FILE).then(|| folder.join(LOG))
    }
}

/// The image that a container was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageRecord {
    /// As it was asked for.
    pub(crate) reference: String,
    /// The digest of its configuration.
    pub(crate) id: Option<String>,
    /// Its layers' folders, topmost first.
    pub(crate) lowers: Vec<PathBuf>,
}

/// The AppArmor profile, as far as it has to be loaded again before each start: a reboot forgets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    Unconfined,
    Own,
    /// Loaded by somebody else.
    Loaded(String),
    File(PathBuf),
}

/// A volume that the container has: as long as the record is there, nobody takes it away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VolumeUse {
    pub(crate) name: VolumeName,
    /// Whether it was made for this container alone, without a name of the user's.
    pub(crate) anonymous: bool,
    /// What of it is mounted, if not all.
    pub(crate) subpath: Option<PathBuf>,
}

/// A namespace of another container's that this one joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Joined {
    pub(crate) kind: NamespaceType,
    pub(crate) container: ContainerId,
}

/// Where a container is in its life, as far as the engine has written it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Life {
    pub(crate) version: u32,
    pub(crate) state: State,
    pub(crate) end: Option<End>,
}

/// How a container ended, or why it did not start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) code: u8,
    pub(crate) error: Option<String>,
    pub(crate) started: Option<String>,
    pub(crate) finished: Option<String>,
    /// Why, as far as its monitor could tell.
    #[serde(default)]
    pub(crate) cause: Option<Cause>,
}

/// Docker's exit code of a container that was killed, which a lost one is.
const KILLED: u8 = 137;

impl Life {
    /// Of a container that was never started.
    pub(crate) fn new() -> Self {
        Self { version: VERSION, state: State::Created, end: None }
    }

    /// After somebody started it.
    pub(crate) fn starting(&self) -> Result<Self, Refused> {
        Ok(Self { version: VERSION, state: self.state.after(Event::Start)?, end: None })
    }

    /// With what its monitor has written since: that counts only while the engine has not written the end down.
    pub(crate) fn with(&self, phase: Option<&Phase>) -> Result<Self, Refused> {
        let (events, end): (&[Event], _) = match phase {
            _ if self.state != State::Starting => return Ok(self.clone()),
            None | Some(Phase::Created { .. }) => (&[], None),
            Some(Phase::Running { started, .. }) => {
                (&[Event::Started], Some(End { started: Some(started.clone()), ..End::default() }))
            }
            Some(Phase::Exited { code, started, finished, error, cause, .. }) => {
                let (started, finished) = (Some(started.clone()), Some(finished.clone()));
                let end = End { code: *code, error: error.clone(), started, finished, cause: cause.clone() };
                (&[Event::Started, Event::Ended], Some(end))
            }
            Some(Phase::Restarting { code, started, finished, cause, .. }) => {
                let (started, finished) = (Some(started.clone()), Some(finished.clone()));
                let end = End { code: *code, error: None, started, finished, cause: cause.clone() };
                (&[Event::Started, Event::EndedForNow], Some(end))
            }
            Some(Phase::Failed { code, error }) => {
                (&[Event::StartFailed], Some(End { code: *code, error: Some(error.clone()), ..End::default() }))
            }
        };
        let state = events.iter().try_fold(self.state, |state, event| state.after(*event))?;
        Ok(Self { version: VERSION, state, end })
    }

    /// Whether there must be a monitor.
    pub(crate) fn needs_monitor(&self) -> bool {
        self.state == State::Starting || self.state.is_up()
    }

    /// After its monitor was found dead at `now`.
    pub(crate) fn lost(&self, now: String) -> Result<Self, Refused> {
        let state = self.state.after(Event::MonitorLost)?;
        let before = self.end.clone().unwrap_or_default();
        let (code, error) = match self.state {
            State::Starting => (KILLED, "its start was interrupted"),
            State::Restarting => (before.code, "its monitor was killed before it was started again"),
            _ => (KILLED, "its monitor was killed, and the container with it"),
        };
        let finished = before.finished.or(Some(now));
        let end = End { code, error: Some(error.into()), started: before.started, finished, cause: None };
        Ok(Self { version: VERSION, state, end: Some(end) })
    }

    /// While its processes stand still.
    pub(crate) fn paused(&self) -> Result<Self, Refused> {
        Ok(Self { state: self.state.after(Event::Pause)?, ..self.clone() })
    }

    /// After it could not be started.
    pub(crate) fn failed(&self, code: u8, error: String) -> Result<Self, Refused> {
        let end = End { code, error: Some(error), ..End::default() };
        Ok(Self { version: VERSION, state: self.state.after(Event::StartFailed)?, end: Some(end) })
    }
}

/// The present time as records have it: RFC 3339 with nanoseconds, UTC.
pub(crate) fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Phase {
        Phase::Running { pid: 7, started: "then".into() }
    }

    fn exited() -> Phase {
        let (started, finished) = ("then".into(), "later".into());
        Phase::Exited { code: 3, signal: None, started, finished, error: None, cause: None }
    }

    #[test]
    fn the_monitors_word_counts_from_the_start_until_the_end_is_written_down() {
        let created = Life::new();
        assert_eq!(created.with(Some(&exited())).unwrap(), created, "an old file of an earlier run");
        let starting = created.starting().unwrap();
        let states = |phase: Option<Phase>| starting.with(phase.as_ref()).unwrap().state;
        assert_eq!(states(None), State::Starting);
        assert_eq!(states(Some(Phase::Created { pid: 7 })), State::Starting);
        assert_eq!(states(Some(running())), State::Running);
        assert_eq!(states(Some(exited())), State::Exited);
        assert_eq!(states(Some(Phase::Failed { code: 127, error: "no".into() })), State::Failed);
        let end = starting.with(Some(&exited())).unwrap();
        assert_eq!(end.end.as_ref().map(|end| end.code), Some(3));
        assert_eq!(end.with(Some(&running())).unwrap(), end);
        assert_eq!(end.starting().unwrap(), starting);
    }

    #[test]
    fn a_lost_monitor_is_an_end_by_kill_or_a_start_that_failed() {
        let starting = Life::new().starting().unwrap();
        assert!(starting.needs_monitor());
        assert_eq!(starting.lost("now".into()).unwrap().state, State::Failed);
        let lost = starting.with(Some(&running())).unwrap().lost("now".into()).unwrap();
        assert_eq!(lost.state, State::Exited);
        let end = lost.end.unwrap();
        assert_eq!((end.code, end.started.as_deref(), end.finished.as_deref()), (137, Some("then"), Some("now")));
        assert!(Life::new().lost("now".into()).is_err());
        let (started, finished) = ("then".into(), "later".into());
        let waits = Phase::Restarting { code: 3, signal: None, started, finished, cause: None };
        let waits = starting.with(Some(&waits)).unwrap();
        assert!(waits.state == State::Restarting && waits.needs_monitor() && waits.paused().is_err());
        let lost = waits.lost("now".into()).unwrap();
        let end = lost.end.unwrap();
        assert_eq!((lost.state, end.code, end.finished.as_deref()), (State::Exited, 3, Some("later")));
    }

    #[test]
    fn times_are_of_one_width() {
        let now = now();
        assert_eq!((now.len(), now.ends_with('Z')), ("2026-01-01T00:00:00.000000000Z".len(), true), "{now}");
    }
}
