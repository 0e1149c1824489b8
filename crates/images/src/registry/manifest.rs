//! Manifests and indexes: fetched in bounds, and verified before anybody sees them.

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use stockade_storage::Digest;
use ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use ureq::http::{HeaderName, HeaderValue, Method};

use super::endpoint::Endpoint;
use super::error::{RegistryError, digest_reason};
use super::refusal::{refusal, shown};
use super::repository::Repository;
use super::web::Answer;
use crate::Name;
use crate::oci::document::LARGEST_MANIFEST;

/// What is asked for: all that an image can be.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// What registries send that is not asked for.
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
/// What says which content it is.
static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// One manifest of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version<'a> {
    /// The one that has this tag now.
    Tag(&'a str),
    /// The one with this content.
    Digest(Digest),
}

impl<'a> Version<'a> {
    /// What a name means: its digest, or else its tag, or else `latest`.
    #[must_use]
    pub fn of(name: &'a Name) -> Self {
        name.digest().map_or_else(|| Self::Tag(name.tag().unwrap_or("latest")), Self::Digest)
    }

    fn digest(&self) -> Option<Digest> {
        if let Self::Digest(digest) = self { Some(*digest) } else { None }
    }
}

impl fmt::Display for Version<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => formatter.write_str(tag),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

/// A manifest or index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// One of OCI's or of Docker's schema 2, for a manifest or an index.
    pub media_type: String,
    /// The document, at most 4 MiB.
    pub bytes: Vec<u8>,
    /// The digest of `bytes`: the one that was asked for, if one was.
    pub digest: Digest,
}

/// What a registry says of a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its media type, as the registry says.
    pub media_type: String,
    /// Its digest, as the registry says.
    pub digest: Digest,
    /// Its size in bytes, as the registry says.
    pub size: u64,
}

/// Enough of a document to tell what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    media_type: Option<String>,
    schema_version: Option<u64>,
}

impl Repository {
    /// Fetches a manifest or index. Where a mirror does not have it, or sends something else, the next one is asked.
    ///
    /// # Errors
    /// If nobody has it; if it is not what was asked for, too large, or of no kind that is an image's.
    pub fn manifest(&self, version: &Version<'_>) -> Result<Fetched, RegistryError> {
        let what = format!("fetch the manifest {version} of {}", self.name());
        self.first(|endpoint| {
            let sketch = self.manifest_sketch(Method::GET, version);
            endpoint.ask(&what, &sketch, |answer| fetched(&what, endpoint, version, answer))
        })
    }

    /// What a version is at the moment, by a request that rate limits do not count. `None` where the registry does not say it.
    ///
    /// # Errors
    /// If nobody has it, or can be asked.
    pub fn resolve(&self, version: &Version<'_>) -> Result<Option<Resolved>, RegistryError> {
        let what = format!("look for the manifest {version} of {}", self.name());
        self.first(|endpoint| {
            let sketch = self.manifest_sketch(Method::HEAD, version);
            endpoint.ask(&what, &sketch, |answer| {
                match answer.status.as_u16() {
                    200 => {}
                    405 | 501 => return Ok(None),
                    _ => return Err(refusal(&what, endpoint.name(), answer)),
                }
                let digest = answer.header(&CONTENT_DIGEST).and_then(|digest| digest.parse().ok());
                let size = answer.header(&CONTENT_LENGTH).and_then(|size| size.parse().ok());
                let media_type = media_type(&answer);
                Ok(digest.zip(size).zip(media_type).map(|((digest, size), media_type)| Resolved {
                    media_type,
                    digest,
                    size,
                }))
            })
        })
    }

