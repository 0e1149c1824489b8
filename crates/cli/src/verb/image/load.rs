//! `load`: takes images out of an archive.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use stockade_engine::images::Platform;
use stockade_engine::load::Loaded;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Load images from an archive: an OCI image layout or docker-archive, plain or compressed
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Read from this file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Say nothing while it is read (nothing is said anyway)
    #[arg(long, short)]
    quiet: bool,
    /// Take the images for this platform instead of this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
}

impl Load {
    /// Takes the images and says their names.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let source = match self.input.filter(|path| path.as_os_str() != "-") {
            Some(path) => {
                let opened = File::open(&path);
                opened.map_err(|error| Failure::new(FAILED, format!("cannot open {}: {error}", path.display())))?
            }
            None if io::stdin().is_terminal() => {
                return Err(Failure::new(FAILED, "requested load from stdin, but stdin is empty"));
            }
            None => {
                let standard = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3);
                standard
                    .map(File::from)
                    .map_err(|error| Failure::new(FAILED, format!("cannot read standard input: {error}")))?
            }
        };
        let engine = global.engine()?;
        let loaded = stockade_engine::load(&engine, source, self.platform.as_ref());
        for one in loaded.map_err(|error| Failure::failed(&error))? {
            match one {
                Loaded::Named(name) => say::line(&format!("Loaded image: {name}"))?,
                Loaded::Unnamed(id) => say::line(&format!("Loaded image ID: {id}"))?,
            }
        }
        Ok(SUCCESS)
    }
}
