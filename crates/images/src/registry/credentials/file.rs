//! Docker's `config.json`: what it says of registries. Everything else in it is kept as it is.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::fs::{Gid, Uid};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use super::{Credentials, CredentialsError};
use crate::registry::host::Host;

/// The largest file that is read.
const LARGEST: u64 = 4 << 20;

/// The file as it was read.
pub(super) struct ConfigFile {
    path: PathBuf,
    document: Map<String, Value>,
}

impl ConfigFile {
    /// Reads it; one that is not there says nothing.
    ///
    /// # Errors
    /// If it cannot be read, or is no JSON object.
    pub(super) fn read(path: &Path) -> Result<Self, CredentialsError> {
        let failed = |source| CredentialsError::File { what: "read", path: path.to_owned(), source };
        let form = |reason: String| CredentialsError::Form { path: path.to_owned(), reason };
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(error)),
        };
        if bytes.len() as u64 > LARGEST {
            return Err(form(format!("it is larger than {LARGEST} bytes")));
        }
        if bytes.trim_ascii().is_empty() {
            return Ok(Self { path: path.to_owned(), document: Map::new() });
        }
        // serde's own words may have a part of the file in them.
        let place = |error: serde_json::Error| form(format!("no JSON object in line {}", error.line()));
        let document = serde_json::from_slice(&bytes).map_err(place)?;
        Ok(Self { path: path.to_owned(), document })
    }

    /// The helper for `host`, if one is named.
    ///
    /// # Errors
    /// If what stands there is no text.
    pub(super) fn helper(&self, host: &Host) -> Result<Option<&str>, CredentialsError> {
        let wrong =
            |what: &str| CredentialsError::Form { path: self.path.clone(), reason: format!("{what} is no text") };
        let own = self.document.get("credHelpers").and_then(Value::as_object);
        let own = own.and_then(|own| [host.credentials_key(), host.as_str()].iter().find_map(|key| own.get(*key)));
        let named = match own {
            Some(own) => Some(own.as_str().ok_or_else(|| wrong("credHelpers"))?),
            None => match self.document.get("credsStore") {
                Some(Value::Null) | None => None,
                Some(store) => Some(store.as_str().ok_or_else(|| wrong("credsStore"))?),
            },
        };
        Ok(named.filter(|name| !name.is_empty()))
    }

    /// What the file itself has for `host`.
    ///
    /// # Errors
    /// If it is not of Docker's form.
    pub(super) fn find(&self, host: &Host) -> Result<Option<Credentials>, CredentialsError> {
        let Some(all) = self.document.get("auths").and_then(Value::as_object) else { return Ok(None) };
        let exact = all.get(host.credentials_key());
        let Some(entry) = exact.or_else(|| all.iter().find(|(key, _)| Host::new(key) == *host).map(|(_, entry)| entry))
        else {
            return Ok(None);
        };
        let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credentials::IdentityToken(token.to_owned())));
        }
        if let Some(token) = text("registrytoken") {
            return Ok(Some(Credentials::RegistryToken(token.to_owned())));
        }
        if let Some(auth) = text("auth") {
            let wrong = || {
                let reason = format!("`auth` of {host} is not the base64 form of USER:PASSWORD");
                CredentialsError::Form { path: self.path.clone(), reason }
            };
            let decoded = BASE64_STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let decoded = decoded.ok_or_else(wrong)?;
            let (user, password) = decoded.split_once(':').ok_or_else(wrong)?;
            let password = password.trim_end_matches('\0');
            return Ok(Some(Credentials::Password { user: user.to_owned(), password: password.to_owned() }));
        }
        Ok(text("username")
            .zip(text("password"))
            .map(|(user, password)| Credentials::Password { user: user.to_owned(), password: password.to_owned() }))
    }

    /// Puts `credentials` there for `host`.
    ///
    /// # Errors
    /// If the file has something else in the place of registries.
    pub(super) fn keep(&mut self, host: &Host, credentials: &Credentials) -> Result<(), CredentialsError> {
        let entry = match credentials {
            Credentials::Password { user, password } => {
                json!({ "auth": BASE64_STANDARD.encode(format!("{user}:{password}")) })
            }
            Credentials::IdentityToken(token) => json!({ "identitytoken": token }),
            Credentials::RegistryToken(token) => json!({ "registrytoken": token }),
        };
        self.put(host, entry)
    }

    /// Notes that a helper keeps something for `host`, as Docker does.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub(super) fn mark(&mut self, host: &Host) -> Result<(), CredentialsError> {
        self.put(host, json!({}))
    }

    fn put(&mut self, host: &Host, entry: Value) -> Result<(), CredentialsError> {
        self.forget(host);
        let all = self.document.entry("auths").or_insert_with(|| json!({}));
        if all.is_null() {
            *all = json!({});
        }
        let reason = || "`auths` is no object".to_owned();
        let wrong = || CredentialsError::Form { path: self.path.clone(), reason: reason() };
        all.as_object_mut().ok_or_else(wrong)?.insert(host.credentials_key().to_owned(), entry);
        Ok(())
    }

    /// Takes away what is there for `host`, by any form of its name; whether there was something.
    pub(super) fn forget(&mut self, host: &Host) -> bool {
        let Some(all) = self.document.get_mut("auths").and_then(Value::as_object_mut) else { return false };
        let before = all.len();
        all.retain(|key, _| Host::new(key) != *host);
        all.len() != before
    }

    /// Writes the file in place of the old one, at once or not at all, and for its owner only. The owner stays who he was, since
    /// root may do this for somebody else.
    ///
    /// # Errors
    /// If that fails; then the old file is there.
    pub(super) fn write(&self) -> Result<(), CredentialsError> {
        let failed = |source| CredentialsError::File { what: "write", path: self.path.clone(), source };
        // People keep it under version control, by a symbolic link.
        let path =
            if self.path.is_symlink() { fs::canonicalize(&self.path).map_err(failed)? } else { self.path.clone() };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let above = folder.parent().and_then(|above| above.metadata().ok());
        if !folder.is_dir() {
            let made = fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut { made }, 0o700)
                .recursive(true)
                .create(folder)
                .map_err(failed)?;
            if let Some(above) = above {
                owned_by(&File::open(folder).map_err(failed)?, &above).map_err(failed)?;
            }
        }
        let owner = path.metadata().or_else(|_| folder.metadata()).map_err(failed)?;
        let mut bytes = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"\t"));
        self.document.serialize(&mut serializer).map_err(io::Error::from).map_err(failed)?;
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(io::Error::from)
            .map_err(failed)?;
        let temporary = folder.join(format!(".config.json.{:016x}", u64::from_be_bytes(random)));
        let written = write_new(&temporary, &bytes, &owner).and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|source| match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                CredentialsError::File { what: "remove", path: temporary.clone(), source: error }
            }
            _ => failed(source),
        })
    }
}

fn write_new(path: &Path, bytes: &[u8], owner: &fs::Metadata) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    owned_by(&file, owner)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives `file` to who owns what `owner` describes.
fn owned_by(file: &File, owner: &fs::Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    Ok(rustix::fs::fchown(file, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?)
}
