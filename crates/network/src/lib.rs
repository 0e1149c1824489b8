//! Networks of containers: what they are, and who has which address.
//!
//! - [`model`]: networks, endpoints and published ports as plain values.

pub mod model;
