//! `system resume`: after the machine was started, what should run runs again.
//!
//! Which containers that are is decided as Docker's daemon does when it starts. Each is started by a `stockade start` of its own, a few at
//! a time, and those whose namespaces are joined before those that join them.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use stockade_kernel::chain::chain;
use stockade_monitor::restart::{Meddling, RestartPolicy};

use crate::container::{ContainerError, View};
use crate::files::FileError;
use crate::finish::with_places;
use crate::{ContainerId, Engine, State};

/// What became of a container that should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Its name.
    pub name: String,
    /// Why it does not run, if it does not.
    pub failure: Option<String>,
}

/// Why the containers could not be gone through.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ResumeError(#[from] FileError);

/// A container that should run.
struct Wanted {
    id: ContainerId,
    name: String,
    created: String,
    joins: BTreeSet<ContainerId>,
}

/// Starts every container that should run and does not; what became of each, in the order of their making. One that cannot be looked at
/// or started is reported, and the others are gone on with.
///
/// # Errors
/// See [`ResumeError`].
pub fn resume(engine: &Engine) -> Result<Vec<Resumed>, ResumeError> {
    let mut done = Vec::new();
    let mut wanted = Vec::new();
    for id in engine.ids()? {
        match look(engine, &id) {
            Ok(found) => wanted.extend(found),
            Err(ContainerError::Missing(_)) => {}
            Err(error) => done.push(Resumed { name: id.short().to_owned(), failure: Some(chain(&error)) }),
        }
    }
    wanted.sort_by(|one, other| (&one.created, &one.id).cmp(&(&other.created, &other.id)));
    let width = std::thread::available_parallelism().map_or(1, usize::from);
    while !wanted.is_empty() {
        let waiting: BTreeSet<ContainerId> = wanted.iter().map(|one| one.id.clone()).collect();
        let (mut ready, later): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|one| one.joins.is_disjoint(&waiting));
        wanted = later;
        if ready.is_empty() {
            // They join each other: whoever is first is told so by `start`.
            ready = std::mem::take(&mut wanted);
        }
        for some in ready.chunks(width) {
            let started: Vec<_> = some.iter().map(|one| begin(engine, one)).collect();
            done.extend(some.iter().zip(started).map(|(one, child)| end(one, child)));
        }
    }
    Ok(done)
}

/// The container, if it should run and does not.
fn look(engine: &Engine, id: &ContainerId) -> Result<Option<Wanted>, ContainerError> {
    let view = engine.view(id)?;
    let meddling = engine.folder(id)?.meddling();
    Ok(should_run(&view, meddling).then(|| Wanted {
        id: id.clone(),
        name: view.record.name.to_string(),
        created: view.record.created,
        joins: view.record.joined.into_iter().map(|joined| joined.container).collect(),
    }))
}

/// moby's `ShouldRestart` of a container that does not run when the daemon starts. One that nobody ever started is not.
fn should_run(view: &View, meddling: Meddling) -> bool {
    if !matches!(view.life.state, State::Exited | State::Failed) {
        return false;
    }
    let code = view.life.end.as_ref().map(|end| end.code).unwrap_or_default();
    match view.record.host_config.restart_policy.policy() {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => meddling == Meddling::None,
        RestartPolicy::OnFailure { most } => code != 0 && (most == 0 || view.restarts < most),
    }
}

fn begin(engine: &Engine, one: &Wanted) -> std::io::Result<Child> {
    let words = with_places(engine, &["start", one.id.as_str()]);
    let mut command = Command::new(words.first().map(String::as_str).unwrap_or_default());
    command.args(words.iter().skip(1)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn()
}

fn end(one: &Wanted, child: std::io::Result<Child>) -> Resumed {
    let failure = match child.and_then(Child::wait_with_output) {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("cannot execute stockade start: {error}")),
    };
    Resumed { name: one.name.clone(), failure }
}
