//! What a user keeps to show to registries: Docker's `config.json` and its credential helpers.

mod file;
mod helper;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::host::Host;
use file::ConfigFile;
use helper::Helper;

/// What is shown to a registry. Its `Debug` form has no secret in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// What tokens are got for at the registry's token server.
    IdentityToken(String),
    /// A token that is shown as it is.
    RegistryToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Password { .. } => "Password",
            Self::IdentityToken(_) => "IdentityToken",
            Self::RegistryToken(_) => "RegistryToken",
        })
    }
}

/// Why credentials cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// No home.
    #[error("cannot tell where Docker's config.json is: neither DOCKER_CONFIG nor HOME is set")]
    NoHome,
    /// The file or its folder.
    #[error("{what} {path}")]
    File {
        /// What was attempted.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Not what Docker writes.
    #[error("read {path}: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong. Never what stands there, which may be secret.
        reason: String,
    },
    /// A helper's name that is a path, or worse.
    #[error("`{}` in config.json is not the name of a credential helper", .0.escape_debug())]
    HelperName(String),
    /// A helper that is not installed.
    #[error("{0}, which config.json names, is not in PATH: install it, or change credsStore and credHelpers")]
    NoHelper(String),
    /// A helper that did not do it.
    #[error("{helper} {verb}: {reason}")]
    Helper {
        /// The program.
        helper: String,
        /// What it was asked for.
        verb: &'static str,
        /// What it said.
        reason: String,
    },
}

/// Docker's `config.json` and what it names.
#[derive(Clone, Debug)]
pub struct CredentialStore {
    path: PathBuf,
}

/// Where credentials were put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the file, readable for whoever can read it.
    Plain(PathBuf),
    /// By this helper.
    Helper(String),
}

impl CredentialStore {
    /// The user's: in `$DOCKER_CONFIG`, or else in `~/.docker`.
    ///
    /// # Errors
    /// If neither is known.
    pub fn of_user() -> Result<Self, CredentialsError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
        folder.map(|folder| Self::within(&folder)).ok_or(CredentialsError::NoHome)
    }

    /// The one in the folder `folder`.
    #[must_use]
    pub fn within(folder: &Path) -> Self {
        Self { path: folder.join("config.json") }
    }

    /// What is kept for the registry `server`, by any of the forms of its name.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn find(&self, server: &str) -> Result<Option<Credentials>, CredentialsError> {
        let host = Host::new(server);
        let config = ConfigFile::read(&self.path)?;
        match config.helper(&host)? {
            Some(name) => Helper::find(name)?.get(host.credentials_key()),
            None => config.find(&host),
        }
    }

    /// Keeps `credentials` for the registry `server`, in place of what was kept.
    ///
    /// # Errors
    /// See [`CredentialsError`]; then the file is as it was.
    pub fn keep(&self, server: &str, credentials: &Credentials) -> Result<Kept, CredentialsError> {
        let host = Host::new(server);
        let mut config = ConfigFile::read(&self.path)?;
        if let Some(name) = config.helper(&host)?.map(str::to_owned) {
            Helper::find(&name)?.store(host.credentials_key(), credentials)?;
            config.mark(&host)?;
            config.write()?;
            return Ok(Kept::Helper(name));
        }
        config.keep(&host, credentials)?;
        config.write()?;
        Ok(Kept::Plain(self.path.clone()))
    }

    /// Forgets what is kept for the registry `server`. It is no error if there is nothing.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn forget(&self, server: &str) -> Result<(), CredentialsError> {
        let host = Host::new(server);
        let mut config = ConfigFile::read(&self.path)?;
        if let Some(name) = config.helper(&host)? {
            Helper::find(name)?.erase(host.credentials_key())?;
        }
        if config.forget(&host) { config.write() } else { Ok(()) }
    }

    /// The name under which credentials for `server` are kept: what `docker logout` says.
    #[must_use]
    pub fn key(server: &str) -> String {
        Host::new(server).credentials_key().to_owned()
    }
}

impl Credentials {
    /// `Basic ...`, for those that have a name.
    pub(super) fn basic(&self) -> Option<String> {
        let Self::Password { user, password } = self else { return None };
        Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }
}
