//! What can be asked for and what can be in force, in the kernel's words.

mod capability;
mod set;
mod state;

pub use capability::{Capability, UnknownCapability};
pub use set::CapSet;
pub use state::{Securebits, Sets, State, Which};
