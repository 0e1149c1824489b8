//! The life of a container: every change of state goes through [`State::after`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was never started.
    Created,
    /// A monitor is about to start it.
    Starting,
    /// Its program runs.
    Running,
    /// Its processes stand still.
    Paused,
    /// Its program has ended, and its monitor starts it again.
    Restarting,
    /// Its program has ended.
    Exited,
    /// It could not be started; Docker calls such a container created.
    Failed,
    /// It is no more.
    Removed,
}

/// What happens to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Somebody starts it.
    Start,
    /// Its program was executed.
    Started,
    /// It could not be started.
    StartFailed,
    /// Its program has ended.
    Ended,
    /// Its program has ended and is to be started again.
    EndedForNow,
    /// Its processes were stopped where they were.
    Pause,
    /// They go on.
    Unpause,
    /// Its monitor is gone without having told the end.
    MonitorLost,
    /// Somebody removes it.
    Remove,
}

/// An event that cannot happen in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a container that is {state} cannot be {event}")]
pub struct Refused {
    /// The state.
    pub state: State,
    /// The event.
    pub event: Event,
}

impl State {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`Refused`] if the event cannot happen now.
    pub fn after(self, event: Event) -> Result<Self, Refused> {
        use {Event as E, State as S};
        match (self, event) {
            (S::Created | S::Exited | S::Failed, E::Start) => Ok(S::Starting),
            (S::Created | S::Exited | S::Failed, E::Remove) => Ok(S::Removed),
            (S::Starting, E::Started) => Ok(S::Running),
            (S::Starting, E::StartFailed | E::MonitorLost) => Ok(S::Failed),
            (S::Running, E::Pause) => Ok(S::Paused),
            (S::Paused, E::Unpause) | (S::Restarting, E::Started) => Ok(S::Running),
            (S::Running | S::Paused, E::EndedForNow) => Ok(S::Restarting),
            (S::Running | S::Paused, E::Ended | E::MonitorLost) => Ok(S::Exited),
            // It ran before: that it does not again is no failed start.
            (S::Restarting, E::Ended | E::StartFailed | E::MonitorLost) => Ok(S::Exited),
            (state, event) => Err(Refused { state, event }),
        }
    }

    /// Whether it is Docker's `State.Running`: something of it runs, stands still, or is about to run again.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }

    /// Docker's word for it, as `ps` and `inspect` show it.
    #[must_use]
    pub fn docker(self) -> &'static str {
        match self {
            Self::Created | Self::Starting | Self::Failed => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removed => "removing",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Created => "created",
            Self::Starting => "being started",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Failed => "not startable",
            Self::Removed => "removed",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Start => "started",
            Self::Started => "running",
            Self::StartFailed => "refused by the runtime",
            Self::Ended => "ended",
            Self::EndedForNow => "restarted",
            Self::Pause => "paused",
            Self::Unpause => "unpaused",
            Self::MonitorLost => "lost by its monitor",
            Self::Remove => "removed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 8] = [
        State::Created,
        State::Starting,
        State::Running,
        State::Paused,
        State::Restarting,
        State::Exited,
        State::Failed,
        State::Removed,
    ];
    const EVENTS: [Event; 9] = [
        Event::Start,
        Event::Started,
        Event::StartFailed,
        Event::Ended,
        Event::EndedForNow,
        Event::Pause,
        Event::Unpause,
        Event::MonitorLost,
        Event::Remove,
    ];

    #[test]
    fn every_pair_of_state_and_event() {
        // Rows are states, columns events, in the order of the constants; a dash is refused.
        let expected = [
            "starting - - - - - - - removed",
            "- running failed - - - - failed -",
            "- - - exited restarting paused - exited -",
            "- - - exited restarting - running exited -",
            "- running exited exited - - - exited -",
            "starting - - - - - - - removed",
            "starting - - - - - - - removed",
            "- - - - - - - - -",
        ];
        let named = |word: &str| STATES.into_iter().find(|state| format!("{state:?}").to_lowercase() == word);
        for (state, row) in STATES.into_iter().zip(expected) {
            let row = row.split(' ').map(named);
            assert_eq!(row.clone().count(), EVENTS.len());
            for (event, expected) in EVENTS.into_iter().zip(row) {
                let answer = state.after(event);
                assert_eq!(answer.ok(), expected, "{state:?} {event:?}");
                assert_eq!(answer.err(), expected.is_none().then_some(Refused { state, event }));
            }
        }
    }

    #[test]
    fn a_removed_container_has_no_future_and_no_state_is_a_dead_end_otherwise() {
        for state in STATES {
            let mut reached = vec![state];
            let mut at = 0;
            while let Some(next) = reached.get(at).copied() {
                reached.extend(
                    EVENTS
                        .iter()
                        .filter_map(|event| next.after(*event).ok())
                        .filter(|new| !reached.contains(new))
                        .collect::<Vec<_>>(),
                );
                at += 1;
            }
            assert!(reached.contains(&State::Removed), "{state:?}");
        }
    }
}
