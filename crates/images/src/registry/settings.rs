//! What is known of registries before they are asked: which may be insecure, mirrors, certificates, credentials.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use ureq::http::Uri;

use super::certificates::Certificates;
use super::credentials::CredentialStore;
use super::error::RegistriesError;
use super::host::{Host, Origin};
use super::patience::Patience;
use super::proxies::Proxies;
use super::web::Web;
use crate::reference::is_domain;

/// The file of this machine.
const FILE: &str = "/etc/stockade/registries.json";
/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

/// How registries are to be dealt with.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// `HOST[:PORT]` of registries that are asked without TLS, or whose certificate nobody vouches for. This machine itself is
    /// always one.
    pub insecure: Vec<String>,
    /// URLs of mirrors of `docker.io`, which are asked before it.
    pub mirrors: Vec<String>,
    /// Folders with certificates, `HOST[:PORT]/*.crt`.
    pub certificates: Vec<PathBuf>,
    /// The user's credentials; `None` for none.
    pub credentials: Option<CredentialStore>,
    /// How long registries are waited for.
    pub patience: Patience,
}

/// The file, whose keys are those of Docker's `daemon.json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct Document {
    insecure_registries: Vec<String>,
    registry_mirrors: Vec<String>,
}

impl RegistryOptions {
    /// Nothing but what is the same everywhere: no insecure registries, no mirrors, no credentials.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Vec::new(),
            certificates: Vec::new(),
            credentials: None,
            patience: Patience::default(),
        }
    }

    /// What this machine and its user have: `/etc/stockade/registries.json`, `/etc/docker/certs.d`, `/etc/stockade/certs.d`, and
    /// Docker's `config.json`.
    ///
    /// # Errors
    /// If the file is there and not of its form.
    pub fn machine() -> Result<Self, RegistriesError> {
        let document = Document::read(Path::new(FILE))?;
        Ok(Self {
            insecure: document.insecure_registries,
            mirrors: document.registry_mirrors,
            certificates: vec!["/etc/docker/certs.d".into(), "/etc/stockade/certs.d".into()],
            // Without a home there are none.
            credentials: CredentialStore::of_user().ok(),
            patience: Patience::default(),
        })
    }
}

impl Document {
    fn read(path: &Path) -> Result<Self, RegistriesError> {
        let failed = |source| RegistriesError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        // serde would read a list as the struct as well.
        let object = serde_json::from_slice::<serde_json::Map<_, _>>(&bytes);
        let document = object.and_then(|object| serde_json::from_value(object.into()));
        document.map_err(|source| RegistriesError::Form { path: path.to_owned(), source })
    }
}

/// Registries, as this machine and its user have them; connections to them are kept. Clones are the same.
#[derive(Clone)]
pub struct Registries(pub(super) Arc<Shared>);

/// What all repositories share.
pub(super) struct Shared {
    web: Web,
    mirrors: Vec<Mirror>,
    credentials: Option<CredentialStore>,
    spoken: Mutex<HashMap<Host, bool>>,
}

/// A mirror.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    pub(super) host: Host,
    pub(super) tls: bool,
}

impl Registries {
    /// Takes the options in; asks nobody.
    ///
    /// # Errors
    /// If they are not of their form.
    pub fn new(options: RegistryOptions) -> Result<Self, RegistriesError> {
        for host in &options.insecure {
            if !is_host(host) {
                return Err(RegistriesError::Insecure(host.chars().take(256).collect()));
            }
        }
        let proxies = Proxies::new(|name| std::env::var(name).ok());
        let web = Web::new(Certificates::new(options.certificates), proxies, options.insecure, options.patience);
        let mirrors = options.mirrors.iter().map(|url| mirror(&web, url)).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Shared { web, mirrors, credentials: options.credentials, spoken: Mutex::default() })))
    }
}

impl Shared {
    pub(super) fn web(&self) -> &Web {
        &self.web
    }

    pub(super) fn credentials(&self) -> Option<CredentialStore> {
        self.credentials.clone()
    }

    /// The mirrors of `host`.
    pub(super) fn mirrors(&self, host: &Host) -> &[Mirror] {
        if host.is_docker() { &self.mirrors } else { &[] }
    }

    /// Whether `host` is known to speak TLS or not to.
    pub(super) fn speaks_tls(&self, host: &Host) -> Option<bool> {
        self.spoken.lock().unwrap_or_else(PoisonError::into_inner).get(host).copied()
    }

    pub(super) fn remember_tls(&self, host: &Host, tls: bool) {
        self.spoken.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), tls);
    }
}

/// Whether `text` is `HOST[:PORT]`, as in the name of an image.
fn is_host(text: &str) -> bool {
    text.len() <= 261 && is_domain(text)
}

fn mirror(web: &Web, url: &str) -> Result<Mirror, RegistriesError> {
    let wrong = || RegistriesError::Mirror(url.chars().take(256).collect());
    let uri: Uri = url.parse().map_err(|_ignored| wrong())?;
    let origin = Origin::of(&uri).filter(|_| uri.path().trim_matches('/').is_empty() && uri.query().is_none());
    let origin = origin.ok_or_else(wrong)?;
    let plain = match web.is_insecure(&origin) {
        Ok(insecure) => insecure,
        Err(super::web::WebError::Certificate(error)) => return Err(error.into()),
        Err(_) => false,
    };
    if !origin.tls && !plain {
        return Err(wrong());
    }
    let authority =
        uri.authority().map(|authority| authority.as_str()).filter(|text| is_host(text)).ok_or_else(wrong)?;
    Ok(Mirror { host: Host::new(authority), tls: origin.tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_dockers_keys_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registries.json");
        assert!(Document::read(&path).unwrap().registry_mirrors.is_empty());
        std::fs::write(&path, r#"{"insecure-registries": ["a:1"], "registry-mirrors": ["https://b"]}"#).unwrap();
        let document = Document::read(&path).unwrap();
        assert_eq!(
            (document.insecure_registries, document.registry_mirrors),
            (vec!["a:1".into()], vec!["https://b".into()])
        );
        for wrong in [r#"{"insecure-registry": []}"#, "[]", "", r#"{"registry-mirrors": [1]}"#] {
            std::fs::write(&path, wrong).unwrap();
            assert!(matches!(Document::read(&path), Err(RegistriesError::Form { .. })), "{wrong}");
        }
    }

    #[test]
    fn hosts_and_mirrors_are_checked() {
        let new = |insecure: &[&str], mirrors: &[&str]| {
            let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
            Registries::new(RegistryOptions {
                insecure: owned(insecure),
                mirrors: owned(mirrors),
                ..RegistryOptions::plain()
            })
        };
        assert!(new(&["a", "a.b:5000", "[::1]:5"], &["https://a", "https://a.b:1/", "http://127.0.0.1:5000"]).is_ok());
        assert!(new(&["a:1"], &["http://a:1"]).is_ok());
        for wrong in ["", "http://a", "a/b", "10.0.0.0/8", "a b", "a:b", "a@b"] {
            assert!(new(&[wrong], &[]).is_err(), "{wrong}");
        }
        for wrong in ["", "a", "http://a", "https://a/path", "https://a?q", "ftp://a", "https://user@a", "https://"] {
            assert!(new(&[], &[wrong]).is_err(), "{wrong}");
        }
    }
}
