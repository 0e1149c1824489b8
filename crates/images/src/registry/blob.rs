//! Blobs: read to the end however often the connection breaks.

use std::io::{self, Read};

use stockade_storage::Digest;
use ureq::BodyReader;
use ureq::http::header::{CONTENT_ENCODING, CONTENT_RANGE, RANGE};
use ureq::http::{HeaderValue, Method};

use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::refusal::{refusal, shown};
use super::repository::Repository;
use super::web::Answer;

/// So many bytes without a failure make the earlier failures forgotten: less could be a registry that never comes to an end.
const PROGRESS: u64 = 32 << 10;

/// A blob that is being read. See [`Repository::blob`].
pub struct BlobReader {
    repository: Repository,
    digest: Digest,
    size: u64,
    position: u64,
    body: Option<BodyReader<'static>>,
    /// Whether the length of `body` was announced.
    announced: bool,
    /// The endpoint that is asked.
    endpoint: usize,
    failures: u32,
    /// Where the last failure was.
    failed_at: u64,
}

impl BlobReader {
    pub(super) fn open(repository: Repository, digest: Digest, size: u64, offset: u64) -> Result<Self, RegistryError> {
        let position = offset.min(size);
        let mut reader = Self {
            repository,
            digest,
            size,
            position,
            body: None,
            announced: false,
            endpoint: 0,
            failures: 0,
            failed_at: position,
        };
        if position < size {
            reader.connect()?;
        }
        Ok(reader)
    }

    /// How many bytes from the beginning of the blob have been read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    fn what(&self) -> String {
        format!("fetch {} of {}", self.digest, self.repository.name())
    }

    /// Asks for the rest: the endpoint that was asked last, and after it those that follow.
    fn connect(&mut self) -> Result<(), RegistryError> {
        loop {
            let error = match self.connect_here() {
                Ok((body, announced)) => {
                    (self.body, self.announced) = (Some(body), announced);
                    return Ok(());
                }
                Err(error) => error,
            };
            self.failed(error)?;
        }
    }

    /// Counts a failure, and waits. One that does not pass, or too many of them, lead to the next endpoint.
    fn failed(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.body = None;
        if self.position - self.failed_at >= PROGRESS {
            self.failures = 0;
        }
        self.failures += 1;
        self.failed_at = self.position;
        let Some(endpoint) = self.repository.0.endpoints.get(self.endpoint) else { return Err(error) };
        match endpoint.wait_after(error, self.failures) {
            Ok(()) => Ok(()),
            Err(_) if self.endpoint + 1 < self.repository.0.endpoints.len() => {
                (self.endpoint, self.failures) = (self.endpoint + 1, 0);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The body of an answer that has the rest, and whether its length was announced.
    fn connect_here(&self) -> Result<(BodyReader<'static>, bool), RegistryError> {
        let endpoint = &self.repository.0.endpoints[self.endpoint];
        let what = self.what();
        let mut sketch = self.repository.sketch(Method::GET, self.repository.path(&format!("blobs/{}", self.digest)));
        if self.position > 0 {
            let range = format!("bytes={}-", self.position);
            let range = HeaderValue::from_str(&range).map_err(|error| self.protocol(endpoint, error.to_string()))?;
            sketch.headers = vec![(RANGE, range)];
        }
        let answer = endpoint.ask_once(&what, &sketch)?;
        if let Some(encoding) = answer.header(&CONTENT_ENCODING)
            && encoding != "identity"
        {
            let reason = format!("sends it in the encoding `{}`, which nobody asked for", shown(encoding));
            return Err(self.protocol(endpoint, reason));
        }
        let announced = answer.length().is_some();
        match answer.status.as_u16() {
            200 => self.whole(endpoint, answer).map(|body| (body, announced)),
            206 if self.position > 0 => self.part(endpoint, answer).map(|body| (body, announced)),
            _ => Err(refusal(&what, endpoint.name(), answer)),
        }
    }

    /// The body of an answer that has all of the blob, without what was read before: not every registry knows ranges.
    fn whole(&self, endpoint: &Endpoint, answer: Answer) -> Result<BodyReader<'static>, RegistryError> {
        self.check_size(endpoint, answer.length())?;
        let mut body = answer.body;
        let skipped = io::copy(&mut (&mut body).take(self.position), &mut io::sink());
        let cut = |source| RegistryError::Cut { what: self.what(), registry: endpoint.name().to_owned(), source };
        match skipped {
            Ok(skipped) if skipped == self.position => Ok(body),
            Ok(_) => Err(cut(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(cut(error)),
        }
    }

    /// The body of an answer that has the part that was asked for.
    fn part(&self, endpoint: &Endpoint, answer: Answer) -> Result<BodyReader<'static>, RegistryError> {
        let text = answer.header(&CONTENT_RANGE).unwrap_or_default();
        let range = text.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
        let first = range.and_then(|(bytes, _)| bytes.split_once('-')).and_then(|(first, _)| first.trim().parse().ok());
        if first != Some(self.position) {
            let reason = format!("sends the range `{}` for the bytes from {} on", shown(text), self.position);
            return Err(self.protocol(endpoint, reason));
        }
        let total = range.and_then(|(_, total)| total.trim().parse().ok());
        self.check_size(endpoint, total)?;
        Ok(answer.body)
    }

    fn check_size(&self, endpoint: &Endpoint, found: Option<u64>) -> Result<(), RegistryError> {
        match found {
            Some(found) if found != self.size => {
                let reason = format!("has {found} bytes of it, and it should have {}", self.size);
                Err(self.protocol(endpoint, reason))
            }
            _ => Ok(()),
        }
    }

    /// Has the connection kept for the next request, if the blob is read to its end. Where the length was announced, that is known
    /// without waiting for anything.
    fn end(&mut self) {
        if self.position < self.size {
            return;
        }
        if let Some(mut body) = self.body.take()
            && self.announced
        {
            // All that matters is read.
            match body.read(&mut [0]) {
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn protocol(&self, endpoint: &Endpoint, reason: String) -> RegistryError {
        RegistryError::Protocol { what: self.what(), registry: endpoint.name().to_owned(), reason }
    }
}

impl Read for BlobReader {
    /// # Errors
    /// Those of [`Repository::blob`], as the inner error.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        if most == 0 {
            return Ok(0);
        }
        loop {
            let error = match self.body.as_mut().map(|body| body.read(&mut buffer[..most])) {
                Some(Ok(read)) if read > 0 => {
                    self.position += read as u64;
                    self.end();
                    return Ok(read);
                }
                Some(Ok(_)) => Some(io::ErrorKind::UnexpectedEof.into()),
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Some(Err(error)) => Some(error),
                None => None,
            };
            if let Some(source) = error {
                let registry = self.repository.0.endpoints[self.endpoint].name().to_owned();
                self.failed(RegistryError::Cut { what: self.what(), registry, source }).map_err(io::Error::other)?;
            }
            self.connect().map_err(io::Error::other)?;
        }
    }
}
