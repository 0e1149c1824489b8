//! Compiled filters, kept by the content of what they were compiled from.
//!
//! A file is `MAGIC`, the SHA-256 of the rest, and the rest: numbers in this machine's
//! order, because reading them is part of every start. It is written beside and renamed, so that a reader never sees
//! half of it. A file that is not what it says, or not the caller's own, is compiled anew and replaced.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
const MAGIC: &[u8] = b"stockade seccomp 5\n";
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

    /// How long the program is.
    #[must_use]
    pub fn size(&self) -> crate::compile::Size {
        crate::compile::Size::of(&self.program)
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

/// The body of a file: the flags, whether a rule notifies, the listener's path and metadata, and the program.
fn to_body(compiled: &Compiled) -> Vec<u8> {
    let mut body = vec![compiled.flags.bits(), u8::from(compiled.notifies)];
    let path = compiled.listener_path.as_ref().map(|path| path.as_os_str().as_bytes());
    for text in [path, compiled.listener_metadata.as_ref().map(String::as_bytes)] {
        let length = text.map_or(NOTHING, |text| u32::try_from(text.len()).unwrap_or(NOTHING));
        body.extend(length.to_ne_bytes());
        body.extend(text.filter(|_| length != NOTHING).unwrap_or_default());
    }
    for one in &compiled.program {
        body.extend(one.code.to_ne_bytes());
        body.extend([one.if_true, one.if_false]);
        body.extend(one.constant.to_ne_bytes());
    }
    body
}

/// Stands for the length of a text that is not there.
const NOTHING: u32 = u32::MAX;

/// What a body says, if it says all of it and nothing else.
fn from_body(body: &[u8]) -> Option<Compiled> {
    let (&[flags, notifies], mut rest) = body.split_first_chunk()?;
    let mut text = || {
        let (length, after) = rest.split_first_chunk()?;
        let length = Some(u32::from_ne_bytes(*length)).filter(|length| *length != NOTHING);
        let (text, after) = after.split_at_checked(length.unwrap_or_default() as usize)?;
        rest = after;
        Some(length.map(|_| text))
    };
    let path = text()?;
    let metadata = text()?.map(|text| String::from_utf8(text.to_vec())).transpose().ok()?;
    let (instructions, []) = rest.as_chunks::<8>() else { return None };
    let instruction = |&[a, b, if_true, if_false, c, d, e, f]: &[u8; 8]| Instruction {
        code: u16::from_ne_bytes([a, b]),
        if_true,
        if_false,
        constant: u32::from_ne_bytes([c, d, e, f]),
    };
    Some(Compiled {
        program: instructions.iter().map(instruction).collect(),
        flags: Flags::from_bits(flags)?,
        notifies: [false, true].get(usize::from(notifies)).copied()?,
        listener_path: path.map(|path| PathBuf::from(OsStr::from_bytes(path))),
        listener_metadata: metadata,
    })
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
    let mut text = Vec::with_capacity(status.len() as usize + 1);
    file.take(GREATEST).read_to_end(&mut text).ok()?;
    let rest = text.strip_prefix(MAGIC)?;
    let (digest, body) = rest.split_at_checked(DIGEST)?;
    if Sha256::digest(body).as_slice() != digest {
        return None;
    }
    from_body(body)
}

fn write(path: &Path, compiled: &Compiled) -> io::Result<()> {
    let body = to_body(compiled);
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
