//! What was asked for: the OCI configuration that a container was made from, wherever its engine keeps it.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_spec::{Namespace, NamespaceType, Process, Spec};

use crate::audit::AuditError;

/// The largest configuration that is read: a thousand times what engines write.
const LARGEST: u64 = 16 << 20;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The configuration.
    pub spec: Spec,
    /// Where it was found.
    pub origin: String,
}

impl Asked {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`AuditError::Configuration`] if it cannot be read or is none.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let fail = |reason: String| AuditError::Configuration { path: path.to_owned(), reason };
        let mut options = std::fs::OpenOptions::new();
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true), flags);
        let file = options.open(path).map_err(|error| fail(error.to_string()))?;
        let found = file.metadata().map_err(|error| fail(error.to_string()))?;
        if !found.is_file() {
            return Err(fail("it is not a regular file".to_owned()));
        }
        // One read takes it, and one more finds its end.
        let mut content = Vec::with_capacity(usize::try_from(found.len().min(LARGEST)).unwrap_or_default() + 1);
        file.take(LARGEST + 1).read_to_end(&mut content).map_err(|error| fail(error.to_string()))?;
        if content.len() as u64 > LARGEST {
            return Err(fail("it has more than 16 MiB".to_owned()));
        }
        let (spec, _skipped) = Spec::parse(&content).map_err(|error| fail(error.to_string()))?;
        Ok(Self { spec, origin: path.display().to_string() })
    }

    /// The configuration of the process `pid`, if an engine that keeps it where that can be found made the process: conmon (Podman,
    /// CRI-O) names the bundle on its command line, a shim of containerd's (and so Docker's and Kubernetes') works in it, and runc and
    /// crun write it into their state. `None` if none is found; a file that is found and cannot be read is none, because it need not be
    /// this process'.
    #[must_use]
    pub fn find(procfs: &Procfs, pid: i32) -> Option<Self> {
        let parent = procfs.status(Subject::Pid(pid)).ok()?.parent;
        let bundle = of_conmon(procfs, parent).or_else(|| of_shim(procfs, parent, pid)).or_else(|| of_state(pid))?;
        Self::read(&bundle.join("config.json")).ok()
    }

    /// The process' section.
    pub(crate) fn process(&self) -> Option<&Process> {
        self.spec.process.as_ref()
    }

    /// The namespace of this kind, if it is new or joined.
    pub(crate) fn namespace(&self, kind: NamespaceType) -> Option<&Namespace> {
        self.spec.linux.as_ref()?.namespaces.iter().find(|namespace| namespace.kind == kind)
    }
}

/// The bundle that a conmon was given (`-b`).
fn of_conmon(procfs: &Procfs, parent: i32) -> Option<PathBuf> {
    let words = procfs.read(Subject::Pid(parent), "cmdline").ok()?;
    let mut words = words.split(|byte| *byte == 0);
    let program = Path::new(std::ffi::OsStr::from_bytes(words.next()?)).file_name()?.to_owned();
    if program != "conmon" {
        return None;
    }
    words.find(|word| *word == b"-b" || *word == b"--bundle")?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(words.next()?)))
}

/// The bundle of the task in which `pid` is the first process, among those of a shim of containerd's: the folder that the shim works in, or
/// one beside it, because one shim serves all containers of a pod. Each bundle has the number in `init.pid`.
fn of_shim(procfs: &Procfs, parent: i32, pid: i32) -> Option<PathBuf> {
    let name = procfs.status(Subject::Pid(parent)).ok()?.name;
    if !name.starts_with("containerd-shim") {
        return None;
    }
    let link = procfs.read_link(Subject::Pid(parent), "cwd").ok()?;
    let folder = PathBuf::from(std::ffi::OsStr::from_bytes(&link));
    let is_its = |folder: &PathBuf| {
        let number = std::fs::read_to_string(folder.join("init.pid"));
        number.is_ok_and(|number| number.trim().parse() == Ok(pid))
    };
    if is_its(&folder) {
        return Some(folder);
    }
    let mut beside = std::fs::read_dir(folder.parent()?).ok()?.flatten().map(|entry| entry.path());
    beside.find(is_its)
}

/// Where runtimes keep their states.
const STATES: [&str; 5] =
    ["/run/runc", "/run/crun", "/run/stockade/runtime", "/run/docker/runtime-runc/moby", "/run/containerd/runc/k8s.io"];

/// The bundle in the state of a runtime that says that it made `pid`.
fn of_state(pid: i32) -> Option<PathBuf> {
    for folder in STATES {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            for name in ["state.json", "status"] {
                if let Some(bundle) = bundle_in(&entry.path().join(name), pid) {
                    return Some(bundle);
                }
            }
        }
    }
    None
}

/// The bundle in one state, if it is of `pid`.
fn bundle_in(path: &Path, pid: i32) -> Option<PathBuf> {
    let text = std::fs::read(path).ok()?;
    let state: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let number = |field: &str| state[field].as_i64();
    if number("init_process_pid").or_else(|| number("pid")) != Some(i64::from(pid)) {
        return None;
    }
    let labels = state["config"]["labels"].as_array();
    let label = labels.and_then(|labels| labels.iter().find_map(|label| label.as_str()?.strip_prefix("bundle=")));
    label.or_else(|| state["bundle"].as_str()).map(PathBuf::from)
}
