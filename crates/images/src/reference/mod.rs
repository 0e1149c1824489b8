//! Names of images, on this machine and in registries.
//!
//! `host`, `rootfs:DIR`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:TAG]`, as skopeo and Podman write
//! them. A path that holds a colon cannot be named, as with them. Everything else is a [`Name`].

mod name;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use name::is_domain;
pub use name::{Name, NameError};
use stockade_storage::Digest;

/// The longest reference that is read.
const LONGEST: usize = 4096 + 256;

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// The built-in image: this machine's programs, read-only, and nothing else of it.
    Host,
    /// A folder that holds a root file system. It is never written.
    RootFs(PathBuf),
    /// An OCI image layout in a folder.
    Oci {
        /// The folder.
        path: PathBuf,
        /// The image's name in the index; `None` means its only image.
        tag: Option<String>,
    },
    /// An OCI image layout in a tar archive.
    OciArchive {
        /// The archive.
        path: PathBuf,
        /// As in [`Reference::Oci`].
        tag: Option<String>,
    },
    /// What `docker save` writes.
    DockerArchive {
        /// The archive.
        path: PathBuf,
        /// The image's `name:tag`; `None` means its only image.
        tag: Option<String>,
    },
    /// An image that is or was in a registry, by its name in the store, or the beginning of its id there.
    Named(Name),
    /// An image of the store by its id.
    Id(Digest),
}

/// Why a text does not name an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No text at all.
    #[error("an image's name is empty")]
    Empty,
    /// Longer than a path may be.
    #[error("an image's name of {0} bytes is too long")]
    TooLong(usize),
    /// A control character, which no name needs and which would forge the output of whoever prints it.
    #[error("image `{}` has a control character in its name", .0.escape_debug())]
    Control(String),
    /// A transport without a path.
    #[error("image `{0}` has no path after `{1}:`")]
    NoPath(String, &'static str),
    /// A tag that is empty or has characters that none has.
    #[error(
        "image `{reference}`: `{tag}` is no tag (letters, digits and `_.:/@+-`; a path with a colon cannot be named)"
    )]
    Tag {
        /// The whole name.
        reference: String,
        /// What stands where the tag is.
        tag: String,
    },
    /// The built-in image takes nothing after its name.
    #[error("image `{0}`: `host` takes neither a path nor a tag")]
    Host(String),
    /// Everything else that is not in Docker's grammar.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Reference {
    /// Reads a reference; whether it exists is not looked at.
    ///
    /// # Errors
    /// See [`ReferenceError`].
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > LONGEST {
            return Err(ReferenceError::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(ReferenceError::Control(text.to_owned()));
        }
        if let Ok(id) = format!("sha256:{}", text.strip_prefix("sha256:").unwrap_or(text)).parse() {
            return Ok(Self::Id(id));
        }
        match text.split_once(':') {
            None if text == "host" => Ok(Self::Host),
            Some(("host", rest)) if !rest.contains('/') => Err(ReferenceError::Host(text.to_owned())),
            Some(("rootfs", "")) => Err(ReferenceError::NoPath(text.to_owned(), "rootfs")),
            Some(("rootfs", path)) => Ok(Self::RootFs(path.into())),
            Some(("oci", rest)) => located(text, "oci", rest).map(|(path, tag)| Self::Oci { path, tag }),
            Some(("oci-archive", rest)) => {
                located(text, "oci-archive", rest).map(|(path, tag)| Self::OciArchive { path, tag })
            }
            Some(("docker-archive", rest)) => {
                located(text, "docker-archive", rest).map(|(path, tag)| Self::DockerArchive { path, tag })
            }
            _ => Ok(Self::Named(Name::parse(text)?)),
        }
    }
}

impl Reference {
    /// The short form that Docker shows, see [`Name::familiar`].
    #[must_use]
    pub fn familiar(&self) -> String {
        match self {
            Self::Named(name) => name.familiar(),
            other => other.to_string(),
        }
    }
}

