//! The flags of `create` and `run`, split by subject, in Docker's words.
//!
//! Each file is one group of flags as data: name, value, help and parser stand together. What they ask for together is an
//! engine's [`stockade_engine::Request`], which [`request`] makes.

mod health;
mod limits;
mod namespaces;
mod networks;
mod process;
mod request;
mod storage;
mod walls;

pub(crate) use health::HealthFlags;
pub(crate) use limits::{LimitFlags, cpu_list, memory_swap};
pub(crate) use namespaces::NamespaceFlags;
pub(crate) use networks::NetworkFlags;
pub(crate) use process::{ProcessFlags, When, platform};
pub(crate) use request::{Asked, RequestError};
pub(crate) use storage::StorageFlags;
pub(crate) use walls::WallFlags;

/// The flags that `create` and `run` share, and what follows them.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateFlags {
    #[command(flatten)]
    pub(crate) process: ProcessFlags,
    #[command(flatten)]
    pub(crate) health: HealthFlags,
    #[command(flatten)]
    pub(crate) walls: WallFlags,
    #[command(flatten)]
    pub(crate) namespaces: NamespaceFlags,
    #[command(flatten)]
    pub(crate) networks: NetworkFlags,
    #[command(flatten)]
    pub(crate) limits: LimitFlags,
    #[command(flatten)]
    pub(crate) storage: StorageFlags,
    /// The image (a name or an id, host, rootfs:DIR, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]), and the command to
    /// run in it instead of its own. Options end at IMAGE: what follows belongs to the command
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"], help_heading = None::<&str>)]
    pub(crate) image_and_command: Vec<String>,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help, help_heading = None::<&str>)]
    help: Option<bool>,
}

#[cfg(test)]
mod tests;
