//! `logout`: forgets what `login` kept.

use clap::Args;
use stockade_engine::images::registry::{CredentialStore, known_as};

use super::login::DEFAULT;
use crate::exit::{Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Log out from a registry
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// The registry; without it, Docker's
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Logout {
    /// Logs out. It is no error if nobody was logged in.
    pub(crate) fn run(self, _: &Global) -> Result<u8, Failure> {
        let store = CredentialStore::of_user().map_err(|error| Failure::failed(&error))?;
        let server = self.server.as_deref().unwrap_or(DEFAULT);
        say::line(&format!("Removing login credentials for {}", known_as(server)))?;
        store.forget(server).map_err(|error| Failure::failed(&error))?;
        Ok(SUCCESS)
    }
}
