//! The engine of an ordinary user: as root of a user namespace that has the user's own id and those of `/etc/subuid` and `/etc/subgid`.
//!
//! All containers of one exec folder are in one such namespace, because only in the namespace that owns a process may another one
//! look into it and enter its namespaces. [`enter`] moves the calling process there and executes its program again, so that
//! everything else runs as it does for the host's root. What keeps the namespace is a small process (`stockade-monitor --hold`,
//! [`holder`]); one that was killed is replaced: while a container runs, its monitor's namespace is the one ([`holder::of_monitors`]).
//!
//! A mount namespace is not shared: each command makes its own, and what is mounted for a container is in its monitor's.
//!
//! Nothing that others could have put in place is trusted: the folders are looked at from `/` down before the first of them is
//! used ([`places`]), and a namespace must belong to the user.

mod holder;
mod ids;
mod places;

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::MountPropagationFlags;
use stockade_kernel::exec::{Strings, execute_fd};
use stockade_kernel::namespace::{self, Namespaces};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_storage::Privilege;

use crate::files::FileError;

pub use holder::HolderError;
pub use ids::IdsError;
pub use places::PlaceError;

/// What `enter` is told.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `--data-root`, if it was given.
    pub data: Option<PathBuf>,
    /// `--exec-root`, if it was given.
    pub exec: Option<PathBuf>,
    /// The folder of the programs.
    pub programs: PathBuf,
    /// The words that this program was started with.
    pub arguments: Vec<OsString>,
}

/// Why the user's namespace was not entered. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The folders.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ids.
    #[error(transparent)]
    Ids(#[from] IdsError),
    /// The namespace.
    #[error("cannot have a user namespace for containers (stockade doctor tells what is in the way)")]
    Holder(#[from] HolderError),
    /// A step.
    #[error("cannot {step} in the user namespace of the containers")]
    Step {
        /// What was attempted.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// For `map_err`.
fn at<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> EnterError {
    move |source| EnterError::Step { step, source: source.into() }
}

/// Whether this process is root of a user namespace only, as after [`enter`]. It is found out once: a process stays in its user
/// namespace but in `enter`, which executes the program anew.
///
/// # Errors
/// As reading `/proc/self`.
pub fn is_here() -> io::Result<bool> {
    static HERE: OnceLock<bool> = OnceLock::new();
    match HERE.get() {
        Some(here) => Ok(*here),
        None => Privilege::here().map(|privilege| *HERE.get_or_init(|| privilege != Privilege::Host)),
    }
}

/// Enters the user's namespace and executes this program again with the same arguments, after `--data-root` and `--exec-root` with the
/// folders that the user has by default; `say` is told once, when the namespace is made, what is weaker than it could be.
/// The caller has one thread and is not root.
///
/// # Errors
/// [`EnterError`]: the only way to return. This process may then be in the namespace and should end.
pub fn enter(entry: &Entry, say: &mut dyn FnMut(&str)) -> Result<Infallible, EnterError> {
    let path = std::env::current_exe().map_err(at("find this program"))?;
    let before = rustix::fs::stat("/proc/self/exe").map_err(at("look at this program"))?;
    let places = places::choose(entry.data.clone(), entry.exec.clone())?;
    let folder = places::own_folder(&places.exec.join("rootless"))?;
    // One at a time finds or makes the namespace; the lock ends with the exec.
    let lock = holder::lock(&folder)?;
    let namespace = holder::find_or_make(&folder, &places.data, &entry.programs, say)?;
    join(&namespace)?;
    // Opened in the new mount namespace: from the old one it would have no path any more, by which it finds the others beside it.
    let program = rustix::fs::openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let program = program.map_err(at("open this program"))?;
    let after = rustix::fs::fstat(&program).map_err(at("look at this program"))?;
    if (before.st_dev, before.st_ino) != (after.st_dev, after.st_ino) {
        return Err(at("find this program, which was replaced,")(rustix::io::Errno::STALE));
    }
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut given = entry.arguments.iter();
    words.extend(given.next().map(|name| name.as_bytes().to_vec()));
    for (flag, path) in [("--data-root", &places.data), ("--exec-root", &places.exec)] {
        words.push(flag.into());
        words.push(path.as_os_str().as_bytes().to_vec());
    }
    words.extend(given.map(|word| word.as_bytes().to_vec()));
    let arguments = Strings::from_bytes(words).map_err(at("pass the arguments on"))?;
    let environment = std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let environment = environment.map(CString::new).collect::<Result<_, _>>().map_err(at("pass the environment on"))?;
    let executed = execute_fd(&program, &arguments, &Strings::new(environment));
    drop(lock);
    executed.map_err(at("execute this program again"))
}

/// Enters `namespace` with a mount namespace of this process's own, to which the host's mounts come and from which none go.
fn join(namespace: &OwnedFd) -> Result<(), EnterError> {
    namespace::setns(namespace, Namespaces::USER).map_err(at("be root"))?;
    let procfs = Procfs::host().map_err(at("open /proc"))?;
    let groups = procfs.read(Subject::Myself, "setgroups").map_err(at("see whether groups can be left"))?;
    if groups.trim_ascii() == b"allow" {
        // The user's other groups are nobody's business in a container.
        rustix::thread::set_thread_groups(&[]).map_err(at("leave the user's groups"))?;
    }
    namespace::unshare(Namespaces::MOUNT).map_err(at("have mounts of one's own"))?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave).map_err(at("keep mounts from the host"))
}
