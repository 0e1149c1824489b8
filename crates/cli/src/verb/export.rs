//! `export`: a container's file system as a tar archive.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use stockade_kernel::chain::chain;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;

/// Write a container's file system as a tar archive
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Write to a file, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name, id, or the beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Export {
    /// Writes the archive.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        if self.output.is_none() && io::stdout().is_terminal() {
            let text = "cowardly refusing to save to a terminal: use the -o flag or redirect";
            return Err(Failure::new(FAILED, text));
        }
        let engine = global.engine()?;
        let id = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let export = |out: &mut dyn Write| {
            let mut out = BufWriter::new(out);
            stockade_engine::export(&engine, &id, &mut out).map_err(|error| Failure::failed(&error))
        };
        match &self.output {
            None => export(&mut io::stdout().lock())?,
            Some(path) => whole(path, export)?,
        }
        Ok(SUCCESS)
    }
}

/// Writes the file at `path`, which appears only when all of it is on the disk; one that was there is replaced.
///
/// # Errors
/// Those of `write`, or of the file; then nothing has changed.
pub(crate) fn whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(FAILED, format!("cannot write {}: {}", path.display(), chain(&error)));
    // A pipe or a device is written to as it is.
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        let mut file = File::options().write(true).open(path).map_err(failed)?;
        return write(&mut file);
    }
    let path = path.canonicalize().unwrap_or_else(|_missing| path.to_owned());
    let Some(name) = path.file_name() else { return Err(failed(io::ErrorKind::IsADirectory.into())) };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(beside);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    let written =
        write(&mut file).and_then(|()| file.sync_all().and_then(|()| std::fs::rename(&new, &path)).map_err(failed));
    if written.is_err() {
        std::fs::remove_file(&new).map_err(failed)?;
    }
    written
}
