//! The process that stays with a container: what the engine tells it, and what it tells the engine.
//!
//! One `stockade-monitor` per container holds its standard streams or terminal, writes its log, is the parent of its first
//! process and so learns its exit status, and records it. It outlives the command that started it and ends with the
//! container. This library is the vocabulary that both sides share; the program is in `main.rs`.
//!
//! The engine starts it by exec with one argument, the container's folder, in a mount namespace in which the container's root
//! is mounted, with these descriptors open besides the standard ones:
//!
//! - [`ATTACH_FD`]: the listening socket (`SOCK_SEQPACKET`) at which clients attach; see [`frame`].
//! - [`CONTROL_FD`]: a connected socket (`SOCK_SEQPACKET`) to the engine; see [`control`].
//! - [`LOCK_FD`]: the file [`LOCK`] of the folder, locked exclusively (`flock(2)`): as long as the lock is held, the monitor
//!   lives, whatever became of its process id.

pub mod control;
pub mod frame;
pub mod order;
pub mod state;

/// The listening socket of clients.
pub const ATTACH_FD: i32 = 3;
/// The connection to the engine.
pub const CONTROL_FD: i32 = 4;
/// The lock that says that the monitor lives.
pub const LOCK_FD: i32 = 5;

/// Name of the file in the container's folder with the [`order::Order`].
pub const ORDER: &str = "monitor.json";
/// Name of the file in the container's folder with the [`state::State`].
pub const STATE: &str = "state.json";
/// Name of the file in the container's folder that the monitor holds locked.
pub const LOCK: &str = "monitor.lock";
/// Name of the socket in the container's folder at which clients attach.
pub const ATTACH: &str = "attach.sock";
