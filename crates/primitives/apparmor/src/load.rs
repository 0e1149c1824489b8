//! Compiling profiles and loading them into the kernel with the host's `apparmor_parser`.

use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::FlockOperation;

use crate::model::{DEFAULT_PROFILE, InvalidName, ProfileName};
use crate::plan::Load;
use crate::profile;
use crate::support::Support;

/// More than any profile has.
const LARGEST_PROFILE: u64 = 1 << 20;

/// A profile could not be brought into the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// What remembers the loaded text could not be read, locked or written.
    #[error("cannot keep the state of the AppArmor profile in {path}")]
    State {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The profile's file could not be read.
    #[error("cannot read the AppArmor profile {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file does not define exactly one profile.
    #[error("{path} defines {count} AppArmor profiles instead of one")]
    Count {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// The profile's name is not one that can be applied.
    #[error("the AppArmor profile in {path} cannot be applied")]
    Name {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: InvalidName,
    },
    /// The compiler is not installed.
    #[error("apparmor_parser is not installed")]
    NoParser,
    /// The compiler could not be run.
    #[error("cannot run {parser}")]
    Run {
        /// The program.
        parser: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The compiler refused.
    #[error("{parser} failed ({status}): {message}")]
    Refused {
        /// The program.
        parser: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it printed, at most 2000 characters.
        message: String,
    },
    /// It has the name of Stockade's own, which other containers have.
    #[error("the AppArmor profile in {} has the name {DEFAULT_PROFILE}, which is Stockade's own: give it another one", .0.display())]
    Own(PathBuf),
    /// The kernel does not list the profile after all.
    #[error("the AppArmor profile {0} was loaded but the kernel does not enforce it")]
    NotInForce(ProfileName),
    /// The kernel could not be asked.
    #[error("cannot ask the kernel for its AppArmor profiles")]
    Probe(#[source] io::Error),
}

/// Makes sure that the profile is in the kernel and returns its name. Stockade's own is compiled only if it is missing, not
/// enforced, or was last loaded with another text; `state` is the folder that remembers that, which must exist and be
/// writable by root only. Concurrent callers wait for each other.
///
/// # Errors
/// See [`LoadError`]. What was loaded before stays loaded.
pub fn ensure(load: &Load, support: &Support, state: &Path) -> Result<ProfileName, LoadError> {
    match load {
        Load::Loaded(name) => Ok(name.clone()),
        Load::Own => ensure_own(support, state),
        Load::File(path) => load_file(support, path),
    }
}

/// Loads Stockade's own profile if it has to be.
fn ensure_own(support: &Support, state: &Path) -> Result<ProfileName, LoadError> {
    let name = ProfileName::stockade_default();
    let text = profile::text(&name, Path::new(profile::ABI_FILE).is_file());
    let digest = profile::digest(text.as_bytes());
    let memory = state.join("apparmor-stockade-default.sha256");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::State { path, source }
    };
    let folder = std::fs::File::open(state).map_err(failed(state))?;
    rustix::fs::flock(&folder, FlockOperation::LockExclusive).map_err(io::Error::from).map_err(failed(state))?;
    let remembered = match std::fs::read_to_string(&memory) {
        Ok(remembered) => remembered,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(&memory)(error)),
    };
    // Another process may have loaded it while this one waited.
    let current = if support.find(DEFAULT_PROFILE).is_some() { support.clone() } else { probe()? };
    if remembered == digest && current.find(DEFAULT_PROFILE).is_some_and(|found| found.mode.confines()) {
        return Ok(name);
    }
    run_parser(support, &["--replace", "--skip-cache"], text.as_bytes())?;
    in_force(&name)?;
    let new = state.join("apparmor-stockade-default.sha256.new");
    std::fs::write(&new, &digest).map_err(failed(&new))?;
    std::fs::rename(&new, &memory).map_err(failed(&memory))?;
    Ok(name)
}

/// Loads the one profile of a file.
fn load_file(support: &Support, path: &Path) -> Result<ProfileName, LoadError> {
    let text = read_profile(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let listed = run_parser(support, &["--names"], &text)?;
    let listed = String::from_utf8_lossy(&listed);
    let names: Vec<&str> = listed.lines().filter(|line| !line.is_empty() && !line.contains("//")).collect();
    let [name] = names.as_slice() else {
        return Err(LoadError::Count { path: path.to_owned(), count: names.len() });
    };
    let name: ProfileName = name.parse().map_err(|source| LoadError::Name { path: path.to_owned(), source })?;
    if name.as_str() == DEFAULT_PROFILE {
        return Err(LoadError::Own(path.to_owned()));
    }
    run_parser(support, &["--replace", "--skip-cache"], &text)?;
    in_force(&name)?;
    Ok(name)
}

/// The content of a regular file of at most 1 MiB.
fn read_profile(path: &Path) -> io::Result<Vec<u8>> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = Vec::new();
    file.take(LARGEST_PROFILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST_PROFILE {
        return Err(rustix::io::Errno::FBIG.into());
    }
    Ok(text)
}

/// Runs the parser with `text` on its standard input, an empty environment and `/` as its folder, and returns what it prints.
fn run_parser(support: &Support, options: &[&str], text: &[u8]) -> Result<Vec<u8>, LoadError> {
    let parser = support.parser.as_deref().ok_or(LoadError::NoParser)?;
    let failed = |source| LoadError::Run { parser: parser.to_owned(), source };
    let mut child = Command::new(parser)
        .args(options)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // The parser reads all of its input before it prints; if it ends early its status tells why.
    let fed = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text));
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let message: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(2000).collect();
        return Err(LoadError::Refused { parser: parser.to_owned(), status: output.status, message });
    }
    fed.map_err(failed)?;
    Ok(output.stdout)
}

/// Fails unless the kernel lists `name` in a mode that confines (or complains, as a file may ask for).
fn in_force(name: &ProfileName) -> Result<(), LoadError> {
    let own = name.as_str() == DEFAULT_PROFILE;
    match probe()?.find(name.as_str()) {
        Some(found) if found.mode.confines() || !own => Ok(()),
        _ => Err(LoadError::NotInForce(name.clone())),
    }
}

/// Asks the kernel again.
fn probe() -> Result<Support, LoadError> {
    Support::probe().map_err(LoadError::Probe)
}
