//! From the choice of a system call filter to OCI's `linux.seccomp`.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use stockade_capabilities::CapSet;
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::model::{Action, Filter};
use stockade_seccomp::{Changes, CompileError, Compiled, Profile, ProfileError, Target};

use crate::security::Seccomp;

/// The most bytes of a profile: sixty times Docker's own.
pub const LARGEST_PROFILE: u64 = 1 << 20;

/// Where profiles are that are named: `NAME.json`.
pub const FOLDER: &str = "/etc/stockade/seccomp";

/// The kernel that a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its architecture.
    pub architecture: Arch,
    /// Its version, major and minor.
    pub version: (u32, u32),
}

impl Kernel {
    /// The running one. A version that cannot be read is the oldest, which a profile gives the least.
    #[must_use]
    pub fn running() -> Self {
        let target = Target::here(&[]);
        Self { architecture: target.architecture, version: target.kernel }
    }
}

/// Where a profile was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In Stockade.
    Builtin,
    /// In a file.
    File(PathBuf),
    /// In the option itself.
    Inline,
    /// In Stockade, and then changed.
    Changed(Changes),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => out.write_str("built in"),
            Self::File(path) => write!(out, "{}", path.display()),
            Self::Inline => out.write_str("given in place"),
            Self::Changed(changes) => write!(out, "default{changes}"),
        }
    }
}

/// A filter that cannot be had. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// The file cannot be read.
    #[error("cannot read the seccomp profile {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name that means nothing.
    #[error("there is no seccomp profile {name}: neither {} nor a file {name} in the working folder", path.display())]
    Missing {
        /// The name.
        name: String,
        /// Where it would be.
        path: PathBuf,
    },
    /// A name that means two files.
    #[error("the seccomp profile {name} is {} and a file in the working folder: write ./{name} for that, or the other path", path.display())]
    Ambiguous {
        /// The name.
        name: String,
        /// The one in the folder.
        path: PathBuf,
    },
    /// It is a folder, a device, a pipe.
    #[error("the seccomp profile {} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It is not a profile that somebody wrote.
    #[error("the seccomp profile {0} has more than {LARGEST_PROFILE} bytes")]
    TooLarge(Origin),
    /// What it says.
    #[error("the seccomp profile {origin} cannot be used")]
    Profile {
        /// Where it was.
        origin: Origin,
        /// What is wrong, and where in it.
        #[source]
        source: CompileError,
    },
    /// A rule that no runtime can load: it would have to ask the listener before the listener is there.
    #[error(
        "the seccomp profile {origin} cannot be used: syscalls[{entry}] has SCMP_ACT_NOTIFY for write, which runtimes refuse"
    )]
    NotifiesWrite {
        /// Where it was.
        origin: Origin,
        /// Which entry, from 0.
        entry: usize,
    },
    /// The filter could not be written down.
    #[error("cannot write the seccomp filter as JSON")]
    Json(#[from] serde_json::Error),
}

/// A profile with where it was.
#[derive(Debug)]
pub struct Found {
    /// Where.
    pub origin: Origin,
    /// The profile, or what is wrong with what was there.
    pub profile: Result<Profile, ProfileError>,
}

impl Seccomp {
    /// The profile with where it was; `None` for [`Seccomp::Unconfined`]. Reads the file, if it is one; a relative path is of the working
    /// folder, and names are looked for in `folder` ([`FOLDER`]) and there.
    ///
    /// # Errors
    /// [`SeccompError`] for a file that cannot be read, and a name that means none or two.
    pub fn profile(&self, folder: &Path) -> Result<Option<Found>, SeccompError> {
        let of_file = |path: &Path| {
            let profile = Profile::parse(&read(path)?);
            Ok::<_, SeccompError>(Found { origin: Origin::File(path.to_owned()), profile })
        };
        Ok(Some(match self {
            Self::Unconfined => return Ok(None),
            Self::Builtin => Found { origin: Origin::Builtin, profile: Profile::builtin() },
            Self::Changed(changes) => {
                let profile = Profile::builtin().and_then(|profile| profile.changed(changes));
                Found { origin: Origin::Changed(changes.clone()), profile }
            }
            Self::File(path) => of_file(path)?,
            Self::Named(name) => of_file(&named(folder, name)?)?,
            Self::Inline(text) if text.len() as u64 > LARGEST_PROFILE => {
                return Err(SeccompError::TooLarge(Origin::Inline));
            }
            Self::Inline(text) => Found { origin: Origin::Inline, profile: Profile::parse(text.as_bytes()) },
        }))
    }

