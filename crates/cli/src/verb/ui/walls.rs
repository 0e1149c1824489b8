//! What walls the containers on the screen have: looked at one in a turn, since each stands still for an instant while it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stockade_engine::{ContainerId, Engine, State, Summary};
use stockade_lens::Picture;

use crate::verb::audit;

/// How long what was seen of one is shown before it is looked at again.
const LASTING: Duration = Duration::from_secs(30);

/// What was seen of one run of a container.
struct Seen {
    pid: i32,
    when: Instant,
    text: String,
}

/// What was seen of all.
#[derive(Default)]
pub(super) struct Walls(BTreeMap<ContainerId, Seen>);

impl Walls {
    /// Looks at one of `all` that runs: one that was not seen yet, or else the one that was seen longest ago. Forgets those that are gone.
    pub(super) fn look(&mut self, engine: &Engine, all: &[Summary]) {
        self.0.retain(|id, seen| all.iter().any(|one| one.id == *id && one.pid == Some(seen.pid)));
        // One that stands still cannot be made to stand still.
        let running = all.iter().filter(|one| one.state == State::Running);
        let running = running.filter_map(|one| Some((&one.id, one.pid?)));
        let Some((id, pid)) = running.min_by_key(|(id, _)| self.0.get(id).map(|seen| seen.when)) else { return };
        if self.0.get(id).is_some_and(|seen| seen.when.elapsed() < LASTING) {
            return;
        }
        let audited = audit::container(engine, id)
            .and_then(|target| stockade_lens::audit(&target).map_err(|error| stockade_kernel::chain::chain(&error)));
        let text = audited.map_or_else(|_unseen| "?".to_owned(), |report| told(&Picture::of(&report)));
        self.0.insert(id.clone(), Seen { pid, when: Instant::now(), text });
    }

    /// What was seen of one; empty for one that does not run, or was not seen yet.
    pub(super) fn of(&self, id: &ContainerId) -> String {
        self.0.get(id).map(|seen| seen.text.clone()).unwrap_or_default()
    }
}

/// The grade, and what is weaker than asked, as `ps --walls` has both.
fn told(picture: &Picture) -> String {
    match picture.weaker.as_str() {
        "none" => picture.grade.clone(),
        weaker => format!("{} ! {weaker}", picture.grade),
    }
}
