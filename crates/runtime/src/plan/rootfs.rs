//! `root`, and the paths and propagation of its mounts.

use std::path::{Path, PathBuf};

use stockade_kernel::mount::Propagation;
use stockade_spec::{Linux, NamespaceType, Root, Spec};

use super::error::absolute;
use super::model::{MountPlan, MountSource, PropagationChange, Rootfs};
use super::namespaces::Own;
use super::{Facts, PlanError, devices, mounts};

/// The values of `linux.rootfsPropagation`. Without one the mounts keep what their options say, and the root is private.
const PROPAGATIONS: [(&str, Propagation, bool); 9] = [
    ("", Propagation::Private, false),
    ("shared", Propagation::Shared, false),
    ("rshared", Propagation::Shared, true),
    ("slave", Propagation::Slave, false),
    ("rslave", Propagation::Slave, true),
    ("private", Propagation::Private, false),
    ("rprivate", Propagation::Private, true),
    ("unbindable", Propagation::Unbindable, false),
    ("runbindable", Propagation::Unbindable, true),
];

/// Plans the root file system.
pub(super) fn plan(
    spec: &Spec,
    linux: &Linux,
    facts: &Facts,
    own: &Own,
    notices: &mut Vec<String>,
) -> Result<Rootfs, PlanError> {
    let missing = |path: &str| PlanError::Missing { path: path.to_owned(), why: "a Linux container has a root" };
    let root: &Root = spec.root.as_ref().ok_or_else(|| missing("root"))?;
    if root.path.as_os_str().is_empty() {
        return Err(missing("root.path"));
    }
    let path = facts.bundle.join(&root.path);
    absolute("root.path", &path)?;
    let mounts = mounts::plan(&spec.mounts, facts, own.is_new(NamespaceType::User), notices)?;
    Ok(Rootfs {
        path,
        readonly: root.readonly,
        propagation: propagation(&linux.rootfs_propagation)?,
        populate_dev: !mounts.iter().any(is_dev_of_the_host),
        mounts,
        devices: devices::plan(&linux.devices)?,
        masked_paths: paths("linux.maskedPaths", &linux.masked_paths)?,
        readonly_paths: paths("linux.readonlyPaths", &linux.readonly_paths)?,
    })
}

/// Whether a folder of the host is mounted at `/dev`: nothing is made in it then.
fn is_dev_of_the_host(mount: &MountPlan) -> bool {
    mount.destination == Path::new("/dev") && matches!(mount.source, MountSource::Bind { .. })
}

/// The propagation of the container's root.
fn propagation(value: &str) -> Result<PropagationChange, PlanError> {
    let found = PROPAGATIONS.iter().find(|(name, ..)| *name == value);
    let found = found.map(|(_, to, recursive)| PropagationChange { to: *to, recursive: *recursive });
    let allowed = "one of shared, slave, private, unbindable, or these with an r before";
    found.ok_or_else(|| PlanError::invalid("linux.rootfsPropagation", value, allowed))
}

/// Absolute paths.
fn paths(name: &str, list: &[PathBuf]) -> Result<Vec<PathBuf>, PlanError> {
    for (index, path) in list.iter().enumerate() {
        absolute(&format!("{name}[{index}]"), path)?;
    }
    Ok(list.to_vec())
}
