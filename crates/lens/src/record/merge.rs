//! Several runs as one.

use super::calls::MOST_VALUES;
use super::facts::{Call, Peaks, Record, Request, Seen};

/// Why records are not of the same container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Other images or flags.
    #[error("{0} differ: only runs of the same image with the same flags can be merged")]
    Differ(&'static str),
}

impl Record {
    /// Adds what another record has. Commands may differ, and the first one stays.
    ///
    /// # Errors
    /// [`MergeError`] if it is of another image, or was made with other flags (names of containers do not count) or walls; nothing was changed then.
    pub fn merge(&mut self, other: Self) -> Result<(), MergeError> {
        let same = |what, is_same: bool| if is_same { Ok(()) } else { Err(MergeError::Differ(what)) };
        same("the images", self.asked.image == other.asked.image)?;
        let flags =
            |asked: &Request| asked.flags.iter().filter(|flag| flag.name != "name").cloned().collect::<Vec<_>>();
        same("the flags", flags(&self.asked) == flags(&other.asked))?;
        same("the walls that they were recorded with", self.walls == other.walls)?;
        self.runs = self.runs.saturating_add(other.runs);
        self.seen.merge(other.seen);
        self.changed.extend(other.changed);
        Ok(())
    }
}

impl Seen {
    fn merge(&mut self, other: Self) {
        for (name, call) in other.calls {
            self.calls.entry(name).or_default().merge(call);
        }
        self.unknown.extend(other.unknown);
        self.compatible |= other.compatible;
        self.capabilities = match (self.capabilities.take(), other.capabilities) {
            (Some(mut own), Some(others)) => {
                for (capability, calls) in others {
                    own.entry(capability).or_default().extend(calls);
                }
                Some(own)
            }
            // What one run does not know the whole does not know.
            _ => None,
        };
        for (program, raises) in other.programs {
            *self.programs.entry(program).or_default() |= raises;
        }
        self.devices.extend(other.devices);
        self.network.listens.extend(other.network.listens);
        self.network.connects |= other.network.connects;
        self.network.datagrams = self.network.datagrams.zip(other.network.datagrams).map(|(own, other)| own | other);
        let Peaks { memory, processes } = other.peaks;
        self.peaks = Peaks {
            memory: self.peaks.memory.zip(memory).map(|(own, other)| own.max(other)),
            processes: self.peaks.processes.zip(processes).map(|(own, other)| own.max(other)),
        };
    }
}

impl Call {
    fn merge(&mut self, other: Self) {
        self.startup |= other.startup;
        self.steady |= other.steady;
        self.values.extend(other.values);
    }

    /// Takes values in. Once there are more than are told apart, more say nothing.
    pub(super) fn take(&mut self, values: Vec<u64>) {
        if self.values.len() <= MOST_VALUES {
            self.values.insert(values);
        }
    }
}
