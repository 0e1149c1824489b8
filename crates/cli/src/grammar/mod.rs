//! The grammars of Docker's flag values that are not about security: those are `stockade_policy`'s.

pub(crate) mod csv;
pub(crate) mod environment;
pub(crate) mod expose;
pub(crate) mod filter;
pub(crate) mod label;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod pflag;
pub(crate) mod publish;
pub(crate) mod restart;
pub(crate) mod until;
pub(crate) mod volume;

/// A value that a flag does not take. The text names the flag, the value and what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {flag} {value:?}: {reason}")]
pub(crate) struct Invalid {
    /// The flag with its dashes.
    pub(crate) flag: &'static str,
    /// What was given.
    pub(crate) value: String,
    /// What is wrong with it, and what would be right.
    pub(crate) reason: String,
}

/// An [`Invalid`].
pub(crate) fn invalid(flag: &'static str, value: &str, reason: impl Into<String>) -> Invalid {
    Invalid { flag, value: value.to_owned(), reason: reason.into() }
}

/// An absolute path of the container, without `..` and not `/`: `--volume` and `--mount` mount on it.
///
/// # Errors
/// Anything else.
pub(crate) fn mount_target(flag: &'static str, value: &str, target: &str) -> Result<std::path::PathBuf, Invalid> {
    if !target.starts_with('/') {
        return Err(invalid(flag, value, format!("the path in the container, {target:?}, must be absolute")));
    }
    if target.split('/').any(|part| part == "..") {
        return Err(invalid(flag, value, "the path in the container must not have '..'"));
    }
    if target.trim_matches('/').is_empty() {
        return Err(invalid(flag, value, "the container's root cannot be replaced: give a path below /"));
    }
    Ok(target.into())
}
