//! `commit`: what a container wrote becomes a layer, and the container an image.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use stockade_images::change::{Change, ChangeError, Draft, apply};
use stockade_images::make::{History, MakeError, Making};
use stockade_images::{ContentError, Digest, ImageConfig, Images, Name, Platform, StoredImage, StoredLayer};
use stockade_kernel::chain::chain;
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_monitor::events::{ContainerAction, ImageAction};
use stockade_storage::changes::made_for_mounts;
use stockade_storage::pack::{self, Form, Owners, PackError, RootEntry, Tree};

use crate::container::{ContainerError, Locked, View};
use crate::diff::{DiffError, Opened};
use crate::files::{self, FileError};
use crate::happened::about;
use crate::inside::{self, InsideError, Rights, Seen};
use crate::record::now;
use crate::runtime::RuntimeError;
use crate::{ContainerId, Engine, State};

/// What to make of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The image's name.
    pub name: Option<Name>,
    /// Who made it; empty for nobody.
    pub author: String,
    /// What is said of it.
    pub message: String,
    /// What is different in its configuration.
    pub changes: Vec<Change>,
    /// What the container's processes do meanwhile.
    pub meanwhile: Meanwhile,
}

/// What a container's processes do while it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// They stand still, so that the layer is what the files were at one instant.
    Paused,
    /// They go on.
    Running,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Its folders.
    #[error(transparent)]
    Folders(#[from] DiffError),
    /// A layer of a folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The image `host`.
    #[error(
        "a container of the image host cannot be committed: its programs are the host's, bound into it, and would not be in \
         the image; copy out what it wrote by cp"
    )]
    Host,
    /// What was written cannot be a layer.
    #[error("cannot make a layer of what the container wrote")]
    Inside(#[from] InsideError),
    /// A layer of the image, which the store has no more, cannot be one again.
    #[error("cannot make a layer of what the container was made from")]
    Pack(#[from] PackError),
    /// The store.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The runtime.
    #[error("cannot pause the container: --pause=false commits it while it runs")]
    Pause(#[source] RuntimeError),
    /// It stands still, still.
    #[error("the container was committed and could not be resumed: kill it and start it again")]
    Resume,
    /// A process or a stream.
    #[error("cannot {action}")]
    Process {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// For `map_err`.
fn doing<E: Into<std::io::Error>>(action: &'static str) -> impl FnOnce(E) -> CommitError {
    move |source| CommitError::Process { action, source: source.into() }
}

/// Makes an image of the container: its image's layers, and one of what it wrote, without what is mounted. Returns the image's id.
///
/// # Errors
/// See [`CommitError`]. Blobs that were stored by then are garbage.
pub fn commit(engine: &Engine, id: &ContainerId, commit: &Commit) -> Result<Digest, CommitError> {
    let images = Images::open(&engine.places().data)?;
    // Nothing that is stored here may be taken for garbage before the index names it.
    let _share = images.share()?;
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    if view.record.image.reference == "host" {
        return Err(CommitError::Host);
    }
    let mut draft = Draft { config: config_of(&view), on_build: Vec::new() };
    let base = base(&images, &view)?;
    if let Some(base) = &base {
        draft.config.exposed_ports = ports(&images.read(&base.config)?);
    }
    apply(&commit.changes, &mut draft)?;
    let mut layers = Vec::new();
    if base.is_none() {
        for lower in view.record.image.lowers.iter().rev() {
            let from = format!("a layer of {}", view.record.image.reference);
            layers.push((layer_of_folder(&images, lower)?, History { created_by: from, ..History::default() }));
        }
    }
    let paused = match (view.pid.filter(|_| view.life.state == State::Running), commit.meanwhile) {
        (Some(pid), Meanwhile::Paused) => match Paused::begin(engine, id) {
            // There is nobody to pause who writes: it has ended since it was looked at.
            Err(CommitError::Pause(_)) if is_gone(pid)? => None,
            paused => Some(paused?),
        },
        _ => None,
    };
    let written = layer_of_container(engine, &images, &folder, &view);
    let resumed = paused.map_or(Ok(()), Paused::end);
    let history = History { created_by: view.record.command.join(" "), comment: commit.message.clone() };
    layers.push((written?, history));
    let making = Making {
        base: base.as_ref(),
        layers,
        draft: &draft,
        platform: base.as_ref().map_or_else(Platform::machine, |base| base.platform.clone()),
        created: now(),
        author: &commit.author,
    };
    let image = images.make(&making, commit.name.as_ref())?;
    let name = commit.name.as_ref().map(Name::familiar).unwrap_or_default();
    engine.happened(
        about(&view.record, &ContainerAction::Commit).with("imageID", image.id.to_string()).with("imageRef", &name),
    );
    engine.happened_to_image(ImageAction::Create, &image.id.to_string(), &name);
    resumed.map(|()| image.id)
}

/// Whether the process, which was there a moment ago, has ended and was waited for.
fn is_gone(pid: i32) -> Result<bool, CommitError> {
    let procfs = Procfs::host().map_err(doing("open /proc"))?;
    Ok(procfs.status(Subject::Pid(pid)).is_err())
}

/// The image that the container was made from, if the store has all of it.
fn base(images: &Images, view: &View) -> Result<Option<StoredImage>, CommitError> {
    let Some(id) = &view.record.image.id else { return Ok(None) };
    let Ok(found) = images.find(id) else { return Ok(None) };
    for layer in &found.layers {
        if !images.has(&layer.blob.digest, layer.blob.size)? {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// The ports that the configuration of an image names, which a container's record does not have.
fn ports(config: &[u8]) -> BTreeSet<String> {
    let document: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
    let ports = document["config"]["ExposedPorts"].as_object();
    ports.into_iter().flat_map(|ports| ports.keys().cloned()).collect()
}

/// What the container asks for, without what it was given for being this container.
fn config_of(view: &View) -> ImageConfig {
    let config = &view.record.config;
    let own = [format!("HOSTNAME={}", config.hostname), "TERM=xterm".to_owned()];
    let own = if config.tty { &own[..] } else { &own[..1] };
    ImageConfig {
        env: config.env.iter().filter(|variable| !own.contains(variable)).cloned().collect(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        working_dir: config.working_dir.clone(),
        user: config.user.clone(),
        exposed_ports: BTreeSet::new(),
        volumes: config.volumes.keys().cloned().collect(),
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.clone(),
        healthcheck: config.healthcheck.clone(),
        shell: config.shell.clone(),
    }
}

/// What the container wrote, read by a child that has little else.
fn layer_of_container(
    engine: &Engine,
    images: &Images,
    folder: &Locked,
    view: &View,
) -> Result<StoredLayer, CommitError> {
    let Some(opened) = Opened::open(folder, view)? else {
        // It was never started: a layer without anything.
        let mut writer = images.layer_writer()?;
        writer.write_all(&pack::end()).map_err(MakeError::Layer)?;
        return Ok(writer.finish()?);
    };
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(doing("make a pipe"))?;
    let work = |here: &inside::Here<'_>| {
        let left_out = made_for_mounts(&opened.stack()).map_err(|error| chain(&error))?;
        let stream = writer.try_clone().map_err(|error| error.to_string())?;
        let tree = tree(here.root, here.procfs, here.owners, &left_out);
        pack::pack(&tree, &mut BufWriter::with_capacity(64 << 10, File::from(stream))).map_err(|error| chain(&error))
    };
    let child = inside::begin(engine, folder, view, Seen::Upper, Rights::ReadMarks, work)?;
    drop(writer);
    let mut layer = images.layer_writer()?;
    io::copy(&mut File::from(reader), &mut layer).map_err(MakeError::Layer)?;
    child.finish::<()>()?;
    Ok(layer.finish()?)
}

/// A layer's folder, whose blob is not in the store.
fn layer_of_folder(images: &Images, path: &Path) -> Result<StoredLayer, CommitError> {
    let opened = files::open_folder(path).map_err(FileError::at("open the layer", path))?;
    let procfs = Procfs::host().map_err(doing("open /proc"))?;
    let (owners, left_out) = (Owners::default(), BTreeSet::new());
    let mut writer = BufWriter::with_capacity(64 << 10, images.layer_writer()?);
    pack::pack(&tree(opened.as_fd(), &procfs, &owners, &left_out), &mut writer)?;
    let writer = writer.into_inner().map_err(|error| MakeError::Layer(error.into_error()))?;
    Ok(writer.finish()?)
}

/// A folder of overlayfs's, for the archive of a layer.
fn tree<'a>(root: BorrowedFd<'a>, procfs: &'a Procfs, owners: &'a Owners, left_out: &'a BTreeSet<PathBuf>) -> Tree<'a> {
    Tree { root, procfs, name: b".", root_entry: RootEntry::Written, form: Form::Layer, owners, left_out }
}

/// A container that stands still for as long as this process wants and lives: a child resumes it when it hears no more of its parent,
/// whatever killed that.
struct Paused {
    child: OwnedFd,
    until: OwnedFd,
}

impl Paused {
    fn begin(engine: &Engine, id: &ContainerId) -> Result<Self, CommitError> {
        let (end, until) = pipe_with(PipeFlags::CLOEXEC).map_err(doing("make a pipe"))?;
        let child = match clone3(&Request::default()).map_err(doing("make a process that resumes the container"))? {
            Forked::Parent { pidfd, .. } => pidfd,
            Forked::Child => {
                drop(until);
                // What a terminal sends to its foreground does not reach it.
                let alone = rustix::process::setsid().is_ok();
                let heard = rustix::io::retry_on_intr(|| rustix::io::read(&end, &mut [0; 1])).is_ok();
                let resumed = engine.call_runtime(id, &["resume", id.as_str()]).is_ok();
                exit_now(u8::from(!(alone && heard && resumed)));
            }
        };
        let paused = Self { child, until };
        match engine.call_runtime(id, &["pause", id.as_str()]) {
            Ok(()) => Ok(paused),
            Err(source) => {
                // The child finds nothing to resume, or what was paused in part.
                drop(paused.end());
                Err(CommitError::Pause(source))
            }
        }
    }

    fn end(self) -> Result<(), CommitError> {
        drop(self.until);
        let wait = || waitid(WaitId::PidFd(self.child.as_fd()), WaitIdOptions::EXITED);
        let status =
            rustix::io::retry_on_intr(wait).map_err(doing("wait for the process that resumes the container"))?;
        match status.and_then(|status| status.exit_status()) {
            Some(0) => Ok(()),
            _ => Err(CommitError::Resume),
        }
    }
}
