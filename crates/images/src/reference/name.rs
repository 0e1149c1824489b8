//! Names of images in registries, in Docker's grammar (github.com/distribution/reference) and normalised as Docker does.
//!
//! `[DOMAIN/]PATH[:TAG][@sha256:DIGITS]`. What stands before the first slash is a domain if it has a `.` or a `:`, is `localhost`
//! or has an upper-case letter; otherwise the domain is `docker.io`, where a path of one component is below `library/`.

use std::fmt;
use std::str::FromStr;

use stockade_storage::{Digest, DigestError};

/// Where names without a domain are.
const DEFAULT_DOMAIN: &str = "docker.io";
/// What Docker called it before.
const LEGACY_DOMAIN: &str = "index.docker.io";
/// Where paths of one component are in [`DEFAULT_DOMAIN`].
const OFFICIAL: &str = "library/";
/// The tag that is meant where neither a tag nor a digest is named.
const DEFAULT_TAG: &str = "latest";
/// The longest path, as in Docker.
const LONGEST_PATH: usize = 255;
/// The longest domain: a name in the DNS and a port. Docker has no bound.
const LONGEST_DOMAIN: usize = 255 + 6;
/// The longest tag.
const LONGEST_TAG: usize = 128;

/// A normalised name: domain and path are always there, and in bounds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    // Boxed, because names stand in many errors.
    domain: Box<str>,
    path: Box<str>,
    tag: Option<Box<str>>,
    digest: Option<Digest>,
}

/// Why a text is not the name of an image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not of the form.
    #[error("invalid reference format: `{}` is not [DOMAIN/]PATH[:TAG][@DIGEST]", .0.escape_debug())]
    Format(String),
    /// An upper-case letter in the path.
    #[error("invalid reference format: repository name ({}) must be lowercase", .0.escape_debug())]
    Uppercase(String),
    /// What would be read as an image's id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// More than [`LONGEST_PATH`] or [`LONGEST_DOMAIN`].
    #[error("invalid reference format: repository name must not be more than {LONGEST_PATH} characters")]
    TooLong,
    /// A tag with other characters than `[A-Za-z0-9_.-]`, that begins with `.` or `-`, or of more than 128 characters.
    #[error("invalid tag format: `{}`", .0.escape_debug())]
    Tag(String),
    /// A digest that is none, or not of SHA-256.
    #[error("invalid digest format")]
    Digest(#[from] DigestError),
}

impl Name {
    /// Reads and normalises a name. A tag and a digest may stand together: then the digest says what is meant.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if is_identifier(text) {
            return Err(NameError::Identifier(text.to_owned()));
        }
        let format = || NameError::Format(text.chars().take(512).collect());
        let (domain, rest) = split_domain(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let path =
            if domain == DEFAULT_DOMAIN && !path.contains('/') { format!("{OFFICIAL}{path}") } else { path.to_owned() };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let shown = path.chars().take(512).collect();
            return Err(NameError::Uppercase(shown));
        }
        if !is_domain(domain) || !is_path(&path) {
            return Err(format());
        }
        if path.len() > LONGEST_PATH || domain.len() > LONGEST_DOMAIN {
            return Err(NameError::TooLong);
        }
        let named =
            Self { domain: domain.into(), path: path.into(), tag: None, digest: digest.map(str::parse).transpose()? };
        match tag {
            Some(tag) => named.with_tag(tag),
            None => Ok(named),
        }
    }

    /// The registry, with the port if one is named: `docker.io`, `localhost:5000`, `[::1]:5000`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository in the registry: `library/alpine`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one is named.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, if one is named.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The name with the tag `latest` if it has neither a tag nor a digest: what `pull` means.
    #[must_use]
    pub fn tag_or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.into());
        }
        self
    }

    /// The name with another tag and the same digest.
    ///
    /// # Errors
    /// [`NameError::Tag`].
    pub fn with_tag(self, tag: &str) -> Result<Self, NameError> {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins = tag.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !begins || tag.len() > LONGEST_TAG || !tag.bytes().all(inner) {
            return Err(NameError::Tag(tag.chars().take(256).collect()));
        }
        Ok(Self { tag: Some(tag.into()), ..self })
    }

    /// The name with another digest and the same tag.
    #[must_use]
    pub fn with_digest(self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// The name without tag and digest: the repository.
    #[must_use]
    pub fn repository(&self) -> Self {
        Self { domain: self.domain.clone(), path: self.path.clone(), tag: None, digest: None }
    }

    /// The short form that Docker shows: without `docker.io/` and `library/`. It always reads back as the same name; where
    /// Docker's short form would not (`docker.io/localhost/a`), this is the full name.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(short) = full.strip_prefix(DEFAULT_DOMAIN).and_then(|rest| rest.strip_prefix('/')) else {
            return full;
        };
        let official = short.strip_prefix(OFFICIAL).filter(|_| self.path.matches('/').count() == 1);
        let short = official.unwrap_or(short);
        if Self::parse(short).as_ref() == Ok(self) { short.to_owned() } else { full }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.domain, self.path)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(formatter, ":{tag}"))?;
        self.digest.map_or(Ok(()), |digest| write!(formatter, "@{digest}"))
    }
}

/// Whether `text` is what an image's id is.
fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The domain and what follows it.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((LEGACY_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

/// `HOST[:PORT]`, where the host is a name, an IPv4 address, or an IPv6 address in brackets without a zone.
pub(crate) fn is_domain(text: &str) -> bool {
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let fine = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        return fine && (port.is_empty() || port.strip_prefix(':').is_some_and(digits));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let component = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    host.split('.').all(component) && port.is_none_or(digits)
}

/// Components of lower-case letters and digits, with one `.` or `_`, two `_`, or any number of `-` between them.
fn is_path(text: &str) -> bool {
    text.split('/').all(|component| {
        let letter = |byte: char| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inside = component.starts_with(letter) && component.ends_with(letter);
        let mut between = component.split(letter);
        inside && between.all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-'))
    })
}

#[cfg(test)]
mod tests;
