//! The field's escapes, tried against an OCI runtime on this host, harmlessly.
//!
//! Each [`Case`] makes a hostile bundle of Docker's default walls, has the runtime run it, and looks at what came of it: from inside by
//! this very program, which is mounted read-only into an otherwise empty root ([`inside`]), and from outside at baits in a folder of its
//! own. What would be overwritten is only opened, what would be set is set to what it is, and baits stand for the host's files.
//!
//! Limits: races are tried for an instant only, which proves less than an hour of `tests/security`; a case that the runtime does not get
//! to because it cannot make such a container at all is told as not tried, never as held.

mod bundle;
mod cases;
pub mod inside;

use std::path::{Path, PathBuf};

use serde::Serialize;

use bundle::Bundle;
pub use cases::CASES;

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "because")]
pub enum Outcome {
    /// The runtime kept the wall, or refused such a container.
    Held(String),
    /// It did not.
    Broken(String),
    /// It could not be tried.
    CannotBeTried(String),
}

/// One escape.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name: a CVE's number where there is one.
    pub id: &'static str,
    /// What is tried.
    pub tried: &'static str,
    attempt: fn(&Bundle) -> Outcome,
}

/// A case against one runtime.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// The case.
    pub id: &'static str,
    /// What was tried.
    pub tried: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum SelftestError {
    /// There is no such case.
    #[error("there is no case {0:?}; stockade selftest --list tells all")]
    Unknown(String),
    /// Containers like Docker's take root.
    #[error("the selftest makes containers as root does: run it as root")]
    NotRoot,
    /// Docker's default on this machine.
    #[error(transparent)]
    Reference(#[from] crate::ReferenceError),
    /// A folder for the bundles, or this program.
    #[error("cannot prepare the selftest: {what}")]
    Prepare {
        /// What was attempted.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// The cases of these names; all if there are none.
///
/// # Errors
/// [`SelftestError::Unknown`].
pub fn select(names: &[String]) -> Result<Vec<Case>, SelftestError> {
    if names.is_empty() {
        return Ok(CASES.to_vec());
    }
    let find = |name: &String| {
        CASES.iter().find(|case| case.id == name).copied().ok_or_else(|| SelftestError::Unknown(name.clone()))
    };
    names.iter().map(find).collect()
}

/// Tries `cases` against the runtime at `runtime`, one after the other. Whatever comes of them, nothing of the containers is left.
///
/// # Errors
/// See [`SelftestError`].
pub fn attempt(runtime: &Path, cases: &[Case]) -> Result<Vec<Tried>, SelftestError> {
    if !rustix::process::geteuid().is_root() {
        return Err(SelftestError::NotRoot);
    }
    let prepare = |what| move |source| SelftestError::Prepare { what, source };
    let program = std::env::current_exe().map_err(prepare("find this program"))?;
    let reference = crate::reference::spec()?;
    let make = || Bundle::new(runtime, &program, reference.clone()).map_err(prepare("make a folder"));
    let plain = make()?.ask("walls", |_| {});
    let unusable = match plain {
        bundle::Answer::Said(ref text) if text.contains("held") || text.contains("broken") => None,
        other => Some(format!("it does not run a container of Docker's defaults here: {}", other.reason())),
    };
    let mut tried = Vec::new();
    for case in cases {
        let outcome = match &unusable {
            Some(reason) => Outcome::CannotBeTried(reason.clone()),
            None => (case.attempt)(&make()?),
        };
        tried.push(Tried { id: case.id, tried: case.tried, outcome });
    }
    Ok(tried)
}

/// The name of a runtime in tables: its file's.
#[must_use]
pub fn name_of(runtime: &Path) -> String {
    runtime.file_name().map_or_else(|| PathBuf::from(runtime), PathBuf::from).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_have_names_of_their_own_and_say_what_is_tried() {
        let mut ids: Vec<&str> = CASES.iter().map(|case| case.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), CASES.len());
        assert!(CASES.len() >= 20 && CASES.iter().all(|case| !case.tried.is_empty()));
        assert_eq!(select(&["descriptors".to_owned()]).unwrap_or_default().len(), 1);
        assert!(matches!(select(&["x".to_owned()]), Err(SelftestError::Unknown(_))));
    }
}
