//! The OCI runtime specification 1.3 as types: what an engine writes into `config.json` and a runtime reads.
//!
//! Plain data, without judgement: whether a value makes sense is for `stake`'s planner to say. Three rules hold for
//! every type. A value of an enumeration that the specification does not list is an error. A property that the
//! specification does not know is skipped, as it demands (`config.md`, "Extensibility"), and [`Spec::parse`] reports
//! its name so that nothing is lost in silence. `null` stands for an absent property, because engines written in Go
//! write it for empty lists.
//!
//! The seccomp section is kept as the bytes that stood in the file ([`serde_json::value::RawValue`]): the seccomp
//! room reads its own format, and a compiled filter is found by the digest of those bytes without parsing them.
//!
//! The well-known crate `oci-spec` is not used because it brings a regular expression engine into the privileged
//! programs, and drops unknown properties without a word.

mod linux;
mod located;
mod object;
mod process;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use object::{Object, object};

pub use linux::*;
pub use process::*;
pub use state::*;

/// The version that the engine writes.
pub const VERSION: &str = "1.3.0";

/// A whole `config.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The version of the specification that the file follows, a semantic version.
    pub oci_version: String,
    /// The root file system.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Mounts beyond the root, in order.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// The payload; needed by `start`, not by `create`.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The host name in the container's UTS namespace.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// The NIS domain name in the container's UTS namespace.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// Programs of the host to run at points of the container's life.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Metadata, handed on in the state; it never steers confinement.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What is particular to Linux.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
    /// Present if the file describes a virtual machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm: Option<serde_json::Value>,
    /// Present if the file describes a Windows container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<serde_json::Value>,
    /// Present if the file describes a Solaris container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solaris: Option<serde_json::Value>,
    /// Present if the file describes a z/OS container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zos: Option<serde_json::Value>,
    /// Present if the file describes a FreeBSD jail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freebsd: Option<serde_json::Value>,
}

/// Why a `config.json` could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct ParseError {
    /// The property at which parsing stopped, for instance `linux.namespaces[2].type`.
    pub path: String,
    /// What was wrong with it.
    source: serde_json::Error,
}

impl Spec {
    /// Parses a `config.json`; returns it with the paths of the properties that the specification does not know.
    ///
    /// # Errors
    /// [`ParseError`] naming the property that is malformed, has an unknown value, or is missing.
    pub fn parse(content: &[u8]) -> Result<(Self, Vec<String>), ParseError> {
        parse(content)
    }
}

/// Parses JSON of one of this crate's types; returns it with the paths of the properties that were skipped.
///
/// # Errors
/// [`ParseError`] naming the property that is malformed, has an unknown value, or is missing.
pub fn parse<'de, T: Deserialize<'de>>(content: &'de [u8]) -> Result<(T, Vec<String>), ParseError> {
    let mut skipped = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(content);
    // One type for all `T`: with a closure's own, what several of them contain would be there several times.
    let note: &mut dyn FnMut(serde_ignored::Path<'_>) = &mut |path| skipped.push(path.to_string());
    let parsed = serde_ignored::deserialize(&mut reader, note);
    match parsed.and_then(|value| reader.end().map(|()| value)) {
        Ok(Object(value)) => Ok((value, skipped)),
        Err(source) => {
            // What is no JSON is told with the byte that was looked at, and everything else with the last that was read.
            let column = source.column().saturating_sub(usize::from(source.is_syntax()));
            Err(ParseError { path: located::path(content, source.line(), column), source })
        }
    }
}

/// The container's root file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The folder, absolute or relative to the bundle.
    pub path: PathBuf,
    /// Whether the container sees it read-only.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub readonly: bool,
}

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where, in the container; a relative one is taken from `/`.
    pub destination: PathBuf,
    /// The file system type, or `bind`, or absent with a `bind` or `rbind` option.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What is mounted: a path of the host (relative to the bundle), a device or a dummy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<PathBuf>,
    /// Options of `mount(8)` and of the specification (`rro`, `tmpcopyup`, `idmap`, ...).
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// User ids as this mount shows them, for an id-mapped mount.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids as this mount shows them, for an id-mapped mount.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

/// The six kinds of hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Deprecated: run where `createRuntime` is, before it.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub prestart: Vec<Hook>,
    /// During create, in the runtime's namespaces, after the namespaces are made and before the root changes.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub create_runtime: Vec<Hook>,
    /// During create, in the container's namespaces, before the root changes.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub create_container: Vec<Hook>,
    /// During start, in the container's namespaces and root, before the payload.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub start_container: Vec<Hook>,
    /// During start, in the runtime's namespaces, after the payload was executed.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// During delete, in the runtime's namespaces, after the container is gone.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// One hook: a program of the host, with the container's state on its standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The program, absolute.
    pub path: PathBuf,
    /// Its arguments, the first being its name.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its whole environment, `NAME=VALUE`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Seconds after which it is killed, more than zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// For `skip_serializing_if`.
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

