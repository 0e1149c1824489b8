//! Whom to believe: the system's certificate authorities, and for single registries their own, as Docker keeps them in
//! `/etc/docker/certs.d/HOST[:PORT]/`: `*.crt` are authorities, `NAME.cert` with `NAME.key` the client's own certificate.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use super::tls::{Nobody, Verifier};

/// Where systems keep their authorities: Debian and Arch; Fedora; openSUSE; Alpine.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The variable that names another file, as OpenSSL and Go have it.
const SYSTEM_VARIABLE: &str = "SSL_CERT_FILE";
/// The largest file of certificates.
const LARGEST: u64 = 8 << 20;
/// The most files that are read of a folder.
const MOST_FILES: usize = 64;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file or folder that is there and cannot be read.
    #[error("read the certificates in {0}")]
    Read(PathBuf, #[source] io::Error),
    /// No certificate, no key, or one that is damaged.
    #[error("{path} has no usable {what} in PEM form")]
    Form {
        /// The file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
    },
    /// One half of a pair.
    #[error("{there} is there and {missing} is not: a client's certificate and its key stand side by side")]
    Half {
        /// The file that is there.
        there: PathBuf,
        /// The file that should be.
        missing: PathBuf,
    },
    /// A certificate for another key.
    #[error("the key {0} does not belong to the certificate beside it")]
    Pair(PathBuf),
    /// More files than anybody has.
    #[error("{0} has more than {MOST_FILES} files")]
    Many(PathBuf),
    /// What rustls does not understand.
    #[error("use the certificates")]
    Tls(#[source] rustls::Error),
    /// Nobody to believe.
    #[error(
        "this machine has no file of certificate authorities: install the package ca-certificates, or name a file by {SYSTEM_VARIABLE}"
    )]
    NoSystem,
}

/// What a registry's folders say.
#[derive(Default)]
pub(super) struct Own {
    authorities: Vec<CertificateDer<'static>>,
    client: Option<Arc<CertifiedKey>>,
}

/// Where authorities are.
#[derive(Debug)]
pub(super) struct Certificates {
    folders: Vec<PathBuf>,
    system: OnceLock<RootCertStore>,
}

impl Certificates {
    /// Looks for the registries' own in `folders`.
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, system: OnceLock::new() }
    }

    /// What there is for a host by any of these names.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub(super) fn own(&self, names: &[String]) -> Result<Own, CertificateError> {
        let mut own = Own::default();
        for folder in self.folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name))) {
            own.add(&folder)?;
        }
        Ok(own)
    }

    /// The system's authorities, read once. Those that rustls does not understand are nobody's authority.
    fn system(&self) -> Result<RootCertStore, CertificateError> {
        if let Some(store) = self.system.get() {
            return Ok(store.clone());
        }
        let named = std::env::var_os(SYSTEM_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        let usual = || SYSTEM.iter().map(PathBuf::from).find(|path| path.is_file());
        let path = named.or_else(usual).ok_or(CertificateError::NoSystem)?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(authorities(&path)?);
        Ok(self.system.get_or_init(|| store).clone())
    }

    /// How TLS is to be spoken with a host that has `own`.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub(super) fn config(&self, own: &Own, check: Check) -> Result<Arc<ClientConfig>, CertificateError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(CertificateError::Tls)?.dangerous();
        let builder = match check {
            Check::Nobody => builder.with_custom_certificate_verifier(Arc::new(Nobody(provider))),
            Check::Authorities => {
                let authorities = WebPkiServerVerifier::builder_with_provider(self.roots(own)?, provider).build();
                let authorities = authorities.map_err(|_ignored| CertificateError::NoSystem)?;
                let listed = own.authorities.clone();
                builder.with_custom_certificate_verifier(Arc::new(Verifier { authorities, listed }))
            }
        };
        Ok(Arc::new(match &own.client {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key.clone()))),
            None => builder.with_no_client_auth(),
        }))
    }

    /// The system's authorities and the host's own: a registry with an authority of its own may as well be moved to a public one, as
    /// with Docker.
    fn roots(&self, own: &Own) -> Result<Arc<RootCertStore>, CertificateError> {
        let mut all = match self.system() {
            Ok(system) => system,
            Err(CertificateError::NoSystem) if own.has_authority() => RootCertStore::empty(),
            Err(error) => return Err(error),
        };
        for certificate in &own.authorities {
            all.add(certificate.clone()).map_err(CertificateError::Tls)?;
        }
        Ok(Arc::new(all))
    }
}

/// Whose certificates are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Those that an authority vouches for.
    Authorities,
    /// Anybody's: for registries that the user called insecure.
    Nobody,
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

impl Own {
    /// Whether there is an authority: then the host is to be believed only if that vouches for it.
    pub(super) fn has_authority(&self) -> bool {
        !self.authorities.is_empty()
    }

    fn add(&mut self, folder: &Path) -> Result<(), CertificateError> {
        let failed = |error| CertificateError::Read(folder.to_owned(), error);
        let entries = match folder.read_dir() {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        };
        let entries = entries.take(MOST_FILES + 1).map(|entry| entry.map(|entry| entry.path()));
        let mut paths: Vec<PathBuf> = entries.collect::<Result<_, _>>().map_err(failed)?;
        if paths.len() > MOST_FILES {
            return Err(CertificateError::Many(folder.to_owned()));
        }
        paths.sort();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.authorities.extend(authorities(&path)?),
                Some("cert") => self.client = Some(client(&path, &path.with_extension("key"))?),
                Some("key") if !path.with_extension("cert").exists() => {
                    let missing = path.with_extension("cert");
                    return Err(CertificateError::Half { there: path, missing });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The certificates in a file, at least one.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let form = || CertificateError::Form { path: path.to_owned(), what: "certificate" };
    let bytes = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|_ignored| form())?;
    if found.is_empty() { Err(form()) } else { Ok(found) }
}

/// The client's certificate and its key, which belong together.
fn client(chain: &Path, key: &Path) -> Result<Arc<CertifiedKey>, CertificateError> {
    if !key.exists() {
        return Err(CertificateError::Half { there: chain.to_owned(), missing: key.to_owned() });
    }
    let form = || CertificateError::Form { path: key.to_owned(), what: "key" };
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_ignored| form())?;
    let pair = CertifiedKey::from_der(authorities(chain)?, private, &provider());
    pair.map(Arc::new).map_err(|_ignored| CertificateError::Pair(key.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |error| CertificateError::Read(path.to_owned(), error);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if read as u64 > LARGEST {
        return Err(failed(io::Error::other(format!("it is larger than {LARGEST} bytes"))));
    }
    Ok(bytes)
}
