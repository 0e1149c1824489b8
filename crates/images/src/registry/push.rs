//! Blobs into a registry: found in another of its repositories, or sent (distribution-spec, "Pushing Blobs").

use std::io::{self, Read, Seek, SeekFrom};

use stockade_storage::Digest;
use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use ureq::http::{HeaderName, HeaderValue, Method, Uri};

use super::authorize::encoded;
use super::endpoint::{Endpoint, Place};
use super::error::RegistryError;
use super::host::{Origin, join};
use super::refusal::{refusal, shown};
use super::repository::Repository;
use super::web::{Answer, Ask, Content};
use crate::Name;

/// The size of a part of a blob that is sent on after the connection broke.
const CHUNK: u64 = 16 << 20;
/// The type of what is sent.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// An upload that the registry waits for.
struct Session<'a> {
    repository: &'a Repository,
    endpoint: &'a Endpoint,
    what: String,
    digest: Digest,
    size: u64,
}

impl Repository {
    /// Has the registry take a blob from another of its repositories; whether it did.
    ///
    /// # Errors
    /// If the registry cannot be asked.
    pub fn mount_blob(&self, digest: Digest, from: &Name) -> Result<bool, RegistryError> {
        if from.domain() != self.name().domain() {
            return Ok(false);
        }
        let what = format!("take {digest} from {} into {}", from.repository(), self.name());
        let endpoint = self.registry();
        let query = encoded(&[("mount", &digest.to_string()), ("from", from.path())]);
        let mut scopes = self.0.scopes.clone();
        scopes.push(format!("repository:{}:pull", from.path()));
        let mut sketch = self.sketch(Method::POST, self.path(&format!("blobs/uploads/?{query}")));
        sketch.content = Some(&[]);
        sketch.scopes = &scopes;
        let session = self.session(digest, 0, what.clone());
        let (done, location) = endpoint.ask(&what, &sketch, |answer| match answer.status.as_u16() {
            201 => Ok((true, None)),
            202 => Ok((false, session.location(&answer).ok())),
            // The other repository may be one that is not for us.
            401 | 403 | 404 | 405 => Ok((false, None)),
            _ => Err(refusal(&what, endpoint.name(), answer)),
        })?;
        if let Some(location) = location {
            // What waits there is not needed. A registry that does not take it back forgets it by itself.
            match endpoint.ask_once(&what, &self.sketch(Method::DELETE, Place::Whole(&location))) {
                Ok(_) | Err(_) => {}
            }
        }
        Ok(done)
    }

    /// Sends a blob; `content` has `size` bytes from its beginning on. After broken connections it goes on where the registry is,
    /// or from the beginning.
    ///
    /// # Errors
    /// If the registry does not take it; if `content` cannot be read.
    pub fn upload_blob(
        &self,
        digest: Digest,
        size: u64,
        content: &mut (impl Read + Seek),
    ) -> Result<(), RegistryError> {
        let session = self.session(digest, size, format!("push {digest} of {}", self.name()));
        let mut failures = 0;
        loop {
            match session.begin().and_then(|location| session.send(&location, content)) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    failures += 1;
                    session.endpoint.wait_after(error, failures)?;
                }
            }
        }
    }

    fn session(&self, digest: Digest, size: u64, what: String) -> Session<'_> {
        Session { repository: self, endpoint: self.registry(), what, digest, size }
    }
}

