//! Reading a profile: Docker's format with Podman's additions, and OCI's `linux.seccomp`, which is a part of it.

use serde::Deserialize;

use crate::model::Action;
use crate::syscall::Syscall;

/// The text of [`Profile::builtin`].
const BUILTIN: &[u8] = include_bytes!("../profiles/default.json");

/// A profile that can not be used; the message begins with the place in it.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is not JSON of a profile.
    #[error("not a seccomp profile")]
    Json(#[from] serde_json::Error),
    /// A value means nothing, or contradicts another one.
    #[error("{path}: {reason}")]
    Invalid {
        /// Where, for instance `syscalls[3].args[0].op`.
        path: String,
        /// What is wrong, and the way out.
        reason: String,
    },
}

impl ProfileError {
    pub(crate) fn at(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.into(), reason: reason.into() }
    }
}

/// A profile as it was written: its conditions on capabilities, kernels and architectures are still open.
///
/// An unknown key is an error: it could be the misspelt name of a restriction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    pub(crate) default_action: String,
    pub(crate) default_errno_ret: Option<u32>,
    /// Podman's: the same by name.
    pub(crate) default_errno: Option<String>,
    pub(crate) flags: Option<Vec<String>>,
    pub(crate) listener_path: Option<String>,
    pub(crate) listener_metadata: Option<String>,
    pub(crate) architectures: Option<Vec<String>>,
    pub(crate) arch_map: Option<Vec<ArchitectureGroup>>,
    pub(crate) syscalls: Option<Vec<Entry>>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
    #[serde(skip)]
    pub(crate) unknown_names: UnknownNames,
}

/// What a name means that is no system call's here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum UnknownNames {
    /// A slip of the pen: an error.
    #[default]
    Refuse,
    /// A call that is newer than the tables, which an engine newer than this runtime may name: left out of rules that are
    /// no stricter than the default, so that the filter only gets stricter by it; an error in others.
    SkipUnlessStricter,
}

/// An architecture with those whose programs its kernels run too.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ArchitectureGroup {
    pub(crate) architecture: String,
    pub(crate) sub_architectures: Option<Vec<String>>,
}

/// A group of calls with the same rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Entry {
    /// The old singular form.
    pub(crate) name: Option<String>,
    pub(crate) names: Option<Vec<String>>,
    pub(crate) action: String,
    pub(crate) errno_ret: Option<u32>,
    /// Podman's: the same by name.
    pub(crate) errno: Option<String>,
    pub(crate) args: Option<Vec<Argument>>,
    comment: Option<String>,
    pub(crate) includes: Option<Constraint>,
    pub(crate) excludes: Option<Constraint>,
    /// Whether all of its calls were given to other entries (`changes`).
    #[serde(skip)]
    pub(crate) vacant: bool,
}

impl Entry {
    /// An entry for one call, for everybody.
    pub(crate) fn of(call: Syscall, action: Action) -> Self {
        Self {
            name: None,
            names: Some(vec![call.name().to_owned()]),
            action: action.oci_name().to_owned(),
            errno_ret: action.datum().map(u32::from),
            errno: None,
            args: None,
            comment: None,
            includes: None,
            excludes: None,
            vacant: false,
        }
    }
}

/// A condition on an argument.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Argument {
    pub(crate) index: u64,
    pub(crate) value: u64,
    #[serde(default)]
    pub(crate) value_two: u64,
    pub(crate) op: String,
}

/// For whom an entry is (`includes`), or is not (`excludes`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Constraint {
    pub(crate) caps: Option<Vec<String>>,
    pub(crate) arches: Option<Vec<String>>,
    pub(crate) min_kernel: Option<String>,
}

impl Profile {
    /// Stockade's own, which a container has if nobody says otherwise. It makes Docker's decisions, with a reason beside each
    /// group, and is in Docker's format, so that it can be copied and changed (`profiles/default.json`).
    ///
    /// # Errors
    /// None: a test resolves and compiles it for each architecture.
    pub fn builtin() -> Result<Self, ProfileError> {
        Self::parse(BUILTIN)
    }

    /// What the profile itself says about its entry `index`, from 0: in our own, the reason for it.
    #[must_use]
    pub fn comment(&self, index: usize) -> Option<&str> {
        self.syscalls.as_deref()?.get(index)?.comment.as_deref()
    }

    /// Reads a profile of either format. Names and values are looked at by [`Profile::resolve`].
    ///
    /// # Errors
    /// [`ProfileError::Json`].
    pub fn parse(text: &[u8]) -> Result<Self, ProfileError> {
        Ok(serde_json::from_slice(text)?)
    }

    /// Reads `linux.seccomp`, in which nothing is open. Unlike in a profile, a call that is unknown here is no error as long
    /// as the filter only gets stricter without it: engines may be newer than the runtime, and other runtimes leave it out.
    ///
    /// # Errors
    /// As [`Profile::parse`], and if a key of Docker's or Podman's format occurs, which only an engine can resolve.
    pub fn parse_oci(text: &[u8]) -> Result<Self, ProfileError> {
        let profile = Self { unknown_names: UnknownNames::SkipUnlessStricter, ..Self::parse(text)? };
        let dockers = |path: String| ProfileError::at(path, "is of Docker's format, which an engine resolves before");
        let found = [("archMap", profile.arch_map.is_some()), ("defaultErrno", profile.default_errno.is_some())];
        if let Some((key, _)) = found.into_iter().find(|(_, there)| *there) {
            return Err(dockers(key.to_owned()));
        }
        for (index, entry) in profile.syscalls.iter().flatten().enumerate() {
            let found = [
                ("name", entry.name.is_some()),
                ("errno", entry.errno.is_some()),
                ("includes", entry.includes.is_some()),
                ("excludes", entry.excludes.is_some()),
            ];
            if let Some((key, _)) = found.into_iter().find(|(_, there)| *there) {
                return Err(dockers(format!("syscalls[{index}].{key}")));
            }
        }
        Ok(profile)
    }
}
