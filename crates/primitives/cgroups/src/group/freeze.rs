//! Stopping all processes of a group where they are, and letting them go on.
//!
//! `cgroup.freeze` of cgroup2 is used where there is one, on hybrid machines too: frozen processes can be killed there.
//! Otherwise the v1 freezer. Thawing thaws both.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Group;
use crate::controller::Controllers;
use crate::files::{Directory, FileError};

/// How long the kernel may take to stop every process.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a group could not be frozen or thawed.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not every process stopped; the group was thawed again.
    #[error("the processes of the cgroup {} did not stop within five seconds", path.display())]
    Timeout {
        /// The group.
        path: PathBuf,
    },
    /// The machine has neither interface.
    #[error("this machine has neither the freezer of cgroup v1 nor that of cgroup v2 (Linux 5.2)")]
    NoFreezer,
}

impl Group {
    /// Stops every process of the group and of those below, and returns when all stand still.
    ///
    /// # Errors
    /// [`FreezeError`]; after a timeout the group is thawed.
    pub fn freeze(&self) -> Result<(), FreezeError> {
        if let Some(directory) = self.freezer()? {
            directory.write("cgroup.freeze", "1")?;
            return self.wait_until_frozen(directory, false);
        }
        let member = self.legacy(Controllers::FREEZER).ok_or(FreezeError::NoFreezer)?;
        member.directory.write("freezer.state", "FROZEN")?;
        self.wait_until_frozen(&member.directory, true)
    }

    /// The cgroup2 directory if it can be frozen.
    fn freezer(&self) -> Result<Option<&Directory>, FileError> {
        let Some(member) = self.unified() else { return Ok(None) };
        let there = member.directory.read_if_there("cgroup.freeze")?.is_some();
        Ok(there.then_some(&member.directory))
    }

    /// Waits; on v1 asks again and again, which catches processes that were forked meanwhile.
    fn wait_until_frozen(&self, directory: &Directory, legacy: bool) -> Result<(), FreezeError> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(50);
        loop {
            let frozen = if legacy { is_frozen_v1(directory)? } else { is_frozen_v2(directory)? };
            if frozen {
                return Ok(());
            }
            if Instant::now() > deadline {
                self.thaw()?;
                return Err(FreezeError::Timeout { path: directory.path().to_owned() });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
            if legacy {
                directory.write("freezer.state", "FROZEN")?;
            }
        }
    }

    /// Lets every process go on. No error if the group is not frozen.
    ///
    /// # Errors
    /// [`FreezeError::File`].
    pub fn thaw(&self) -> Result<(), FreezeError> {
        if let Some(directory) = self.freezer()? {
            directory.write("cgroup.freeze", "0")?;
        }
        if let Some(member) = self.legacy(Controllers::FREEZER) {
            member.directory.write("freezer.state", "THAWED")?;
        }
        Ok(())
    }

    /// Whether every process of the group stands still, by either interface, or by an ancestor's.
    ///
    /// # Errors
    /// [`FreezeError::File`].
    pub fn frozen(&self) -> Result<bool, FreezeError> {
        let v2 = self.unified().map_or(Ok(false), |member| is_frozen_v2(&member.directory))?;
        let v1 = self.legacy(Controllers::FREEZER).map_or(Ok(false), |member| is_frozen_v1(&member.directory))?;
        Ok(v1 || v2)
    }
}

/// `frozen 1` in `cgroup.events`.
fn is_frozen_v2(directory: &Directory) -> Result<bool, FileError> {
    Ok(directory.read_if_there("cgroup.events")?.is_some_and(|text| text.lines().any(|line| line == "frozen 1")))
}

/// `FROZEN` in `freezer.state`.
fn is_frozen_v1(directory: &Directory) -> Result<bool, FileError> {
    Ok(directory.read_if_there("freezer.state")?.is_some_and(|text| text.trim() == "FROZEN"))
}
