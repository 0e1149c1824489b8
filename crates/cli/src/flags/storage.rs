//! What of the host and of memory is mounted in the container.

use clap::Args;
use stockade_engine::policy::limits::{Tmpfs, parse_size};
use stockade_engine::request::{Access, VolumesFrom};

use crate::grammar::mount::Mount;
use crate::grammar::volume::Volume;
use crate::grammar::{Invalid, invalid};

/// Mounts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageFlags {
    /// Mount a path of the host, HOST:CONTAINER[:ro,PROPAGATION]; a volume, NAME:CONTAINER[:ro,nocopy]; or a volume of the
    /// container's own, CONTAINER
    #[arg(long, short, value_name = "[SOURCE:]CONTAINER")]
    pub(crate) volume: Vec<Volume>,
    /// Mount: type=bind with source=HOST, target=PATH, and readonly, bind-propagation, bind-recursive and bind-create-src;
    /// type=tmpfs with target=PATH, and readonly, tmpfs-size and tmpfs-mode; or type=volume with source=NAME, target=PATH, and
    /// readonly, volume-nocopy, volume-subpath, volume-label and volume-opt
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) mount: Vec<Mount>,
    /// Mount what another container has of volumes and folders of the host, for reading only with :ro
    #[arg(long, value_name = "CONTAINER[:ro]", value_parser = volumes_from)]
    pub(crate) volumes_from: Vec<VolumesFrom>,
    /// Mount a tmpfs: PATH[:OPTION,...] with the options of mount(8)
    #[arg(long, value_name = "PATH")]
    pub(crate) tmpfs: Vec<Tmpfs>,
    /// Mount the container's root read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Size of /dev/shm (default 64m)
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| parse_size("--shm-size", text))]
    pub(crate) shm_size: Option<u64>,
}

/// `CONTAINER[:MODE]`; a name has no colon.
fn volumes_from(text: &str) -> Result<VolumesFrom, Invalid> {
    let (container, mode) = text.split_once(':').unwrap_or((text, "rw"));
    let access = match mode {
        "rw" => Access::ReadWrite,
        "ro" => Access::ReadOnly,
        _ => return Err(invalid("--volumes-from", text, "nothing but :ro or :rw follows the container")),
    };
    if container.is_empty() {
        return Err(invalid("--volumes-from", text, "it names no container"));
    }
    Ok(VolumesFrom { container: container.to_owned(), access })
}
