//! Reading a profile: Docker's format, and OCI's `linux.seccomp`, which is a part of it.

use serde::Deserialize;

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
    pub(crate) flags: Option<Vec<String>>,
    pub(crate) listener_path: Option<String>,
    pub(crate) listener_metadata: Option<String>,
    pub(crate) architectures: Option<Vec<String>>,
    pub(crate) arch_map: Option<Vec<ArchitectureGroup>>,
    pub(crate) syscalls: Option<Vec<Entry>>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
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
    pub(crate) args: Option<Vec<Argument>>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
    pub(crate) includes: Option<Constraint>,
    pub(crate) excludes: Option<Constraint>,
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
    /// Reads a profile of either format. Names and values are looked at by [`Profile::resolve`].
    ///
    /// # Errors
    /// [`ProfileError::Json`].
    pub fn parse(text: &[u8]) -> Result<Self, ProfileError> {
        Ok(serde_json::from_slice(text)?)
    }

    /// Reads `linux.seccomp`, in which nothing is open.
    ///
    /// # Errors
    /// As [`Profile::parse`], and if a key of Docker's format occurs, which only an engine can resolve.
    pub(crate) fn parse_oci(text: &[u8]) -> Result<Self, ProfileError> {
        let profile = Self::parse(text)?;
        let dockers = |path: String| ProfileError::at(path, "is of Docker's format, which an engine resolves before");
        if profile.arch_map.is_some() {
            return Err(dockers("archMap".to_owned()));
        }
        for (index, entry) in profile.syscalls.iter().flatten().enumerate() {
            let found = [
                ("name", entry.name.is_some()),
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