    fn manifest_sketch(&self, method: Method, version: &Version<'_>) -> super::endpoint::Sketch<'_> {
        let mut sketch = self.sketch(method, self.path(&format!("manifests/{version}")));
        sketch.headers = vec![(ACCEPT, HeaderValue::from_static(ACCEPTED))];
        sketch
    }

    /// Puts a manifest or index there, of which everything is there already.
    ///
    /// # Errors
    /// If the registry does not take it, or takes it for another one.
    pub fn put_manifest(&self, version: &Version<'_>, media_type: &str, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let what = format!("push the manifest {version} of {}", self.name());
        let endpoint = self.registry();
        let protocol =
            |reason: String| RegistryError::Protocol { what: what.clone(), registry: endpoint.name().into(), reason };
        let digest = Digest::of(bytes);
        let kind = HeaderValue::from_str(media_type).map_err(|_ignored| protocol("takes no such media type".into()))?;
        let mut sketch = self.sketch(Method::PUT, self.path(&format!("manifests/{version}")));
        sketch.headers = vec![(CONTENT_TYPE, kind)];
        sketch.content = Some(bytes);
        endpoint.ask(&what, &sketch, |answer| {
            if !matches!(answer.status.as_u16(), 200..=202) {
                return Err(refusal(&what, endpoint.name(), answer));
            }
            match answer.header(&CONTENT_DIGEST).map(str::parse::<Digest>) {
                Some(Ok(taken)) if taken != digest => Err(protocol(format!("took it for {taken}, and it is {digest}"))),
                Some(Err(error)) => Err(protocol(digest_reason("a Docker-Content-Digest", &error))),
                _ => Ok(digest),
            }
        })
    }
}

/// The manifest in an answer.
fn fetched(what: &str, endpoint: &Endpoint, version: &Version<'_>, answer: Answer) -> Result<Fetched, RegistryError> {
    let registry = endpoint.name();
    if answer.status != 200 {
        return Err(refusal(what, registry, answer));
    }
    let protocol = |reason: String| RegistryError::Protocol { what: what.into(), registry: registry.into(), reason };
    let too_large = || protocol(format!("sends more than {LARGEST_MANIFEST} bytes, which no manifest has"));
    if answer.length().is_some_and(|length| length > LARGEST_MANIFEST) {
        return Err(too_large());
    }
    let media_type = media_type(&answer);
    let announced = answer.header(&CONTENT_DIGEST).map(str::parse::<Digest>).transpose();
    let mut bytes = Vec::new();
    let read = answer.body.take(LARGEST_MANIFEST + 1).read_to_end(&mut bytes);
    read.map_err(|source| RegistryError::Cut { what: what.into(), registry: registry.into(), source })?;
    if bytes.len() as u64 > LARGEST_MANIFEST {
        return Err(too_large());
    }
    let found = Digest::of(&bytes);
    let announced = announced.map_err(|error| protocol(digest_reason("a Docker-Content-Digest", &error)))?;
    for expected in [version.digest(), announced].into_iter().flatten() {
        if expected != found {
            return Err(RegistryError::Digest { what: what.into(), registry: registry.into(), expected, found });
        }
    }
    let media_type = kind(what, registry, media_type, &bytes)?;
    Ok(Fetched { media_type, bytes, digest: found })
}

/// The media type of an answer without its parameters.
fn media_type(answer: &Answer) -> Option<String> {
    let text = answer.header(&CONTENT_TYPE)?;
    let bare = text.split(';').next().unwrap_or_default().trim();
    Some(bare.to_ascii_lowercase()).filter(|bare| !bare.is_empty())
}

/// What a document is: what the registry says, or where it says nothing of use, what the document says.
fn kind(what: &str, registry: &str, said: Option<String>, bytes: &[u8]) -> Result<String, RegistryError> {
    let accepted = |kind: &str| ACCEPTED.split(", ").any(|one| one == kind);
    let own: Kind = serde_json::from_slice(bytes).unwrap_or(Kind { media_type: None, schema_version: None });
    let told =
        said.filter(|said| !matches!(said.as_str(), "application/json" | "text/plain" | "application/octet-stream"));
    let first = own.schema_version == Some(1);
    match told.or(own.media_type) {
        Some(kind) if accepted(&kind) => Ok(kind),
        Some(kind) if first || SCHEMA_1.contains(&kind.as_str()) => Err(RegistryError::Schema1 { what: what.into() }),
        None if first => Err(RegistryError::Schema1 { what: what.into() }),
        other => Err(RegistryError::Protocol {
            what: what.into(),
            registry: registry.into(),
            reason: match other {
                Some(kind) => format!("sends `{}`, which is no image", shown(&kind)),
                None => "does not say what it sends".to_owned(),
            },
        }),
    }
}
