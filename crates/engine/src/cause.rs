//! Why a container ended, for those that waited for it.

use stockade_kernel::chain::chain;
use stockade_monitor::events::Kind;

use crate::container::ContainerError;
use crate::events::listen;
use crate::happened::note;
use crate::{ContainerId, Engine, State};

/// What there is to tell of the container's end, in one line: that the kernel killed a process of it for want of memory, or its
/// first one because of its filter, or that no process could be made. `None` if it ended like any other, or runs. A container
/// that is removed has left it in the event of its end.
///
/// That it cannot be told is kept for [`crate::untold`].
#[must_use]
pub fn remarkable_end(engine: &Engine, id: &ContainerId) -> Option<String> {
    match engine.view(id) {
        Ok(view) if view.life.state == State::Exited => {
            let cause = view.life.end?.cause?;
            cause.is_remarkable().then(|| cause.to_string())
        }
        Ok(_) => None,
        Err(ContainerError::Missing(_)) => from_events(engine, id),
        Err(error) => {
            note(chain(&error));
            None
        }
    }
}

fn from_events(engine: &Engine, id: &ContainerId) -> Option<String> {
    let events = match listen(engine).and_then(|mut listener| listener.read()) {
        Ok(events) => events,
        Err(error) => {
            note(chain(&error));
            return None;
        }
    };
    let is_end = |kind: Kind, action: &str, of: &str| kind == Kind::Container && action == "die" && of == id.as_str();
    let end = events.into_iter().rev().find(|event| is_end(event.kind, &event.action, &event.actor.id));
    end?.actor.attributes.remove("cause")
}
