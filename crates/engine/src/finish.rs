//! `container-exited`: what a monitor has the command line do once its container has ended.

use crate::container::{ContainerError, RESTARTING};
use crate::rm::remove_ended;
use crate::{ContainerId, Engine, Force, OwnVolumes, RemoveError, State};

/// The hidden command that a monitor runs, `stockade --data-root DIR --exec-root DIR [--runtime FILE] container-exited ID`:
/// it is to call [`finish`].
pub const COMMAND: &str = "container-exited";

/// The hidden command that a monitor runs before it makes a container again that joins another's namespaces:
/// [`crate::start::join_again`].
pub const JOIN: &str = "container-joins";

/// The whole command line, for the container `id`.
pub(crate) fn command(engine: &Engine, id: &ContainerId) -> Vec<String> {
    with_places(engine, &[COMMAND, id.as_str()])
}

/// The same for [`JOIN`].
pub(crate) fn joining(engine: &Engine, id: &ContainerId) -> Vec<String> {
    with_places(engine, &[JOIN, id.as_str()])
}

/// `stockade` on this engine's folders.
pub(crate) fn with_places(engine: &Engine, command: &[&str]) -> Vec<String> {
    let places = engine.places();
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let mut words = vec![text(&engine.program("stockade"))];
    words.extend(["--data-root".into(), text(&places.data), "--exec-root".into(), text(&places.exec)]);
    words.extend(places.runtime.iter().flat_map(|runtime| ["--runtime".into(), text(runtime)]));
    words.extend(command.iter().map(|word| (*word).to_owned()));
    words
}

/// Removes the container if it was asked for with `--rm` and has ended. One that is gone already is as good as finished.
///
/// # Errors
/// See [`RemoveError`].
pub fn finish(engine: &Engine, id: &ContainerId) -> Result<(), RemoveError> {
    match engine.folder(id).and_then(|folder| folder.lock()) {
        // Who restarts it has its addresses and ports kept.
        Ok(folder) if !folder.0.try_share(RESTARTING)? => return Ok(()),
        // What it has of networks is given back first: others may wait for it.
        Ok(folder) => engine.release_networks_of(&folder)?,
        Err(ContainerError::Missing(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    match engine.view(id) {
        // Whoever restarts it has ended it and is about to start it.
        Ok(_) if !engine.folder(id)?.try_share(RESTARTING)? => return Ok(()),
        Ok(view) => {
            engine.volumes_unmounted(&view.record);
            if !view.removes_itself() {
                return Ok(());
            }
        }
        Err(ContainerError::Missing(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    match remove_ended(engine, id, Force::Refuse, OwnVolumes::Keep) {
        // Somebody else was faster.
        Err(RemoveError::Container(ContainerError::Missing(_))) => Ok(()),
        outcome => outcome,
    }
}

impl crate::container::View {
    /// Whether it was asked for with `--rm` and its only run is over.
    pub(crate) fn removes_itself(&self) -> bool {
        self.record.host_config.auto_remove && self.has_ended()
    }
}

impl<R> crate::container::View<R> {
    /// Whether its last run is over.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.life.state, State::Exited | State::Failed)
    }
}
