//! The process that keeps the user's namespace, found or made.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};
use stockade_kernel::chain::chain;
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::{Strings, execute_with, exit_now};
use stockade_kernel::namespace::{self, Namespaces};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_monitor::HOLD;
use stockade_namespaces::{DelegateError, write_maps_delegated};

use super::ids::{self, IdsError};
use crate::files::FileError;
use crate::identity::reap;

/// In the folder: whose lock is held while the namespace is looked for.
const LOCK: &str = "lock";
/// In the folder: the id of the process that keeps the namespace, which has the file locked.
const HOLDER: &str = "holder";

/// Why there is no namespace.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ids.
    #[error(transparent)]
    Ids(#[from] IdsError),
    /// The maps.
    #[error("cannot give the user namespace its ids")]
    Maps(#[from] DelegateError),
    /// A namespace of somebody else's, or none.
    #[error("process {pid}, which {} names, is in a user namespace that is not the user's own", file.display())]
    Foreign {
        /// The process.
        pid: i32,
        /// What names it.
        file: PathBuf,
    },
    /// What should name a process does not.
    #[error("{} names no process: remove it, if no process has it open", .0.display())]
    Nameless(PathBuf),
    /// A step.
    #[error("cannot {step}")]
    Step {
        /// What was attempted.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process that was to keep it.
    #[error("the process that is to keep the user namespace ended: {0}")]
    Ended(String),
}

/// For `map_err`.
fn at<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> HolderError {
    move |source| HolderError::Step { step, source: source.into() }
}

/// Waits for the lock of `folder` and takes it.
pub(super) fn lock(folder: &Path) -> Result<OwnedFd, FileError> {
    let path = folder.join(LOCK);
    let file = open(&path)?;
    let take = || rustix::fs::flock(&file, FlockOperation::LockExclusive);
    rustix::io::retry_on_intr(take).map_err(FileError::at("lock", path))?;
    Ok(file)
}

/// A file of ours, made if it is missing.
fn open(path: &Path) -> Result<OwnedFd, FileError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::RUSR | Mode::WUSR).map_err(FileError::at("open", path))
}

/// The user's namespace: that of the process that keeps it, of a container's monitor, or a new one. [`lock`] is held.
pub(super) fn find_or_make(
    folder: &Path,
    data: &Path,
    programs: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<OwnedFd, HolderError> {
    let path = folder.join(HOLDER);
    let file = open(&path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => {
            return of(process_in(&path)?, &path);
        }
        locked => locked.map_err(FileError::at("lock", &path))?,
    }
    let found = of_monitors(data)?;
    keep(found.as_ref(), &Keeper { file: &file, path: &path, programs }, say)
}

/// The namespace of a container that runs although the process that kept it was killed.
fn of_monitors(data: &Path) -> Result<Option<OwnedFd>, HolderError> {
    let containers = data.join("containers");
    let entries = match std::fs::read_dir(&containers) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(FileError::at("read", &containers))?,
    };
    let mut unusable = None;
    for entry in entries {
        let path = entry.map_err(FileError::at("read", &containers))?.path().join(stockade_monitor::LOCK);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            file => file.map_err(FileError::at("open", &path))?,
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => {}
            // Nobody's: it is let go of at once.
            Ok(()) => continue,
            Err(errno) => return Err(FileError::at("lock", &path)(errno).into()),
        }
        match process_in(&path).and_then(|pid| of(pid, &path)) {
            Ok(namespace) => return Ok(Some(namespace)),
            // One that is being started has not written its id yet, or is about to end; another may tell.
            Err(error) => unusable = Some(error),
        }
    }
    // Not a new namespace while containers are in one: they could not be reached from it any more.
    unusable.map_or(Ok(None), Err)
}

/// The id of a process that is written in a file.
fn process_in(path: &Path) -> Result<i32, HolderError> {
    let text = std::fs::read_to_string(path).map_err(FileError::at("read", path))?;
    text.parse().map_err(|_no_number| HolderError::Nameless(path.to_owned()))
}

