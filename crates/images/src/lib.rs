//! Images: how they are named, read and verified, and what they become.
//!
//! [`Reference::parse`] reads a name, [`load`] turns it into an [`Image`]: layers that are unpacked and verified, and the
//! defaults that the image asks for. Nothing in an image selects a path or a program of the host.
//!
//! Every byte is compared with its digest before it is used: a manifest before it is parsed, a compressed layer before it is
//! decompressed, and a layer's folder gets its name only when all of its archive was right.

mod archive;
pub mod change;
mod config;
mod content;
mod docker;
mod error;
mod facts;
#[cfg(fuzzing)]
pub mod fuzz;
mod host;
mod image;
pub mod import;
mod layers;
mod load;
pub mod make;
mod oci;
mod platform;
pub mod pull;
mod push;
mod reference;
pub mod registry;
mod rootfs;
mod save;
mod spool;
mod store;
pub mod user;

pub use config::ConfigError;
pub use content::{
    Alone, BlobWriter, Collected, ContentError, Descriptor, FindImageError, Finding, Images, IngestError, Removed,
    Repair, SaveError, Share, StoredImage, StoredLayer, TakeError,
};
pub use error::{ImageError, LoadError};
pub use facts::{Defaults, Facts, Step};
pub use host::HostError;
pub use image::{HealthCheck, Image, ImageConfig, ReadOnlyBind};
pub use load::load;
pub use platform::{Platform, PlatformError};
pub use push::{PushError, PushProgress, PushStep};
pub use reference::{Name, NameError, Reference, ReferenceError};
pub use stockade_storage::Digest;
pub use store::{Part, StoreError};
pub use user::{User, UserError, resolve_user};
