//! Registries that speak OCI's distribution protocol (github.com/opencontainers/distribution-spec): what is there, and putting
//! something there.
//!
//! [`Registries`] is what this machine knows of them, a [`Repository`] one name in one of them. Nothing that a registry sends is
//! believed: manifests are compared with their digests here, blobs by whoever reads them, sizes never exceed what was announced, and
//! what is said of errors is short and escaped. Secrets are shown to the registry that they are for and to nobody whom it sends to.
//!
//! Requests block. A [`Repository`] may be shared by threads.

mod authorize;
mod blob;
mod certificates;
#[cfg(fuzzing)]
pub(crate) mod challenge;
#[cfg(not(fuzzing))]
mod challenge;
mod credentials;
mod endpoint;
mod error;
mod host;
mod login;
mod manifest;
mod patience;
mod proxies;
mod push;
mod refusal;
mod repository;
mod resolve;
mod settings;
mod tls;
mod web;

pub use blob::BlobReader;
pub use certificates::CertificateError;
pub use credentials::{CredentialStore, Credentials, CredentialsError, Kept};
pub use error::{RegistriesError, RegistryError};
pub use login::{known_as, login};
pub use manifest::{Fetched, Resolved, Version};
pub use patience::Patience;
pub use proxies::ProxyError;
pub use repository::{Access, Repository};
pub use settings::{Registries, RegistryOptions};
pub use web::WebError;
