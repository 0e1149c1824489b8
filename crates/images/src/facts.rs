//! What the configuration of an image says of it, for people: `inspect`, `history`, filters. Nothing that runs a container
//! looks at it, and all of it was chosen by whoever made the image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stockade_storage::{Digest, DigestError};

use crate::config::ConfigError;
use crate::oci::document::nullable;

/// What an image says of itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// When it was made: RFC 3339, or whatever its maker wrote there; empty if nothing.
    #[serde(deserialize_with = "nullable")]
    pub created: String,
    /// Who made it.
    #[serde(deserialize_with = "nullable")]
    pub author: String,
    /// The architecture that it is for, in Go's words.
    pub architecture: String,
    /// Its variant, such as `v8`; empty without one.
    #[serde(deserialize_with = "nullable")]
    pub variant: String,
    /// The operating system that it is for.
    pub os: String,
    /// The defaults that it asks for, as they stand there.
    #[serde(deserialize_with = "nullable")]
    pub config: Defaults,
    /// The steps that it was made by, the oldest first.
    #[serde(deserialize_with = "nullable")]
    pub history: Vec<Step>,
    rootfs: RootFs,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct RootFs {
    #[serde(deserialize_with = "nullable")]
    diff_ids: Vec<String>,
}

/// The defaults of an image in Docker's form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Defaults {
    /// `user[:group]`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `port/protocol`, each with an empty object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, Value>>,
    /// `NAME=value` each.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program with its first arguments.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The arguments that a user's replace.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Paths, each with an empty object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<BTreeMap<String, Value>>,
    /// The working directory.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to stop.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// The shell of a Dockerfile's commands.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// What a build on top of it begins with.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// The health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Value>,
}

/// A step that an image was made by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Step {
    /// When.
    #[serde(deserialize_with = "nullable")]
    pub created: String,
    /// By which command.
    #[serde(deserialize_with = "nullable")]
    pub created_by: String,
    /// What its maker noted.
    #[serde(deserialize_with = "nullable")]
    pub comment: String,
    /// Whether it made no layer.
    #[serde(deserialize_with = "nullable")]
    pub empty_layer: bool,
}

impl Facts {
    /// Reads a configuration, whose size the caller has bounded. It may be one for another machine.
    ///
    /// # Errors
    /// If it is not of the form that the specification gives.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        serde_json::from_slice(bytes).map_err(ConfigError::Json)
    }

    /// The digests of its uncompressed layers, lowest first.
    ///
    /// # Errors
    /// If one is none.
    pub fn diff_ids(&self) -> Result<Vec<Digest>, DigestError> {
        self.rootfs.diff_ids.iter().map(|digest| digest.parse()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_and_buildah_write() {
        let facts = Facts::parse(
            br#"{"created":"2026-01-02T03:04:05Z","author":null,"architecture":"amd64","os":"linux","variant":"v2",
                "config":{"Env":["A=b"],"Cmd":null,"Labels":{"k":"v"},"ExposedPorts":{"80/tcp":{}},"Unknown":1},
                "rootfs":{"type":"layers","diff_ids":["sha256:aa"]},
                "history":[{"created_by":"RUN x"},{"created_by":"CMD","empty_layer":true,"comment":null}]}"#,
        )
        .unwrap();
        assert_eq!((facts.author.as_str(), facts.variant.as_str()), ("", "v2"));
        assert_eq!(facts.history.iter().map(|step| step.empty_layer).collect::<Vec<_>>(), [false, true]);
        assert!(facts.diff_ids().is_err());
        let shown = serde_json::to_string(&facts.config).unwrap();
        assert_eq!(shown, r#"{"ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Labels":{"k":"v"}}"#);
        assert_eq!(Facts::parse(b"{}").unwrap(), Facts::default());
        assert!(Facts::parse(b"1").is_err() && Facts::parse(br#"{"history":1}"#).is_err());
    }
}
