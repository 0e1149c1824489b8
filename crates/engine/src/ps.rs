//! `ps`: the containers in short.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::fd::AsFd;
use serde::{Deserialize, Serialize};

use crate::container::{ContainerError, Folder, RESTARTING, View};
use crate::files::FileError;
use crate::inspect::MountPoint;
use crate::lifecycle::State;
use crate::listed::{self, Stamp};
use crate::network::connections::{Connection, Connections};
use crate::network::wanted::{FILE, Wanted};
use crate::record::Short;
use crate::{ContainerId, Engine, OwnVolumes};
use stockade_kernel::chain::chain;
use stockade_monitor::health::Status;

/// From how many containers on another thread is worth its while.
const MANY: usize = 64;

/// How long those that lost their monitor, or were to remove themselves, keep the others from being listed.
const SETTLING: Duration = Duration::from_secs(2);

/// A container in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: ContainerId,
    /// Its name; empty if its record is damaged.
    pub name: String,
    /// The image's name, as it was asked for.
    pub image: String,
    /// The id of the image, if it has one.
    pub image_id: Option<String>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    /// Where it is in its life.
    pub state: State,
    /// The host's id of its first process, while it runs.
    pub pid: Option<i32>,
    /// Docker's exit code, once it has ended or failed.
    pub exit_code: Option<u8>,
    /// What went wrong, if something did.
    pub error: Option<String>,
    /// When it was last started.
    pub started: Option<String>,
    /// When it ended.
    pub finished: Option<String>,
    /// Why it ended, in one line, as far as that is known.
    pub cause: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What is mounted in it.
    pub mounts: Vec<MountPoint>,
    /// Its networks.
    #[serde(skip)]
    pub networks: Vec<Connection>,
    /// The ports that are published or named, as Docker shows them.
    pub ports: String,
    /// The ports of its own that were to be published, such as `80/tcp`, whether it runs or not.
    pub published: BTreeSet<String>,
    /// Those that the image, `--expose` or `--publish` named.
    pub exposed: BTreeSet<String>,
    /// What its health check has found in its last run, if it has one.
    pub health: Option<Status>,
    /// Why it could not be read or settled: then most of the rest is empty.
    pub damaged: Option<String>,
}

/// Which containers are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that run.
    Running,
    /// All.
    All,
}

/// Why containers could not be listed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ListError(#[from] FileError);

/// The containers, the newest first. One that lost its monitor is settled on the way, and one that was to remove itself and could
/// not is removed. One that cannot be read is listed with its id and the reason, if all are asked for.
///
/// # Errors
/// If the folder of containers cannot be read.
pub fn list(engine: &Engine, which: Which) -> Result<Vec<Summary>, ListError> {
    let mut connections = Connections::new(engine);
    let mut all = Vec::new();
    let looked = look_at_all(engine, engine.ids()?);
    let deadline = Instant::now() + SETTLING;
    for Looked { id, found, .. } in looked {
        match found.and_then(|found| one(engine, &id, found, &mut connections, deadline)) {
            Ok(Some(summary)) => all.push(summary),
            Ok(None) | Err(ContainerError::Missing(_)) => {}
            Err(error) => all.push(Box::new(damaged(id, &error))),
        }
    }
    all.retain(|summary| which == Which::All || summary.state.is_up());
    all.sort_by(|one, other| (&other.created, &other.id).cmp(&(&one.created, &one.id)));
    Ok(all.into_iter().map(|summary| *summary).collect())
}

/// What files say of a container, read without waiting for anybody. Of many containers no more is held than is shown.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Without its networks. Boxed, as it is handed on and sorted with thousands.
    summary: Box<Summary>,
    /// Whether something is to be done about it first.
    untidy: bool,
    /// Its `NetworkMode`.
    mode: String,
    /// `None` if it is on no network, or if that cannot be read, which `inspect` tells.
    wanted: Option<Box<Wanted>>,
}

impl Found {
    /// Whose it is.
    pub(crate) fn id(&self) -> &ContainerId {
        &self.summary.id
    }

    /// Whether it stays as it is until somebody does something to it.
    fn rests(&self) -> bool {
        !self.untidy && matches!(self.summary.state, State::Created | State::Exited | State::Failed)
    }
}

/// What was found of a container, and in which state of its folder if it is the same as long as that is.
#[derive(Debug)]
struct Looked {
    id: ContainerId,
    stamp: Option<Stamp>,
    found: Result<Found, ContainerError>,
}

impl Looked {
    fn kept(&self) -> Option<(Stamp, &Found)> {
        self.stamp.zip(self.found.as_ref().ok())
    }
}

/// Looks at all containers. Where they are many, only at those of which it is not known what would be seen.
fn look_at_all(engine: &Engine, ids: Vec<ContainerId>) -> Vec<Looked> {
    if ids.len() < MANY {
        return look_at(engine, ids);
    }
    let (known, unknown) = listed::known(engine, ids);
    let mut all = look_at_many(engine, unknown);
    let news = all.iter().filter_map(Looked::kept).count();
    let known = known.into_iter();
    all.extend(known.map(|(stamp, found)| Looked { id: found.id().clone(), stamp: Some(stamp), found: Ok(found) }));
    if news >= MANY {
        listed::keep(engine, all.iter().filter_map(Looked::kept));
    }
    all
}

