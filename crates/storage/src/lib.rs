//! Layers and the root file systems that are made of them.
//!
//! - [`Layers`]: every layer unpacked once, under the digest of its uncompressed archive, in the form that overlayfs
//!   stacks.
//! - [`Volumes`](volumes::Volumes): folders that outlive the containers that they are mounted in.
//! - [`ContainerRoot`]: the writable layer of one container and the overlay mount that makes its root.
//! - [`pack`](mod@pack): a tree as a tar archive, and an archive into a tree; [`changes`](mod@changes): what a container changed.
//!
//! Layers come from strangers. Nothing in them may reach outside of the folder that they are unpacked in, and a layer
//! is used only after every byte of it was compared with its digest.

pub mod changes;
pub mod confined;
pub mod container_root;
mod decompress;
mod digest;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod layers;
mod mapped;
mod overlay;
pub mod pack;
mod privilege;
mod said;
pub mod tar;
#[cfg(test)]
mod tests;
mod unpack;
mod usage;
pub mod volumes;

pub use container_root::{ContainerRoot, Ids, MountError, MountedBy};
pub use decompress::Compression;
pub use digest::{Digest, DigestError};
pub use layers::{EnsureError, Layers};
pub use privilege::Privilege;
pub use unpack::UnpackError;
pub use usage::usage;
