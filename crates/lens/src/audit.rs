//! An audit of one process: all checks, and what they say together.

use std::io;
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use stockade_kernel::procfs::Subject;

use crate::asked::Asked;
use crate::check::CHECKS;
use crate::finding::{Check, Sheet, Verdict, worst};
use crate::grade::Grade;
use crate::ground::Ground;
use crate::scene::Scene;

/// The version of [`Report`] as JSON.
pub const VERSION: u32 = 1;

/// Why a process could not be audited. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is no procfs.
    #[error("cannot use /proc")]
    Procfs(#[source] io::Error),
    /// There is no such process.
    #[error("no such process: {0}")]
    Missing(i32),
    /// It ended, or became another one, meanwhile.
    #[error("process {0} ended while it was looked at")]
    Ended(i32),
    /// What everybody may read of it could not be read.
    #[error("cannot read {what} of process {pid}")]
    Read {
        /// The process.
        pid: i32,
        /// What was to be read.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What was asked for could not be read.
    #[error("cannot use the configuration {}: {reason}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A saved audit could not be read.
    #[error("cannot use the audit {}: {reason}", path.display())]
    Saved {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Who is audited.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The host's id of the process.
    pub pid: i32,
    /// What it is called in the report: a container's name, or `pid N`.
    pub name: String,
    /// The container's id, if an engine of ours has it.
    pub id: Option<String>,
    /// What was asked for, if that is known.
    pub asked: Option<Asked>,
    /// An audit of the same container to compare with.
    pub earlier: Option<Report>,
    /// Host addresses of published ports, where an engine knows them.
    pub ports: Option<Vec<String>>,
}

/// What an audit says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Report {
    /// The form of this report.
    pub version: u32,
    /// The container's name, or `pid N`.
    pub name: String,
    /// The container's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The host's id of the process.
    pub pid: i32,
    /// Its command name.
    pub command: String,
    /// Where it was found what was asked for; `None` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// The worst verdict.
    pub verdict: Verdict,
    /// What is exposed, all together.
    pub grade: Grade,
    /// The checks, 1 to 31.
    pub checks: Vec<Check>,
}

impl Report {
    /// Reads a report that was saved as JSON.
    ///
    /// # Errors
    /// [`AuditError::Saved`].
    pub fn load(path: &std::path::Path) -> Result<Self, AuditError> {
        let fail = |reason: String| AuditError::Saved { path: path.to_owned(), reason };
        let content = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
        // What `audit --format json` writes is a list; one report alone is taken too.
        let is_list = content.trim_ascii_start().starts_with(b"[");
        let read = if is_list {
            serde_json::from_slice(&content)
        } else {
            serde_json::from_slice(&content).map(|one| vec![one])
        };
        let mut many: Vec<Self> = read.map_err(|error| fail(error.to_string()))?;
        let report = match many.len() {
            1 => many.remove(0),
            other => return Err(fail(format!("it has {other} reports, and must have one"))),
        };
        if report.version == VERSION {
            Ok(report)
        } else {
            Err(fail(format!("it has version {}, which this version of Stockade does not know", report.version)))
        }
    }
}

/// Audits a process. It stands still for the instant in which its filters are read, and goes on in every case; nothing of it is
/// changed. What may be read of it bounds what can be checked: all of it as root.
///
/// The caller has one thread, because settings of namespaces are read from inside of these.
///
/// # Errors
/// See [`AuditError`].
pub fn audit(target: &Target) -> Result<Report, AuditError> {
    Auditor::new()?.audit(target)
}

/// Audits many: what they have in common is read and computed once. It is for one go: which processes there are, and what the host has
/// mounted, is as it was at its beginning.
pub struct Auditor(Ground);

impl Auditor {
    /// Reads what is common.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub fn new() -> Result<Self, AuditError> {
        Ground::read().map(Self)
    }

    /// As [`audit`].
    ///
    /// # Errors
    /// See [`AuditError`].
    pub fn audit(&self, target: &Target) -> Result<Report, AuditError> {
        look(&self.0, target)
    }
}

fn look(ground: &Ground, target: &Target) -> Result<Report, AuditError> {
    let procfs = &ground.procfs;
    let pid = target.pid;
    let raw = Pid::from_raw(pid).filter(|_| pid > 0).ok_or(AuditError::Missing(pid))?;
    // The descriptor keeps the number from meaning another process unseen.
    let process = pidfd_open(raw, PidfdFlags::empty()).map_err(|_gone| AuditError::Missing(pid))?;
    let started = procfs.start_time(Subject::Pid(pid)).map_err(|_gone| AuditError::Missing(pid))?;
    let mut scene = match Scene::read(ground, pid, target.asked.as_ref()) {
        Err(AuditError::Read { what: "status", .. }) => return Err(AuditError::Missing(pid)),
        scene => scene?,
    };
    scene.earlier = target.earlier.as_ref().map(|report| report.checks.as_slice());
    scene.ports = target.ports.as_deref();
    let mut checks = Vec::with_capacity(CHECKS.len());
    for entry in CHECKS {
        let mut sheet = Sheet::default();
        (entry.look)(&scene, &checks, &mut sheet);
        checks.push(Check {
            number: entry.number,
            id: entry.id.to_owned(),
            title: entry.title.to_owned(),
            verdict: worst(&sheet.0),
            findings: sheet.0,
        });
    }
    let same = procfs.start_time(Subject::Pid(pid)).is_ok_and(|now| now == started);
    if !same || has_ended(&process) || procfs.status(Subject::Pid(pid)).is_ok_and(|status| status.state == 'Z') {
        return Err(AuditError::Ended(pid));
    }
    Ok(Report {
        version: VERSION,
        name: target.name.clone(),
        id: target.id.clone(),
        pid,
        command: crate::scene::text(scene.status.name.as_bytes()),
        asked_by: target.asked.as_ref().map(|asked| asked.origin.clone()),
        verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Holds),
        grade: Grade::of(&checks),
        checks,
    })
}

/// Whether the process of this descriptor has ended.
fn has_ended(process: &rustix::fd::OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}
