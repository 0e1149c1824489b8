//! What is denied to a container that runs again under what was recorded, and was not denied then.

use stockade_capabilities::{CapSet, Capability};
use stockade_seccomp::model::{Action, Filter};
use stockade_seccomp::{Profile, ProfileError, Target};

use super::facts::{Record, Walls as Recorded};
use super::probes::is_probe;
use crate::denial::{Attempt, Certainty, Checked, Denial, ENOSYS, Wall, Walls, denial, request};

/// The walls of the recorded run.
#[derive(Clone, Debug)]
pub struct Baseline {
    filter: Option<Filter>,
    bounding: CapSet,
    walls: Recorded,
    /// The devices that it was given, and that it is not given any more.
    devices: Vec<String>,
}

impl Baseline {
    /// Those of `record`.
    ///
    /// # Errors
    /// If the filter in it is none.
    pub fn of(record: &Record) -> Result<Self, ProfileError> {
        let resolve = |section: &serde_json::Value| {
            Profile::parse_oci(section.to_string().as_bytes()).and_then(|profile| profile.resolve(&Target::here(&[])))
        };
        let filter = record.walls.seccomp.as_ref().map(resolve).transpose()?;
        let bounding = record.walls.capabilities.iter().filter_map(|name| name.parse::<Capability>().ok()).collect();
        let given = super::confinement::devices(&record.asked.flags);
        let devices = given.into_iter().filter(|path| !record.seen.devices.contains(path)).collect();
        Ok(Self { filter, bounding, walls: record.walls.clone(), devices })
    }

    /// Whether a device was taken away.
    pub(crate) fn lacks_devices(&self) -> bool {
        !self.devices.is_empty()
    }

    /// What denied the call, if it would not have been denied then. Of calls that a filter denies every one counts, as does what programs can do
    /// without.
    pub(crate) fn judge(&self, walls: &Walls, attempt: &Attempt) -> Option<Denial> {
        if let Some(loaded) = &walls.filter {
            let now = loaded.decide(attempt.audit, attempt.number, &attempt.arguments).action;
            let errno = match now {
                Action::Errno(errno) => i32::from(errno),
                Action::Trace(_) => ENOSYS,
                _ => 0,
            };
            if errno != 0 && errno == attempt.errno {
                return self.permitted(attempt).then(|| denial(attempt, Wall::Seccomp, Certainty::Known));
            }
        }
        let found = crate::denial::judge(walls, attempt)?;
        let is_new = match found.wall {
            Wall::Capability => attempt.checked.iter().flatten().any(|checked| {
                let decides = !is_probe(checked.capability, attempt.name(), &attempt.arguments);
                decides && self.lost(walls, checked)
            }),
            Wall::ReadOnlyRoot => !self.walls.read_only,
            Wall::NoNewPrivileges => !self.walls.no_new_privileges,
            Wall::Network => self.walls.own_network && walls.networkless,
            Wall::Pids => walls.pids != self.walls.processes,
            Wall::Memory => walls.memory != self.walls.memory,
            Wall::Device => {
                attempt.path.as_ref().is_some_and(|path| self.devices.iter().any(|device| path.ends_with(device)))
            }
            _ => false,
        };
        is_new.then_some(found)
    }

    /// The same for what was asked for in vain in a call that did not fail.
    pub(crate) fn request(&self, walls: &Walls, checked: &[Checked]) -> Option<Denial> {
        request(walls, checked).filter(|_| checked.iter().any(|checked| self.lost(walls, checked)))
    }

    /// Whether the limit on memory is another one.
    pub(crate) fn had_other_memory(&self, walls: &Walls) -> bool {
        walls.memory != self.walls.memory
    }

    fn permitted(&self, attempt: &Attempt) -> bool {
        let before =
            |filter: &Filter| filter.decide(attempt.audit, attempt.number, &attempt.arguments).action.permits();
        self.filter.as_ref().is_none_or(before)
    }

    fn lost(&self, walls: &Walls, checked: &Checked) -> bool {
        self.bounding.contains(checked.capability) && !walls.bounding.contains(checked.capability)
    }
}
