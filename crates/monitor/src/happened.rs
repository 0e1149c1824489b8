//! What the monitor tells to whoever listens to events: what happens to the container without a command.

use stockade_kernel::chain::chain;
use stockade_monitor::cause::Cause;
use stockade_monitor::events::{ContainerAction, Event, append};

use crate::life::{Ended, Monitor};

impl Monitor {
    /// Tells that `action` happened, with `more` about it. That this fails is a trouble, and stops nothing.
    pub(crate) fn happened(&mut self, action: &ContainerAction, more: &[(&str, String)]) {
        let Some(source) = &self.order.events else { return };
        let event = Event::container(action, &self.order.id, source.attributes.clone());
        let event = more.iter().fold(event, |event, (name, value)| event.with(name, value));
        if let Err(error) = append(&source.folder, event) {
            self.troubles.note(&self.folder, &chain(&error));
        }
    }

    /// Tells the container's end as Docker does, and why it came, where there is more to tell.
    pub(crate) fn died(&mut self, ended: Ended, cause: Option<&Cause>) {
        let lasted = ended.finished.duration_since(self.started).as_secs().max(0);
        let mut more = vec![("exitCode", ended.code.to_string()), ("execDuration", lasted.to_string())];
        more.extend(ended.signal.map(|signal| ("signal", signal.to_string())));
        more.extend(cause.filter(|cause| cause.is_remarkable()).map(|cause| ("cause", cause.to_string())));
        self.happened(&ContainerAction::Die, &more);
    }
}
