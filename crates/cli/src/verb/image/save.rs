//! `save`: writes images into an archive.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use stockade_engine::images::Platform;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;

/// How much is written at once.
const BUFFER: usize = 1 << 20;

/// Save images to an archive, which is an OCI image layout and docker-archive at once
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fail unless the images are for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Save {
    /// Writes the archive. A file appears when all of it is there, or not at all.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let save = |out: &mut dyn Write| {
            stockade_engine::save(&engine, &self.images, self.platform.as_ref(), out)
                .map_err(|error| Failure::failed(&error))
        };
        match &self.output {
            Some(path) if path.as_os_str() != "-" => to_file(path, save)?,
            _ => {
                let out = io::stdout();
                if out.is_terminal() {
                    let text = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
                    return Err(Failure::new(FAILED, text));
                }
                let mut out = BufWriter::with_capacity(BUFFER, out.lock());
                save(&mut out)?;
                out.flush()?;
            }
        }
        Ok(SUCCESS)
    }
}

/// Has `write` fill a file beside `path`, which takes its place when it is whole.
fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let refused = |what: &str| Failure::new(FAILED, format!("cannot save to {}: {what}", path.display()));
    let failed = |error: io::Error| refused(&error.to_string());
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(refused("it is not a regular file"));
    }
    let name = path.file_name().ok_or_else(|| refused("it is not a file's name"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(beside);
    let file = File::options().write(true).create_new(true).open(&beside).map_err(failed)?;
    let written = (|| {
        let mut out = BufWriter::with_capacity(BUFFER, &file);
        write(&mut out)?;
        out.flush().map_err(failed)?;
        drop(out);
        std::fs::rename(&beside, path).map_err(failed)
    })();
    if written.is_err() {
        // It is said why there is no archive; that a part of one could not be removed is not worth more.
        drop(std::fs::remove_file(&beside));
    }
    written
}
