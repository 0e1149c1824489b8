//! What of a machine stands in the way of containers, or makes their walls weaker, and the command that mends it.
//!
//! [`examine`] reads files and changes nothing. What it finds is judged for one user: root needs other things than an ordinary user does.
//! Each of its parts is data or a function of what was read: [`settings`] are the kernel's switches, [`machine`] the rest. Only [`shown`] tries
//! something, out of everybody's sight.

mod machine;
mod settings;
mod shown;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// Containers cannot be run.
    Blocks,
    /// They can, and something is weaker or missing.
    Weaker,
    /// It could not be looked at.
    Unknown,
    /// As it should be.
    Good,
}

impl fmt::Display for Rank {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Blocks => "blocks",
            Self::Weaker => "weaker",
            Self::Unknown => "unknown",
            Self::Good => "good",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Symptom {
    /// What.
    pub about: String,
    /// How it is.
    pub found: String,
    /// What that means.
    pub rank: Rank,
    /// What is weaker or impossible because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The command, or deed, that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Symptom {
    fn good(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { about: about.into(), found: found.into(), rank: Rank::Good, because: None, mend: None }
    }

    fn bad(rank: Rank, about: impl Into<String>, found: impl Into<String>, because: &str, mend: &str) -> Self {
        let (because, mend) = (Some(because.to_owned()), Some(mend.to_owned()));
        Self { about: about.into(), found: found.into(), rank, because, mend }
    }

    fn unknown(about: impl Into<String>, error: &io::Error) -> Self {
        Self { about: about.into(), found: error.to_string(), rank: Rank::Unknown, because: None, mend: None }
    }
}

/// Whose containers they would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// The user's id.
    pub uid: u32,
    /// The machine's root folder: `/`, or that of one that is only looked at.
    pub root: PathBuf,
    /// The kernel's release, as `uname(2)` has it.
    pub release: String,
    /// Where the layers of images are to be, or would be: whether they can be shown with other owners is tried there, for root. The caller of
    /// [`examine`] then has one thread.
    pub layers: Option<PathBuf>,
}

impl Patient {
    /// The calling user on this machine.
    #[must_use]
    pub fn here() -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Self { uid: rustix::process::getuid().as_raw(), root: PathBuf::from("/"), release, layers: None }
    }

    fn is_root(&self) -> bool {
        self.uid == 0
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without space around it; `None` if it is not there.
    fn read(&self, path: &str) -> io::Result<Option<String>> {
        match std::fs::read(self.path(path)) {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The program in one of the folders that only root can write.
    fn program(&self, name: &str) -> Option<PathBuf> {
        let folders = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/run/wrappers/bin"];
        folders.iter().map(|folder| self.path(folder).join(name)).find(|path| Path::is_file(path))
    }
}

/// Looks at everything, what stands in the way first.
#[must_use]
pub fn examine(patient: &Patient) -> Vec<Symptom> {
    let mut all = machine::examine(patient);
    all.extend(settings::examine(patient));
    all.extend(patient.layers.as_deref().filter(|_| patient.is_root()).map(shown::examine));
    all.sort_by_key(|symptom| symptom.rank);
    all
}

/// Whether containers cannot be run.
#[must_use]
pub fn is_blocked(symptoms: &[Symptom]) -> bool {
    symptoms.iter().any(|symptom| symptom.rank == Rank::Blocks)
}

/// For people: a line each, and below it what is weaker and what mends it.
#[must_use]
pub fn text(symptoms: &[Symptom]) -> String {
    let mut text = String::new();
    for Symptom { about, found, rank, because, mend } in symptoms {
        text += &format!("{:<8} {about}: {}\n", rank.to_string(), found.escape_debug());
        text.extend(because.iter().map(|because| format!("         {because}\n")));
        text.extend(mend.iter().map(|mend| format!("         mend it: {mend}\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of these files.
    pub(super) fn patient(uid: u32, release: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Patient) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let patient = Patient { uid, root: root.path().to_owned(), release: release.to_owned(), layers: None };
        (root, patient)
    }

    /// What was found about something.
    pub(super) fn about<'a>(symptoms: &'a [Symptom], about: &str) -> &'a Symptom {
        let found = symptoms.iter().find(|symptom| symptom.about == about);
        found.unwrap_or_else(|| panic!("nothing about {about}: {symptoms:#?}"))
    }

    #[test]
    fn everything_that_is_not_good_says_why_and_what_mends_it() {
        for uid in [0, 1000] {
            let (_root, patient) = patient(uid, "4.4.0", &[]);
            let found = examine(&patient);
            assert!(is_blocked(&found), "{found:#?}");
            assert!(found.is_sorted_by_key(|symptom| symptom.rank));
            for symptom in found.iter().filter(|symptom| matches!(symptom.rank, Rank::Blocks | Rank::Weaker)) {
                assert!(symptom.because.is_some() && symptom.mend.is_some(), "{symptom:?}");
                assert!(text(&found).contains(symptom.mend.as_deref().unwrap()));
            }
        }
    }

    #[test]
    fn this_machine_is_looked_at() {
        let found = examine(&Patient::here());
        assert_eq!(about(&found, "kernel").rank, Rank::Good, "{found:#?}");
        assert!(!text(&found).is_empty());
    }
}
