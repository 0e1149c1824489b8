//! Networks of containers: what they are, who has which address, and what the kernel is told of it.
//!
//! - [`model`]: networks, endpoints and published ports as plain values.
//! - [`addresses`]: which address and which range is given. Pure.
//! - [`store`]: what is remembered of networks, and who has which address.
//! - [`bridge`], [`endpoint`], [`routes`], [`ports`]: interfaces, addresses, routes and ports, over rtnetlink.
//! - [`holders`]: which process of the host has a port.
//! - [`firewall`]: what goes where, as tables of nf_tables that are replaced in one transaction.

pub mod addresses;
pub mod bridge;
pub mod endpoint;
mod error;
pub mod firewall;
pub mod holders;
mod link;
pub mod model;
mod nft;
mod owner;
pub mod ports;
pub mod routes;
mod settings;
pub mod store;

pub use error::KernelError;