impl Session<'_> {
    /// Where the registry waits for the content.
    fn begin(&self) -> Result<Uri, RegistryError> {
        let mut sketch = self.repository.sketch(Method::POST, self.repository.path("blobs/uploads/"));
        sketch.content = Some(&[]);
        self.endpoint.ask(&self.what, &sketch, |answer| match answer.status.as_u16() {
            202 => self.location(&answer),
            _ => Err(refusal(&self.what, self.endpoint.name(), answer)),
        })
    }

    /// Sends all at once, and what is left of it in parts if the connection breaks.
    fn send(&self, location: &Uri, content: &mut (impl Read + Seek)) -> Result<(), RegistryError> {
        self.seek(content, 0)?;
        let place = self.finishing(location)?;
        let headers = [(CONTENT_TYPE, BYTES)];
        let error =
            match self.stream(Method::PUT, place, &headers, content, self.size).and_then(|answer| self.done(answer)) {
                Err(error) if error.is_passing() => error,
                done => return done,
            };
        // Registries that forgot it all get it all again.
        match self.received(location) {
            Some((next, received)) if (1..self.size).contains(&received) => self.send_rest(next, received, content),
            _ => Err(error),
        }
    }

    /// Sends what is missing from byte `position` on, and ends the upload.
    fn send_rest(&self, location: Uri, position: u64, content: &mut (impl Read + Seek)) -> Result<(), RegistryError> {
        let (mut location, mut position) = (location, position);
        while position < self.size {
            self.seek(content, position)?;
            let length = CHUNK.min(self.size - position);
            let range = format!("{position}-{}", position + length - 1);
            let range = HeaderValue::from_str(&range).map_err(|error| self.protocol(error.to_string()))?;
            let headers = [(CONTENT_TYPE, BYTES), (CONTENT_RANGE, range)];
            let answer = self.stream(Method::PATCH, location, &headers, content, length)?;
            if answer.status != 202 {
                return Err(refusal(&self.what, self.endpoint.name(), answer));
            }
            location = self.location(&answer)?;
            position += length;
        }
        let place = self.finishing(&location)?;
        let mut sketch = self.repository.sketch(Method::PUT, Place::Whole(&place));
        sketch.content = Some(&[]);
        self.done(self.endpoint.ask_once(&self.what, &sketch)?)
    }

    /// Whether the registry took it.
    fn done(&self, answer: Answer) -> Result<(), RegistryError> {
        match answer.status.as_u16() {
            201 | 204 => Ok(()),
            _ => Err(refusal(&self.what, self.endpoint.name(), answer)),
        }
    }

    /// How many bytes the registry has, and where the next are to be sent; `None` if it does not say.
    fn received(&self, location: &Uri) -> Option<(Uri, u64)> {
        let sketch = self.repository.sketch(Method::GET, Place::Whole(location));
        let answer = self.endpoint.ask_once(&self.what, &sketch).ok().filter(|answer| answer.status == 204)?;
        let last: u64 = answer.header(&RANGE)?.rsplit_once('-')?.1.trim().parse().ok()?;
        let next = self.location(&answer).unwrap_or_else(|_ignored| location.clone());
        Some((next, last + 1))
    }

    fn stream(
        &self,
        method: Method,
        uri: Uri,
        headers: &[(HeaderName, HeaderValue)],
        content: &mut impl Read,
        length: u64,
    ) -> Result<Answer, RegistryError> {
        let mut counted = Counted { inner: content, left: length, failed: None };
        let ask = Ask { method, uri, headers, secret: None, content: Content::Stream(&mut counted, length) };
        let answer = self.endpoint.send_stream(&self.what, ask, &self.repository.0.scopes);
        match counted.failed {
            Some(source) => Err(RegistryError::Source { what: self.what.clone(), source }),
            None => answer,
        }
    }

    /// The place of the next step, which `answer` names.
    fn location(&self, answer: &Answer) -> Result<Uri, RegistryError> {
        let text = answer.header(&LOCATION).unwrap_or_default();
        let wrong = || self.protocol(format!("sends to `{}`, where it must not send anybody", shown(text)));
        let place = join(&answer.uri, text).filter(|_| !text.is_empty()).ok_or_else(wrong)?;
        let (from, to) = (Origin::of(&answer.uri).ok_or_else(wrong)?, Origin::of(&place).ok_or_else(wrong)?);
        let insecure = self.endpoint.shared().web().is_insecure(&to);
        let insecure =
            insecure.map_err(|source| RegistryError::Web { what: self.what.clone(), source: Box::new(source) })?;
        if from.may_send_to(&to, insecure) { Ok(place) } else { Err(wrong()) }
    }

    /// The place with the digest, which ends an upload.
    fn finishing(&self, location: &Uri) -> Result<Uri, RegistryError> {
        let query = encoded(&[("digest", &self.digest.to_string())]);
        let text = location.to_string();
        let joint = if location.query().is_some() { '&' } else { '?' };
        format!("{text}{joint}{query}").parse().map_err(|_ignored| self.protocol("sends to no place".into()))
    }

    fn seek(&self, content: &mut impl Seek, position: u64) -> Result<(), RegistryError> {
        let seeked = content.seek(SeekFrom::Start(position));
        seeked.map(drop).map_err(|source| RegistryError::Source { what: self.what.clone(), source })
    }

    fn protocol(&self, reason: String) -> RegistryError {
        RegistryError::Protocol { what: self.what.clone(), registry: self.endpoint.name().to_owned(), reason }
    }
}

/// A reader of exactly so many bytes that remembers why it failed: otherwise that would look like a broken connection.
struct Counted<'a, R> {
    inner: &'a mut R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        match self.inner.read(&mut buffer[..most]) {
            Ok(0) => {
                self.failed = Some(io::Error::other("it is shorter than it should be"));
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}
