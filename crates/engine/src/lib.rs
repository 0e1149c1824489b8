//! The engine: containers from images, with a record each, and no daemon.
//!
//! Every command opens the [`Places`] of this machine's containers, does one thing, and ends. What a container is lives in its
//! folder; what it does is known by its monitor, one small process each. Nothing here prints: the command line does.

pub mod name;
pub mod places;
pub mod request;

pub use name::{ContainerId, ContainerName};
pub use places::Places;
pub use request::Request;
