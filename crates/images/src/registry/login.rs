//! Whether a registry takes a user's credentials.

use ureq::http::Method;

use super::authorize::Authority;
use super::credentials::{CredentialStore, Credentials};
use super::endpoint::{Endpoint, Place, Sketch};
use super::error::RegistryError;
use super::host::Host;
use super::refusal::refusal;
use super::settings::Registries;

/// Asks the registry `server` whether it takes `credentials`. Nothing is kept.
///
/// # Errors
/// If it does not, or cannot be asked.
pub fn login(registries: &Registries, server: &str, credentials: &Credentials) -> Result<(), RegistryError> {
    let host = Host::new(server);
    let what = format!("log in at {host}");
    let authority = Authority::with(host.clone(), credentials.clone());
    let endpoint = Endpoint::new(registries.0.clone(), host, None, authority);
    let place = Place::Path("/v2/".to_owned());
    let sketch = Sketch { method: Method::GET, place, headers: Vec::new(), content: None, scopes: &[] };
    let asked = endpoint.ask(&what, &sketch, |answer| match answer.status.as_u16() {
        200 => Ok(()),
        _ => Err(refusal(&what, endpoint.name(), answer)),
    });
    asked.map_err(|error| match error {
        RegistryError::Denied { registry, said, .. } => RegistryError::Login { registry, said },
        other => other,
    })
}

/// The name under which credentials for the registry `server` are kept, which is the one that `docker login` and `logout` say.
#[must_use]
pub fn known_as(server: &str) -> String {
    CredentialStore::key(server)
}
