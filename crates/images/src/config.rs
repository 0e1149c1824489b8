//! The configuration of an image (image-spec, config.md), which Docker writes in the same form.
//!
//! Only what is a wish about the inside of the container is taken from it, and each wish is checked: an environment that
//! is one, volumes that stay in the container (CVE-2022-23648), ports that are ports. Nothing in it names a path, a program,
//! a device or a log of the host (CVE-2026-53489 and its like), and annotations are not read at all (CVE-2026-94603).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use stockade_storage::{Digest, DigestError};

use crate::oci::document::nullable;
use crate::{HealthCheck, ImageConfig, Platform};

/// Why a configuration is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not of the form that the specification gives.
    #[error("it is no image configuration")]
    Json(#[source] serde_json::Error),
    /// It is for another machine.
    #[error("the image is for {0}, this machine is {1}; pull or save it for this platform")]
    Platform(String, String),
    /// Its layers are given in an unknown way.
    #[error("rootfs.type is `{}`, `layers` is the only one", .0.escape_debug())]
    RootFsType(String),
    /// A layer's digest that is none.
    #[error("rootfs.diff_ids")]
    DiffId(#[source] DigestError),
    /// A property that is out of its form.
    #[error("{property} `{}` {reason}", value.escape_debug())]
    Property {
        /// Which.
        property: &'static str,
        /// What stands there, at most a few hundred bytes of it.
        value: String,
        /// What is wrong.
        reason: &'static str,
    },
}

#[derive(Deserialize)]
struct Document {
    architecture: String,
    os: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    config: Wishes,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "nullable")]
    diff_ids: Vec<String>,
}

/// The part that Docker calls `Config`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wishes {
    #[serde(deserialize_with = "nullable")]
    user: String,
    #[serde(deserialize_with = "nullable")]
    exposed_ports: BTreeMap<String, IgnoredAny>,
    #[serde(deserialize_with = "nullable")]
    env: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    volumes: BTreeMap<String, IgnoredAny>,
    #[serde(deserialize_with = "nullable")]
    working_dir: String,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    stop_signal: String,
    healthcheck: Option<HealthCheck>,
    #[serde(deserialize_with = "nullable")]
    shell: Vec<String>,
}

/// The platform of this machine in OCI's words, which are Go's.
pub(crate) fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// What a configuration says of the image itself, whatever machine it is for.
pub(crate) struct Outline {
    pub(crate) platform: Platform,
    pub(crate) created: Option<String>,
    pub(crate) diff_ids: Vec<Digest>,
}

/// Reads what a configuration says of the image itself.
///
/// # Errors
/// See [`ConfigError`].
pub(crate) fn outline(bytes: &[u8]) -> Result<Outline, ConfigError> {
    read(bytes).map(|(_wishes, outline)| outline)
}

/// Reads a configuration for this machine: the wishes and the digests of the uncompressed layers, lowest first.
///
/// # Errors
/// See [`ConfigError`].
pub(crate) fn parse(bytes: &[u8]) -> Result<(ImageConfig, Vec<Digest>), ConfigError> {
    let (wishes, outline) = read(bytes)?;
    // Variants are for indexes: what an image says of its own is not to be relied on.
    let bare = Platform::new(outline.platform.os(), outline.platform.architecture(), "");
    if Platform::machine().rank(&bare).is_none() {
        let theirs = format!("{}/{}", bare.os(), bare.architecture()).escape_debug().to_string();
        return Err(ConfigError::Platform(theirs, Platform::machine().to_string()));
    }
    Ok((wishes, outline.diff_ids))
}

/// Reads a configuration, whatever machine it is for.
///
/// # Errors
/// See [`ConfigError`].
pub(crate) fn read(bytes: &[u8]) -> Result<(ImageConfig, Outline), ConfigError> {
    let document: Document = serde_json::from_slice(bytes).map_err(ConfigError::Json)?;
    let variant = document.variant.unwrap_or_default();
    let outline = Outline {
        platform: Platform::new(&document.os, &document.architecture, &variant),
        created: document.created,
        diff_ids: document.rootfs.read()?,
    };
    Ok((document.config.check()?, outline))
}

impl RootFs {
    /// The digests of the uncompressed layers, lowest first.
    fn read(self) -> Result<Vec<Digest>, ConfigError> {
        if self.kind != "layers" {
            return Err(ConfigError::RootFsType(self.kind));
        }
        let diff_ids = self.diff_ids.iter().map(|digest| digest.parse());
        diff_ids.collect::<Result<_, _>>().map_err(ConfigError::DiffId)
    }
}

impl Wishes {
    fn check(self) -> Result<ImageConfig, ConfigError> {
        for variable in &self.env {
            if variable.find('=').is_none_or(|place| place == 0) {
                return Err(refused("Env", variable, "is not of the form NAME=value"));
            }
        }
        let test = self.healthcheck.as_ref().map(|check| check.test.clone()).unwrap_or_default();
        let words = [
            ("Env", &self.env),
            ("Entrypoint", &self.entrypoint),
            ("Cmd", &self.cmd),
            ("Healthcheck", &test),
            ("Shell", &self.shell),
        ];
        let single = [("User", &self.user), ("StopSignal", &self.stop_signal), ("WorkingDir", &self.working_dir)];
        let all = words.iter().flat_map(|(property, values)| values.iter().map(move |value| (*property, value)));
        for (property, value) in all.chain(single) {
            if value.contains('\0') {
                return Err(refused(property, value, "has a zero byte"));
            }
        }
        Ok(ImageConfig {
            volumes: self.volumes.keys().map(|path| volume(path)).collect::<Result<_, _>>()?,
            exposed_ports: self.exposed_ports.keys().map(|port| ports(port)).collect::<Result<BTreeSet<_>, _>>()?,
            working_dir: working_dir(&self.working_dir),
            env: self.env,
            entrypoint: self.entrypoint,
            cmd: self.cmd,
            user: self.user,
            labels: self.labels,
            stop_signal: self.stop_signal,
            healthcheck: self.healthcheck,
            shell: self.shell,
        })
    }
}

fn refused(property: &'static str, value: &str, reason: &'static str) -> ConfigError {
    ConfigError::Property { property, value: value.chars().take(256).collect(), reason }
}

/// An absolute path below the root without `..`, in its shortest form.
fn volume(path: &str) -> Result<String, ConfigError> {
    if path.contains('\0') || !path.starts_with('/') {
        return Err(refused("Volumes", path, "is not an absolute path"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(refused("Volumes", path, "has `..` in it"));
    }
    if parts.is_empty() {
        return Err(refused("Volumes", path, "is the root directory"));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// The working directory as Docker understands it: from the root, `..` taken back. Links in it are the runtime's business.
fn working_dir(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if path.is_empty() { String::new() } else { format!("/{}", parts.join("/")) }
}

/// `port[-port][/protocol]`.
fn ports(text: &str) -> Result<String, ConfigError> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let number = |digits: &str| {
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|port| all && *port > 0)
    };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let in_order = number(first).zip(number(last)).is_some_and(|(first, last)| first <= last);
    if !in_order || !["tcp", "udp", "sctp"].iter().any(|known| protocol.eq_ignore_ascii_case(known)) {
        return Err(refused("ExposedPorts", text, "is not of the form port[/protocol]"));
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
