//! A repository: one name in a registry, at the registry and at its mirrors.

use std::sync::Arc;

use stockade_storage::Digest;
use ureq::http::Method;
use ureq::http::header::CONTENT_LENGTH;

use super::authorize::Authority;
use super::blob::BlobReader;
use super::endpoint::{Endpoint, Place, Sketch};
use super::error::RegistryError;
use super::host::Host;
use super::refusal::refusal;
use super::settings::Registries;
use crate::Name;

/// What is going to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read. Mirrors are asked first.
    Pull,
    /// Read and write. Mirrors are not asked.
    Push,
}

/// A repository. Clones are the same, and may be used by several threads.
#[derive(Clone)]
pub struct Repository(pub(super) Arc<Inner>);

pub(super) struct Inner {
    registries: Registries,
    name: Name,
    pub(super) scopes: Vec<String>,
    /// In the order in which they are asked; at least one.
    pub(super) endpoints: Vec<Endpoint>,
}

impl Repository {
    /// The repository that `name` is in; tag and digest do not matter. Nobody is asked yet.
    #[must_use]
    pub fn open(registries: &Registries, name: &Name, access: Access) -> Self {
        let shared = &registries.0;
        let host = Host::new(name.domain());
        let endpoint = |host: Host, tls| {
            let authority = Authority::new(host.clone(), shared.credentials());
            Endpoint::new(shared.clone(), host, tls, authority)
        };
        let mirrors = shared.mirrors(&host).iter().filter(|_| access == Access::Pull);
        let mut endpoints: Vec<_> = mirrors.map(|mirror| endpoint(mirror.host.clone(), Some(mirror.tls))).collect();
        endpoints.push(endpoint(host, None));
        let actions = if access == Access::Push { "pull,push" } else { "pull" };
        let scopes = vec![format!("repository:{}:{actions}", name.path())];
        Self(Arc::new(Inner { registries: registries.clone(), name: name.repository(), scopes, endpoints }))
    }

    /// The same without its mirrors: for what came damaged from one of them.
    #[must_use]
    pub fn origin(&self) -> Self {
        let host = Host::new(self.0.name.domain());
        let shared = self.0.registries.0.clone();
        let authority = Authority::new(host.clone(), shared.credentials());
        let endpoints = vec![Endpoint::new(shared, host, None, authority)];
        let (registries, name, scopes) = (self.0.registries.clone(), self.0.name.clone(), self.0.scopes.clone());
        Self(Arc::new(Inner { registries, name, scopes, endpoints }))
    }

    /// The name, without tag and digest.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// Whether mirrors are asked.
    #[must_use]
    pub fn has_mirrors(&self) -> bool {
        self.0.endpoints.len() > 1
    }

    /// A blob from byte `offset` on: reads exactly `size - offset` bytes, whatever happens to connections, or fails. Its digest is for
    /// the reader to compare.
    ///
    /// # Errors
    /// If nobody has it, or says that it has another size.
    pub fn blob(&self, digest: Digest, size: u64, offset: u64) -> Result<BlobReader, RegistryError> {
        BlobReader::open(self.clone(), digest, size, offset)
    }

    /// The size of a blob at the registry, if it is there.
    ///
    /// # Errors
    /// If the registry cannot be asked.
    pub fn has_blob(&self, digest: Digest) -> Result<Option<u64>, RegistryError> {
        let what = format!("look for {digest} in {}", self.name());
        let endpoint = self.registry();
        let sketch = self.sketch(Method::HEAD, self.path(&format!("blobs/{digest}")));
        endpoint.ask(&what, &sketch, |answer| match answer.status.as_u16() {
            200 => {
                let length = answer.header(&CONTENT_LENGTH).and_then(|length| length.parse().ok());
                let reason = || "does not say how large it is".to_owned();
                let registry = || endpoint.name().to_owned();
                length.map(Some).ok_or_else(|| RegistryError::Protocol {
                    what: what.clone(),
                    registry: registry(),
                    reason: reason(),
                })
            }
            404 => Ok(None),
            _ => Err(refusal(&what, endpoint.name(), answer)),
        })
    }

    /// The registry itself.
    pub(super) fn registry(&self) -> &Endpoint {
        // There always is one.
        &self.0.endpoints[self.0.endpoints.len() - 1]
    }

    /// A path of this repository.
    pub(super) fn path(&self, rest: &str) -> Place<'static> {
        Place::Path(format!("/v2/{}/{rest}", self.0.name.path()))
    }

    pub(super) fn sketch<'a>(&'a self, method: Method, place: Place<'a>) -> Sketch<'a> {
        Sketch { method, place, headers: Vec::new(), content: None, scopes: &self.0.scopes }
    }

    /// Asks one endpoint after the other; what the last one says counts.
    ///
    /// # Errors
    /// The last one's.
    pub(super) fn first<T>(
        &self,
        mut of: impl FnMut(&Endpoint) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let (last, others) = (self.registry(), &self.0.endpoints[..self.0.endpoints.len() - 1]);
        for mirror in others {
            if let Ok(found) = of(mirror) {
                return Ok(found);
            }
        }
        of(last)
    }
}
