//! Why a configuration can not be planned: always by the path of the property in `config.json`.

use std::borrow::Cow;
use std::path::Path;

use stockade_capabilities::UnknownCapability;
use stockade_cgroups::PathError;
use stockade_cgroups::model::LimitError;

/// Why a configuration can not be planned. Nothing was touched.
///
/// Every variant begins with the property's path, `linux.namespaces[2].path`; [`PlanError::path`] gives it alone.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A value that the property can not have.
    #[error("{path} is {value:?}, must be {allowed}")]
    Invalid {
        /// The property.
        path: String,
        /// What stands in the file.
        value: String,
        /// What could stand there.
        allowed: Cow<'static, str>,
    },
    /// A property without which nothing can be done.
    #[error("{path} is missing: {why}")]
    Missing {
        /// The property.
        path: String,
        /// What needs it.
        why: &'static str,
    },
    /// Two properties that can not be had together.
    #[error("{path} ({value:?}) contradicts {other}: {why}")]
    Conflict {
        /// The property.
        path: String,
        /// What stands in the file.
        value: String,
        /// The other property, with its value where that tells more.
        other: String,
        /// The reason.
        why: Cow<'static, str>,
    },
    /// A property that this runtime does not carry out; it is refused because the container would be weaker without.
    #[error("{path} ({value:?}) is not supported: {why}")]
    Unsupported {
        /// The property.
        path: String,
        /// What stands in the file.
        value: String,
        /// The reason.
        why: &'static str,
    },
    /// A limit that no machine could take.
    #[error("{path} can not be a limit of a cgroup")]
    Limit {
        /// The property.
        path: String,
        /// What is wrong with it.
        source: LimitError,
    },
    /// A name that is no capability's.
    #[error("{path} has a wrong entry")]
    Capability {
        /// The property.
        path: String,
        /// The name, and the nearest one.
        source: UnknownCapability,
    },
    /// A cgroup's path that can not be one.
    #[error("{path} ({value:?}) can not be a cgroup's path")]
    Cgroup {
        /// The property.
        path: String,
        /// What stands in the file.
        value: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// Namespaces that can not be had together.
    #[error("{path} can not be had")]
    Namespaces {
        /// The property.
        path: String,
        /// What is wrong with it.
        source: stockade_namespaces::PlanError,
    },
    /// A map that the kernel does not take.
    #[error("{path} can not be a map of ids")]
    Map {
        /// The property.
        path: String,
        /// What is wrong with it.
        source: stockade_namespaces::MapError,
    },
}

impl PlanError {
    /// The path of the property in `config.json`, relative to the object that was planned.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Invalid { path, .. }
            | Self::Missing { path, .. }
            | Self::Conflict { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Limit { path, .. }
            | Self::Capability { path, .. }
            | Self::Cgroup { path, .. }
            | Self::Namespaces { path, .. }
            | Self::Map { path, .. } => path,
        }
    }

    /// [`PlanError::Invalid`] for anything that can be shown.
    pub(super) fn invalid(
        path: impl Into<String>,
        value: impl std::fmt::Display,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Invalid { path: path.into(), value: value.to_string(), allowed: allowed.into() }
    }

    /// [`PlanError::Conflict`].
    pub(super) fn conflict(
        path: impl Into<String>,
        value: impl std::fmt::Display,
        other: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Conflict { path: path.into(), value: value.to_string(), other: other.into(), why: why.into() }
    }

    /// [`PlanError::Unsupported`].
    pub(super) fn unsupported(path: impl Into<String>, value: impl std::fmt::Display, why: &'static str) -> Self {
        Self::Unsupported { path: path.into(), value: value.to_string(), why }
    }
}

/// A text that goes to the kernel, which ends its strings at NUL.
pub(super) fn without_nul(path: &str, text: &str) -> Result<(), PlanError> {
    if text.contains('\0') { Err(PlanError::invalid(path, text, "a text without NUL")) } else { Ok(()) }
}

/// A path that does not depend on where the runtime stands.
pub(super) fn absolute(path: &str, file: &Path) -> Result<(), PlanError> {
    use std::os::unix::ffi::OsStrExt;
    if !file.is_absolute() || file.as_os_str().as_bytes().contains(&0) {
        return Err(PlanError::invalid(path, file.display(), "an absolute path without NUL"));
    }
    Ok(())
}
