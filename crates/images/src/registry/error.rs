//! Why a registry could not be asked, or said no.

use std::io;
use std::time::Duration;

use stockade_storage::{Digest, DigestError};

use super::certificates::CertificateError;
use super::credentials::CredentialsError;
use super::web::WebError;

/// Why something could not be had from a registry, or not be put there.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer.
    #[error("{what}")]
    Web {
        /// What was attempted.
        what: String,
        /// Why there is none.
        source: Box<WebError>,
    },
    /// The user's credentials.
    #[error("find the credentials for {registry}")]
    Credentials {
        /// For whom.
        registry: String,
        /// Why not.
        source: CredentialsError,
    },
    /// 404.
    #[error("{what}: {registry} does not have it{}", reason(.said))]
    Missing {
        /// What was attempted.
        what: String,
        /// Who was asked.
        registry: String,
        /// What he said of it.
        said: String,
    },
    /// 401 and 403.
    #[error(
        "{what}: {registry} denies it{}; it does not exist, or it takes other credentials: log in by `stockade login{}`",
        reason(.said), login(.registry)
    )]
    Denied {
        /// What was attempted.
        what: String,
        /// Who was asked.
        registry: String,
        /// What he said of it.
        said: String,
    },
    /// Credentials that are tried, and denied.
    #[error("log in at {registry}: it does not take this name and password{}", reason(.said))]
    Login {
        /// Who was asked.
        registry: String,
        /// What he said of it.
        said: String,
    },
    /// 429.
    #[error(
        "{what}: {registry} lets nobody ask so often{}{}; wait, or log in for a higher limit by `stockade login{}`",
        reason(.said), pause(.wait), login(.registry)
    )]
    Limited {
        /// What was attempted.
        what: String,
        /// Who was asked.
        registry: String,
        /// What he said of it.
        said: String,
        /// How long he wants nobody to ask again.
        wait: Option<Duration>,
    },
    /// Any other status that says no.
    #[error("{what}: {registry} answers {status}{}", reason(.said))]
    Status {
        /// What was attempted.
        what: String,
        /// Who was asked.
        registry: String,
        /// HTTP's.
        status: u16,
        /// What he said of it.
        said: String,
    },
    /// An answer that is none by the specification.
    #[error("{what}: {registry} {reason}")]
    Protocol {
        /// What was attempted.
        what: String,
        /// Who was asked.
        registry: String,
        /// What is wrong. What stands in it of the registry is escaped.
        reason: String,
    },
    /// An answer that stopped in the middle.
    #[error("{what}: the answer of {registry} broke off")]
    Cut {
        /// What was attempted.
        what: String,
        /// Who was asked.
        registry: String,
        /// How.
        source: io::Error,
    },
    /// Content that is not what was asked for.
    #[error("{what}: {registry} sent the content of {found} for {expected}: it is damaged or forged")]
    Digest {
        /// What was attempted.
        what: String,
        /// Who was asked.
        registry: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A manifest of the form that images had before 2016.
    #[error(
        "{what}: it is of Docker's schema 1, which has no digests to verify it by and is not supported; have it pushed again by a tool \
         of this decade"
    )]
    Schema1 {
        /// What was attempted.
        what: String,
    },
    /// What is to be put there cannot be read.
    #[error("{what}: read what is to be sent")]
    Source {
        /// What was attempted.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

impl RegistryError {
    /// Whether it may be otherwise if the same is asked for again soon.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Web { source, .. } => source.is_passing(),
            Self::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
            Self::Cut { .. } | Self::Limited { .. } => true,
            _ => false,
        }
    }
}

/// Why the configuration of registries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesError {
    /// A host that is none.
    #[error("`{}` is no registry: HOST or HOST:PORT", .0.escape_debug())]
    Insecure(String),
    /// A mirror that is none.
    #[error("`{}` is no mirror: https://HOST[:PORT], or http:// if it is this machine or named by --insecure-registry", .0.escape_debug())]
    Mirror(String),
    /// The file.
    #[error("read {path}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Not what the file should be.
    #[error("read {path}")]
    Form {
        /// The file.
        path: std::path::PathBuf,
        /// Where it breaks.
        source: serde_json::Error,
    },
    /// Certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Why a text of a registry's is no digest.
pub(super) fn digest_reason(header: &str, error: &DigestError) -> String {
    format!("sends {header} that is none: {error}")
}

fn reason(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn pause(wait: &Option<Duration>) -> String {
    wait.map_or(String::new(), |wait| format!(", for {} seconds", wait.as_secs()))
}

fn login(registry: &str) -> String {
    if registry == "docker.io" { String::new() } else { format!(" {registry}") }
}
