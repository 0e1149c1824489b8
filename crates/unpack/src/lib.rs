//! What `stockade-unpack` gives up before it reads what a stranger made.

mod confine;

pub use confine::{ConfineError, confine};
