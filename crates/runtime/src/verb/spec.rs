//! `spec`: a `config.json` to begin with.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The file, for a caller with privileges.
const TEMPLATE: &str = include_str!("spec.json");

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The template can not be read: a fault of this program.
    #[error("cannot read the built-in configuration")]
    Template(#[from] serde_json::Error),
    /// Nothing that is there is overwritten.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// For whom the configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Root.
    Privileged,
    /// A user without privileges: in a user namespace in which the caller is root.
    Rootless,
}

/// Writes `bundle/config.json`, which must not be there.
///
/// # Errors
/// [`SpecError`]; a file that could not be written in full is removed.
pub fn write(bundle: &Path, kind: Kind) -> Result<(), SpecError> {
    let mut spec: Value = serde_json::from_str(TEMPLATE)?;
    if kind == Kind::Rootless {
        make_rootless(&mut spec);
    }
    let text = serde_json::to_string_pretty(&spec)? + "\n";
    let path = bundle.join("config.json");
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&path);
    let written = opened.and_then(|mut file| {
        let written = file.write_all(text.as_bytes());
        if written.is_err() {
            std::fs::remove_file(&path)?;
        }
        written
    });
    written.map_err(|source| SpecError::Write { path, source })
}

/// No cgroup, no network of its own, and only the caller's own ids.
fn make_rootless(spec: &mut Value) {
    let map = |host: u32| json!([{ "containerID": 0, "hostID": host, "size": 1 }]);
    let linux = &mut spec["linux"];
    linux["uidMappings"] = map(rustix::process::geteuid().as_raw());
    linux["gidMappings"] = map(rustix::process::getegid().as_raw());
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({ "type": "user" }));
    }
    let Some(mounts) = spec["mounts"].as_array_mut() else { return };
    for mount in mounts {
        if mount["destination"] == "/sys" {
            // A new sysfs needs a network namespace of one's own.
            let options = json!(["rbind", "nosuid", "noexec", "nodev", "ro"]);
            *mount = json!({ "destination": "/sys", "type": "none", "source": "/sys", "options": options });
        }
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "gid=5");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_configurations() {
        for kind in [Kind::Privileged, Kind::Rootless] {
            let folder = std::env::temp_dir().join(format!("stockade-spec-{kind:?}-{}", std::process::id()));
            std::fs::create_dir(&folder).unwrap();
            write(&folder, kind).unwrap();
            assert!(matches!(write(&folder, kind), Err(SpecError::Write { .. })), "nothing is overwritten");
            let text = std::fs::read(folder.join("config.json")).unwrap();
            let (spec, skipped) = stockade_spec::Spec::parse(&text).unwrap();
            assert!(skipped.is_empty() && spec.linux.is_some(), "{skipped:?}");
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