fn look_at(engine: &Engine, ids: Vec<ContainerId>) -> Vec<Looked> {
    ids.into_iter().map(|id| look(engine, id)).collect()
}

/// The same in two threads where they are many. Both have ended when this returns: what is done about what was found may start
/// processes.
fn look_at_many(engine: &Engine, ids: Vec<ContainerId>) -> Vec<Looked> {
    let look_at = |ids| look_at(engine, ids);
    let mut first = ids;
    if first.len() < MANY {
        return look_at(first);
    }
    let second = first.split_off(first.len() / 2);
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, || look_at(second.clone()));
        let mut all = look_at(first);
        // Without another thread it takes longer.
        let more = other.ok().and_then(|other| other.join().ok());
        all.extend(more.unwrap_or_else(|| look_at(second.clone())));
        all
    })
}

fn look(engine: &Engine, id: ContainerId) -> Looked {
    let look = || {
        let folder = engine.folder(&id)?;
        let stamp = Stamp::take(folder.fd.as_fd()).map_err(FileError::at("look at", &folder.path))?;
        let found = found(&folder, folder.view_in_short()?);
        Ok((stamp.filter(|_| found.rests()), found))
    };
    match look() {
        Ok((stamp, found)) => Looked { id, stamp, found: Ok(found) },
        Err(error) => Looked { id, stamp: None, found: Err(error) },
    }
}

fn found(folder: &Folder, mut view: View<Short>) -> Found {
    let host_config = &mut view.record.host_config;
    let (mode, auto_remove) = (std::mem::take(&mut host_config.network_mode), host_config.auto_remove);
    let checked = view.record.config.healthcheck.as_ref();
    let health = crate::health::found(folder, checked).unwrap_or_default().map(|health| health.status);
    Found {
        untidy: view.lost || auto_remove && view.has_ended(),
        mode,
        wanted: folder.read::<Wanted>(FILE).unwrap_or_default().map(Box::new),
        summary: Box::new(Summary { health, ..summary(view) }),
    }
}

/// One container in short; `None` if it is gone.
fn one(
    engine: &Engine,
    id: &ContainerId,
    mut looked: Found,
    connections: &mut Connections<'_>,
    deadline: Instant,
) -> Result<Option<Box<Summary>>, ContainerError> {
    if looked.untidy {
        let Some(View { life, pid, monitor, restarts, lost, .. }) = tidied(engine, id, deadline)? else {
            return Ok(None);
        };
        let folder = engine.folder(id)?;
        looked = found(&folder, View { record: folder.short_record()?, life, pid, monitor, restarts, lost });
    }
    let Found { mut summary, mode, wanted, .. } = looked;
    // What cannot be read of networks is told by `inspect`.
    let (networks, ports) =
        connections.of(id, wanted.map(|wanted| *wanted), &mode, summary.pid.is_some()).unwrap_or_default();
    (summary.networks, summary.ports) = (networks, crate::network::settings::shown_ports(&ports));
    Ok(Some(summary))
}

/// What the container is; `None` if it was to remove itself and is gone now. One that somebody else is at is left to him.
fn tidied(engine: &Engine, id: &ContainerId, deadline: Instant) -> Result<Option<View>, ContainerError> {
    let view = engine.view_by(id, deadline)?;
    // While its monitor lives it has that errand itself.
    if !view.removes_itself() || view.monitor.is_some() {
        return Ok(Some(view));
    }
    let Some(folder) = engine.folder(id)?.try_lock()? else { return Ok(Some(view)) };
    if !folder.0.try_share(RESTARTING)? {
        return Ok(Some(view));
    }
    if engine.hangs_by(&folder.0, deadline)? {
        return Ok(Some(view));
    }
    engine.discard(&folder, Some(&view.record), OwnVolumes::Keep)?;
    Ok(None)
}

fn summary(view: View<Short>) -> Summary {
    let end = view.life.end.unwrap_or_default();
    let ended = matches!(view.life.state, State::Exited | State::Failed | State::Restarting);
    Summary {
        id: view.record.id,
        name: view.record.name.to_string(),
        image: view.record.image.reference,
        image_id: view.record.image.id,
        command: view.record.command,
        created: view.record.created,
        state: view.life.state,
        pid: view.pid,
        exit_code: ended.then_some(end.code),
        error: end.error,
        cause: end.cause.filter(|_| ended).map(|cause| cause.to_string()),
        started: end.started,
        finished: end.finished,
        labels: view.record.config.labels,
        mounts: view.record.mounts,
        networks: Vec::new(),
        ports: String::new(),
        published: view.record.host_config.port_bindings.into_keys().collect(),
        exposed: view.record.config.exposed_ports.into_keys().collect(),
        health: None,
        damaged: None,
    }
}

fn damaged(id: ContainerId, error: &ContainerError) -> Summary {
    Summary {
        id,
        name: String::new(),
        image: String::new(),
        image_id: None,
        command: Vec::new(),
        created: String::new(),
        state: State::Failed,
        pid: None,
        exit_code: None,
        error: None,
        started: None,
        finished: None,
        cause: None,
        labels: BTreeMap::new(),
        mounts: Vec::new(),
        networks: Vec::new(),
        ports: String::new(),
        published: BTreeSet::new(),
        exposed: BTreeSet::new(),
        health: None,
        damaged: Some(chain(error)),
    }
}