/// Reads `null` as the type's default.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{
        "ociVersion": "1.0.2", "process": {"cwd": "/", "args": ["sh"], "env": null, "user": {"uid": 7}, "colour": 1},
        "root": {"path": "rootfs"}, "mounts": null,
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/x"}],
                  "seccomp": {"defaultAction": "SCMP_ACT_ALLOW" }, "resources": {"pids": {"limit": 6}}}
    }"#;

    #[test]
    fn reads_names_and_keeps_what_it_skipped() {
        let (spec, skipped) = Spec::parse(SMALL.as_bytes()).unwrap();
        assert_eq!(skipped, ["process.?.colour"].map(str::to_owned));
        let linux = spec.linux.unwrap();
        assert_eq!(linux.namespaces[1].path, PathBuf::from("/x"));
        assert_eq!(linux.seccomp.unwrap().get(), r#"{"defaultAction": "SCMP_ACT_ALLOW" }"#);
        assert_eq!(linux.resources.unwrap().pids.unwrap().limit, Some(6));
    }

    #[test]
    fn an_unknown_value_is_an_error_that_names_the_property() {
        let error = Spec::parse(SMALL.replace("network", "planet").as_bytes()).unwrap_err();
        assert_eq!(error.path, "linux.namespaces[1].type");
        assert!(error.to_string().contains("planet"), "{error}");
    }

    #[test]
    fn a_list_is_no_object() {
        let minimal = |part: &str| format!(r#"{{"ociVersion": "1.3.0", {part}}}"#);
        for (path, part) in [
            ("process", r#""process": []"#),
            ("hooks", r#""hooks": []"#),
            ("linux", r#""linux": []"#),
            ("linux.resources", r#""linux": {"resources": []}"#),
            ("linux.resources.memory", r#""linux": {"resources": {"memory": [1]}}"#),
            ("linux.resources.blockIO", r#""linux": {"resources": {"blockIO": []}}"#),
            ("process.user", r#""process": {"cwd": "/", "user": []}"#),
            ("process.capabilities", r#""process": {"cwd": "/", "capabilities": []}"#),
        ] {
            let error = Spec::parse(minimal(part).as_bytes()).unwrap_err();
            assert_eq!(error.path, path, "{error}");
        }
        assert!(parse::<Resources>(b"[]").is_err());
        assert!(Spec::parse(minimal(r#""linux": null, "process": {"cwd": "/", "user": null}"#).as_bytes()).is_ok());
    }

    /// The same documents, each with another value in one place, by a reader that keeps the path to every value.
    #[test]
    fn the_path_is_that_of_a_reader_that_keeps_it() {
        let mut failed = 0;
        for text in [SMALL, include_str!("../../runtime/src/plan/testdata/docker.json")] {
            let document: serde_json::Value = serde_json::from_str(text).unwrap();
            for pointer in pointers(&document) {
                for wrong in [
                    "null",
                    "7",
                    "-1",
                    "1.5",
                    "true",
                    r#""x""#,
                    "[]",
                    "[7]",
                    "[[]]",
                    r#"[{"x":[]}]"#,
                    "{}",
                    r#"{"x":{}}"#,
                ] {
                    let mut changed = document.clone();
                    *changed.pointer_mut(&pointer).unwrap() = serde_json::from_str(wrong).unwrap();
                    for text in [changed.to_string(), serde_json::to_string_pretty(&changed).unwrap()] {
                        let mut reader = serde_json::Deserializer::from_str(&text);
                        let expected = serde_path_to_error::deserialize::<_, Object<Spec>>(&mut reader);
                        let expected = expected.err().map(|error| error.path().to_string());
                        let path = Spec::parse(text.as_bytes()).err().map(|error| error.path);
                        assert_eq!(path, expected, "{pointer} {wrong}: {:?}", Spec::parse(text.as_bytes()).err());
                        failed += usize::from(path.is_some());
                    }
                }
            }
        }
        assert!(failed > 1000, "{failed}");
    }

    /// Where in a document there are values.
    fn pointers(value: &serde_json::Value) -> Vec<String> {
        let below: Vec<(String, &serde_json::Value)> = match value {
            serde_json::Value::Object(map) => {
                map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
            }
            serde_json::Value::Array(list) => {
                list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        let deeper =
            below.iter().flat_map(|(key, value)| pointers(value).into_iter().map(move |path| format!("/{key}{path}")));
        std::iter::once(String::new()).chain(deeper).collect()
    }

    #[test]
    fn what_follows_the_object_is_an_error() {
        assert!(Spec::parse(format!("{SMALL} x").as_bytes()).is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (spec, _) = Spec::parse(SMALL.as_bytes()).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        let (again, skipped) = Spec::parse(text.as_bytes()).unwrap();
        assert!(skipped.is_empty());
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}
