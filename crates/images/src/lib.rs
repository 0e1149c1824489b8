//! Images: how they are named, read and verified, and what they become.
//!
//! [`Reference::parse`] reads a name, [`load`] turns it into an [`Image`]: layers that are unpacked and verified, and the
//! defaults that the image asks for. Nothing in an image selects a path or a program of the host.

mod image;
mod load;
mod reference;
mod rootfs;
pub mod user;

pub use image::{Image, ImageConfig, ReadOnlyBind};
pub use load::{LoadError, load};
pub use reference::{Reference, ReferenceError};
pub use stockade_storage::Digest;
pub use user::{User, UserError, resolve_user};