/// The user namespace of process `pid`, which must be the caller's own and not the one that the caller is in.
fn of(pid: i32, file: &Path) -> Result<OwnedFd, HolderError> {
    let procfs = Procfs::host().map_err(at("open /proc"))?;
    let namespace = procfs.open_namespace(Subject::Pid(pid), "user").map_err(at("open the user namespace"))?;
    let here = procfs.open_namespace(Subject::Myself, "user").map_err(at("open the own user namespace"))?;
    let number = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|found| found.st_ino).map_err(at("look at a namespace"));
    let owner = namespace::owner_uid(&namespace).map_err(at("see whose the user namespace is"))?;
    if owner != rustix::process::geteuid().as_raw() || number(&namespace)? == number(&here)? {
        return Err(HolderError::Foreign { pid, file: file.to_owned() });
    }
    Ok(namespace)
}

/// What the process that keeps the namespace is made with.
struct Keeper<'a> {
    /// Locked; stays so as long as the process lives.
    file: &'a OwnedFd,
    path: &'a Path,
    programs: &'a Path,
}

/// Makes the process that keeps `found`, or a new namespace without one.
fn keep(found: Option<&OwnedFd>, keeper: &Keeper<'_>, say: &mut dyn FnMut(&str)) -> Result<OwnedFd, HolderError> {
    let owned = match found {
        Some(_) => None,
        None => Some(ids::of_caller()?),
    };
    let new = if found.is_some() { Namespaces::empty() } else { Namespaces::USER };
    let (go, release) = pipe_with(PipeFlags::CLOEXEC).map_err(at("make a pipe"))?;
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC).map_err(at("make a pipe"))?;
    let made = clone3(&Request { new, ..Request::default() }).map_err(at("make a user namespace"))?;
    let (pid, pidfd) = match made {
        Forked::Child => {
            drop((release, told));
            hold(found, &go, &tell, keeper);
        }
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((go, tell));
    let number = pid.as_raw_nonzero().get();
    let ready = || {
        if let Some(owned) = &owned {
            let procfs = Procfs::host().map_err(at("open /proc"))?;
            write_maps_delegated(&procfs, pid, &owned.maps)?;
        }
        rustix::fs::ftruncate(keeper.file, 0).map_err(FileError::at("empty", keeper.path))?;
        let text = number.to_string();
        rustix::io::pwrite(keeper.file, text.as_bytes(), 0).map_err(FileError::at("write", keeper.path))?;
        rustix::io::write(&release, b"x").map_err(at("let the process go on"))?;
        let mut said = [0; 512];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&told, &mut said)).map_err(at("hear from it"))?;
        match length {
            // The kernel closed the pipe when the program was executed.
            0 => of(number, keeper.path),
            _ => Err(HolderError::Ended(String::from_utf8_lossy(&said[..length]).into_owned())),
        }
    };
    match ready() {
        Ok(namespace) => {
            if let Some(owned) = owned.filter(|owned| owned.alone) {
                say(&ids::alone_warning(&owned.user));
            }
            Ok(namespace)
        }
        Err(error) => {
            drop(release);
            pidfd_send_signal(&pidfd, Signal::KILL).map_err(at("end the process that keeps the user namespace"))?;
            reap(&pidfd).map_err(at("wait for the process that keeps the user namespace"))?;
            Err(error)
        }
    }
}

/// In the process that keeps the namespace: waits for its ids and executes the program, which only waits.
fn hold(found: Option<&OwnedFd>, go: &OwnedFd, tell: &OwnedFd, keeper: &Keeper<'_>) -> ! {
    let program = keeper.programs.join("stockade-monitor");
    let refuse = |message: String| {
        // Whoever does not hear it sees the end of this process.
        u8::from(rustix::io::write(tell, message.as_bytes()).is_err()) + 1
    };
    let prepared = || -> io::Result<(CString, Strings, Strings)> {
        if rustix::io::retry_on_intr(|| rustix::io::read(go, &mut [0; 1]))? == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some(namespace) = found {
            namespace::setns(namespace, Namespaces::USER)?;
        }
        rustix::process::setsid()?;
        rustix::process::chdir("/")?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        let words = Strings::from_bytes([program.as_os_str().as_bytes(), HOLD.as_bytes()])?;
        let none: [&[u8]; 0] = [];
        Ok((CString::new(program.as_os_str().as_bytes())?, words, Strings::from_bytes(none)?))
    };
    match prepared() {
        Err(error) => exit_now(refuse(chain(&error))),
        Ok((path, words, environment)) => {
            execute_with(&[keeper.file.as_fd()], &path, &words, &environment, |error, _moved| {
                refuse(format!("cannot execute {}: {error}", program.display()))
            })
        }
    }
}
