//! What a network is, and what a container has of it. Plain values: nothing here touches the machine.

mod endpoint;
mod mac;
mod name;
mod network;
mod port;

pub use endpoint::Endpoint;
pub use mac::{InvalidMac, Mac};
pub use name::{InterfaceName, InvalidInterface, InvalidNetworkName, NetworkId, NetworkName};
pub use network::{BridgeOptions, Driver, Family, Isolation, MacvlanMode, Network, Subnet};
pub use port::{InvalidProtocol, Protocol, PublishedPort};
