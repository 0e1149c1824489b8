//! What the planner has to know of this machine and of the runtime itself.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use stockade_capabilities::{Capability, observe, support};
use stockade_kernel::namespace::{Namespaces, is_hosts_id_map};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_namespaces::{KINDS, inodes};
use stockade_spec::{Namespace, NamespaceType, Spec};

use crate::plan::{Facts, ProcessFacts, namespace_flag};

/// What could not be found out.
#[derive(Debug, thiserror::Error)]
#[error("cannot find out {what}")]
pub struct FactsError {
    what: &'static str,
    #[source]
    source: io::Error,
}

/// What is not known without procfs.
const PROCFS: &str = "what this kernel has: /proc is needed";

/// For `map_err`.
fn about(what: &'static str) -> impl FnOnce(io::Error) -> FactsError {
    move |source| FactsError { what, source }
}

/// What [`gather`] has found out.
#[derive(Debug)]
pub struct Gathered {
    /// For the planner.
    pub facts: Facts,
    /// The calling process' namespaces by their inode numbers: what is new in a container is none of them.
    pub own: Vec<(Namespaces, u64)>,
}

/// Looks at the kernel and at the calling process. `bundle` is absolute.
///
/// # Errors
/// [`FactsError`] if procfs does not tell.
pub fn gather(bundle: &Path, container_id: &str, spec: &Spec) -> Result<Gathered, FactsError> {
    let procfs = Procfs::host().map_err(about(PROCFS))?;
    let rootless = !rustix::process::geteuid().is_root();
    let own = inodes(&procfs, Subject::Myself).map_err(about("the runtime's own namespaces"))?;
    let facts = Facts {
        bundle: bundle.to_owned(),
        container_id: container_id.to_owned(),
        rootless: rootless || in_a_user_namespace(&procfs).map_err(about("the runtime's own id map"))?,
        process: of_process(&procfs)?,
        // Every process is in one of each kind that the kernel has.
        namespaces: own.iter().fold(Namespaces::empty(), |all, (kind, _)| all | *kind),
        own_namespace_paths: own_paths(&procfs, spec),
    };
    Ok(Gathered { facts, own })
}

/// The part of it that a process depends on which is added to a container.
///
/// # Errors
/// [`FactsError`] if procfs does not tell.
pub fn gather_for_process() -> Result<ProcessFacts, FactsError> {
    of_process(&Procfs::host().map_err(about(PROCFS))?)
}

fn of_process(procfs: &Procfs) -> Result<ProcessFacts, FactsError> {
    Ok(ProcessFacts {
        fixed_groups: fixed_groups(procfs).map_err(about("the runtime's own groups"))?,
        capabilities: observe::of_myself(procfs).map_err(about("the runtime's own capabilities"))?,
        last_capability: support::last_cap(procfs).map_err(about("which capabilities this kernel has"))?,
    })
}

/// The highest capability of the running kernel.
///
/// # Errors
/// [`FactsError`] if procfs does not tell.
pub fn last_capability() -> Result<Capability, FactsError> {
    let last = Procfs::host().and_then(|procfs| support::last_cap(&procfs));
    last.map_err(about("which capabilities this kernel has"))
}

/// Whether root is not the host's root: its id map is not the one that covers all ids.
fn in_a_user_namespace(procfs: &Procfs) -> io::Result<bool> {
    Ok(!is_hosts_id_map(&procfs.read(Subject::Myself, "uid_map")?))
}

/// The supplementary groups that every process here keeps.
fn fixed_groups(procfs: &Procfs) -> io::Result<Option<Vec<u32>>> {
    let fixed = !stockade_namespaces::setgroups(procfs, Subject::Myself)?;
    fixed.then(|| Ok(procfs.status(Subject::Myself)?.groups)).transpose()
}

/// Those of the configuration's namespace paths that lead to the runtime's own namespace of the type that they are given for,
/// by device and inode.
fn own_paths(procfs: &Procfs, spec: &Spec) -> Vec<(NamespaceType, PathBuf)> {
    let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let own = |kind: NamespaceType| {
        let (_, name) = KINDS.iter().find(|(flag, _)| *flag == namespace_flag(kind))?;
        let fd = procfs.open_namespace(Subject::Myself, name).ok()?;
        let found = rustix::fs::fstat(&fd).ok()?;
        Some((found.st_dev, found.st_ino))
    };
    let listed = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    let given = listed.filter(|namespace| !namespace.path.as_os_str().is_empty());
    let is_own = |given: &&Namespace| identity(&given.path).is_some_and(|found| own(given.kind) == Some(found));
    given.filter(is_own).map(|given| (given.kind, given.path.clone())).collect()
}
