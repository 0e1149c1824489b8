//! Compiled filters, kept by the content of what they were compiled from.
//!
//! A file is `MAGIC`, the SHA-256 of the rest, and the rest as JSON. It is written beside and renamed, so that a reader never sees
//! half of it. A file that is not what it says, or not the caller's own, is compiled anew and replaced.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stockade_kernel::seccomp::Instruction;

use crate::architecture::Arch;
use crate::compile::{TooLong, compile};
use crate::interpret::{Shown, interpret};
use crate::model::{Action, Filter, Flags};
use crate::profile::{Profile, ProfileError};
use crate::resolve::Target;
use crate::syscall::Syscall;

/// Changes with the compiler, the tables and the form of a file.
const MAGIC: &[u8] = b"stockade seccomp 2\n";
const DIGEST: usize = 32;
/// More than the longest program and the longest path need.
const GREATEST: u64 = 1 << 20;

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// What the profile says can not be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// It is too much for the kernel.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// A filter in the form that the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    pub(crate) program: Vec<Instruction>,
    pub(crate) flags: Flags,
    pub(crate) notifies: bool,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
}

impl Compiled {
    /// Compiles `filter`.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn new(filter: &Filter) -> Result<Self, TooLong> {
        let listener = filter.listener().filter(|_| filter.notifies());
        Ok(Self {
            program: compile(filter)?,
            flags: filter.flags(),
            notifies: filter.notifies(),
            listener_path: listener.map(|listener| PathBuf::from(&listener.path)),
            listener_metadata: listener.map(|listener| listener.metadata.clone()),
        })
    }

    /// What the program answers to a call; `None` if that depends on arguments that are not shown.
    #[must_use]
    pub fn answer(&self, shown: &Shown) -> Option<Action> {
        interpret(&self.program, shown)
    }

    /// The agent's socket, if a rule notifies.
    #[must_use]
    pub fn listener_path(&self) -> Option<&Path> {
        self.listener_path.as_deref()
    }

    /// What the agent is told, if a rule notifies.
    #[must_use]
    pub fn listener_metadata(&self) -> Option<&str> {
        self.listener_metadata.as_deref()
    }

    /// Whether the native call of this name is made whatever its arguments, without anybody being asked.
    #[must_use]
    pub fn allows(&self, call: &str) -> bool {
        let number = Syscall::from_name(call).and_then(|syscall| syscall.number(Arch::NATIVE));
        let shown = |number| Shown { number, audit: Arch::NATIVE.audit(), arguments: None };
        number.and_then(|number| interpret(&self.program, &shown(number))).is_some_and(Action::permits)
    }
}

/// The file's JSON.
#[derive(Serialize, Deserialize)]
struct Kept {
    flags: u8,
    notifies: bool,
    path: Option<PathBuf>,
    metadata: Option<String>,
    program: Vec<(u16, u8, u8, u32)>,
}

/// The filter of `section`, OCI's `linux.seccomp`: from the folder `cache` if it is there, and kept there otherwise.
/// A folder that can not be written costs time only.
///
/// # Errors
/// [`CompileError`].
pub fn load_or_compile(section: &[u8], cache: Option<&Path>) -> Result<Compiled, CompileError> {
    let file = cache.map(|folder| folder.join(name(section)));
    if let Some(found) = file.as_deref().and_then(read) {
        return Ok(found);
    }
    let compiled = Compiled::new(&Profile::parse_oci(section)?.resolve(&Target::here(&[]))?)?;
    if let Some(file) = file {
        // The program is complete without its copy; the next start tries to keep it again.
        if let Err(_unkept) = write(&file, &compiled) {}
    }
    Ok(compiled)
}

fn name(section: &[u8]) -> String {
    let digest =
        Sha256::new().chain_update(MAGIC).chain_update(Arch::NATIVE.oci_name()).chain_update(section).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Option<Compiled> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let status = file.metadata().ok()?;
    let own = status.is_file() && status.uid() == rustix::process::geteuid().as_raw() && status.mode() & 0o022 == 0;
    if !own || status.len() > GREATEST {
        return None;
    }
    let mut text = Vec::new();
    file.take(GREATEST).read_to_end(&mut text).ok()?;
    let rest = text.strip_prefix(MAGIC)?;
    let (digest, body) = rest.split_at_checked(DIGEST)?;
    if Sha256::digest(body).as_slice() != digest {
        return None;
    }
    let kept: Kept = serde_json::from_slice(body).ok()?;
    let instruction = |(code, if_true, if_false, constant)| Instruction { code, if_true, if_false, constant };
    Some(Compiled {
        program: kept.program.into_iter().map(instruction).collect(),
        flags: Flags::from_bits(kept.flags)?,
        notifies: kept.notifies,
        listener_path: kept.path,
        listener_metadata: kept.metadata,
    })
}

fn write(path: &Path, compiled: &Compiled) -> io::Result<()> {
    let parts = |one: &Instruction| (one.code, one.if_true, one.if_false, one.constant);
    let body = serde_json::to_vec(&Kept {
        flags: compiled.flags.bits(),
        notifies: compiled.notifies,
        path: compiled.listener_path.clone(),
        metadata: compiled.listener_metadata.clone(),
        program: compiled.program.iter().map(parts).collect(),
    })?;
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
    }
    let beside = path.with_extension(rustix::process::getpid().as_raw_nonzero().to_string());
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut file| {
        file.write_all(MAGIC)?;
        file.write_all(Sha256::digest(&body).as_slice())?;
        file.write_all(&body)?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        fs::remove_file(&beside)?;
    }
    written
}

#[cfg(test)]
mod tests;