/// `PATH[:TAG]`. The tag of a Docker archive has a colon of its own (`name:tag`).
fn located(text: &str, transport: &'static str, rest: &str) -> Result<(PathBuf, Option<String>), ReferenceError> {
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err(ReferenceError::NoPath(text.to_owned(), transport));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/@+-".contains(&byte);
    match tag {
        Some(tag) if tag.is_empty() || tag.len() > 512 || !tag.bytes().all(allowed) => {
            Err(ReferenceError::Tag { reference: text.to_owned(), tag: tag.to_owned() })
        }
        tag => Ok((path.into(), tag.map(str::to_owned))),
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut write = |transport: &str, path: &Path, tag: &Option<String>| {
            write!(formatter, "{transport}:{}", path.display())?;
            tag.as_ref().map_or(Ok(()), |tag| write!(formatter, ":{tag}"))
        };
        match self {
            Self::Host => formatter.write_str("host"),
            Self::RootFs(path) => write("rootfs", path, &None),
            Self::Oci { path, tag } => write("oci", path, tag),
            Self::OciArchive { path, tag } => write("oci-archive", path, tag),
            Self::DockerArchive { path, tag } => write("docker-archive", path, tag),
            Self::Named(name) => name.fmt(formatter),
            Self::Id(id) => id.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_reads_back() {
        for text in [
            "host",
            "rootfs:/srv/root",
            "rootfs:a:b",
            "oci:dir",
            "oci:/a/b:latest",
            "oci-archive:x.tar:v1.0",
            "docker-archive:x.tar:docker.io/library/a:1",
            "docker-archive:x.tar",
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        }
        let tagged = Reference::Oci { path: "/a".into(), tag: Some("b".into()) };
        assert_eq!(Reference::parse("oci:/a:b"), Ok(tagged));
    }

    #[test]
    fn what_names_no_image_is_refused() {
        assert_eq!(Reference::parse(""), Err(ReferenceError::Empty));
        for text in ["Host", "docker://alpine", "/srv/root", "HOST:"] {
            assert!(matches!(Reference::parse(text), Err(ReferenceError::Name(_))), "{text}");
        }
        for text in ["host:", "host:x", "rootfs:", "oci:", "oci::x", "oci:a:", "oci:a:b c", "oci:a\n", "oci:\u{1b}[0m"]
        {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
        assert!(Reference::parse(&"a".repeat(5000)).is_err());
    }

    #[test]
    fn whole_ids_are_ids() {
        let hex = "0123456789abcdef".repeat(4);
        for text in [hex.clone(), format!("sha256:{hex}")] {
            assert_eq!(Reference::parse(&text).unwrap().to_string(), format!("sha256:{hex}"));
        }
        assert!(matches!(Reference::parse("0123456789ab"), Ok(Reference::Named(_))));
        assert!(matches!(Reference::parse("sha256:0123"), Ok(Reference::Named(_))));
    }

    #[test]
    fn what_is_nowhere_else_is_in_a_registry() {
        for (text, full) in [
            ("alpine", "docker.io/library/alpine"),
            ("docker.io/library/alpine:3.20", "docker.io/library/alpine:3.20"),
            ("host:5000/a/b", "host:5000/a/b"),
            ("host/a", "docker.io/host/a"),
            ("rootfs", "docker.io/library/rootfs"),
            ("oci/a:1", "docker.io/oci/a:1"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference, Reference::Named(Name::parse(text).unwrap()));
            assert_eq!(reference.to_string(), full);
            assert_eq!(Reference::parse(full), Ok(reference));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_reads_back(text in "(host|rootfs:|oci:|oci-archive:|docker-archive:|[a-z]{0,3})?\\PC{0,40}") {
            if let Ok(reference) = Reference::parse(&text) {
                match &reference {
                    Reference::Named(_) => prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference)),
                    _ => prop_assert_eq!(reference.to_string(), text),
                }
            }
        }
    }
}