    /// OCI's `linux.seccomp` for a container with the `bounding` set of capabilities on `kernel`; `None` for
    /// [`Seccomp::Unconfined`]. Reads the file of [`Seccomp::File`]; a relative path is of the working folder.
    ///
    /// What others wrote is compiled once to see that it can be; our own profile can, for whatever capabilities and kernel, which a test
    /// of this crate shows. The result names no capability, kernel or architecture any more.
    ///
    /// # Errors
    /// [`SeccompError`].
    pub fn resolve(&self, bounding: CapSet, kernel: Kernel) -> Result<Option<Box<RawValue>>, SeccompError> {
        let Some(Found { origin, profile }) = self.profile(Path::new(FOLDER))? else { return Ok(None) };
        let names: Vec<String> = bounding.iter().map(|capability| capability.to_string()).collect();
        let capabilities: Vec<&str> = names.iter().map(String::as_str).collect();
        let target = Target { architecture: kernel.architecture, kernel: kernel.version, capabilities: &capabilities };
        let resolved = profile.and_then(|profile| profile.resolve(&target)).map_err(CompileError::from);
        let is_known = matches!(self, Self::Builtin);
        match resolved.and_then(|filter| if is_known { Ok(filter) } else { compilable(filter) }) {
            Ok(filter) => match notifies_write(&filter) {
                Some(entry) => Err(SeccompError::NotifiesWrite { origin, entry }),
                None => Ok(Some(serde_json::value::to_raw_value(&filter.to_oci())?)),
            },
            Err(source) => Err(SeccompError::Profile { origin, source }),
        }
    }
}

/// Which file a name means.
fn named(folder: &Path, name: &str) -> Result<PathBuf, SeccompError> {
    let path = folder.join(name).with_extension("json");
    let here = PathBuf::from(name);
    let there = |path: &Path| path.try_exists().map_err(|source| SeccompError::Read { path: path.to_owned(), source });
    match (there(&path)?, there(&here)?) {
        (true, false) => Ok(path),
        (false, true) => Ok(here),
        (true, true) => Err(SeccompError::Ambiguous { name: name.to_owned(), path }),
        (false, false) => Err(SeccompError::Missing { name: name.to_owned(), path }),
    }
}

/// The filter, if a program can be made of it.
fn compilable(filter: Filter) -> Result<Filter, CompileError> {
    Compiled::new(&filter)?;
    Ok(filter)
}

/// The entry that notifies of `write(2)`. runc and crun refuse it, because they write the listener's number for their parent after
/// the filter is loaded.
fn notifies_write(filter: &Filter) -> Option<usize> {
    let notifies = filter.rules().iter().filter(|rule| rule.action == Action::Notify);
    notifies.filter(|rule| rule.calls.iter().any(|call| call.name() == "write")).map(|rule| rule.entry).next()
}

/// The content of a profile's file. A pipe without a writer is not waited for.
fn read(path: &Path) -> Result<Vec<u8>, SeccompError> {
    let fail = |source| SeccompError::Read { path: path.to_owned(), source };
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(SeccompError::NotAFile(path.to_owned()));
    }
    let mut content = Vec::new();
    file.take(LARGEST_PROFILE + 1).read_to_end(&mut content).map_err(fail)?;
    if content.len() as u64 > LARGEST_PROFILE {
        return Err(SeccompError::TooLarge(Origin::File(path.to_owned())));
    }
    Ok(content)
}
