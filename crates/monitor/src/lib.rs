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
//!   lives, whatever became of its process id. It is unlocked before [`order::Order::on_exit`] is executed.
//!
//! It closes every other descriptor, leaves the session and the standard streams of its caller, and is not ended by signals:
//! SIGTERM goes on to the container's first process; SIGINT, SIGHUP and SIGQUIT are ignored. SIGUSR1 says that somebody stops the
//! container, so that it is not started again ([`restart::Meddling::Stopped`]), SIGUSR2 that somebody signalled it. If it is killed, the
//! container goes on with nobody to read its output; its lock is free, and the runtime's `delete --force` removes it.
//!
//! The stages of a container's end: its output is read to the end, but for one second at most where other processes hold it
//! (a shared pid namespace); the end is recorded; the runtime's `delete --force` is executed, and what was written until then
//! is read; the lock is released and the socket for clients closed; `on_exit` is executed; clients are told
//! [`frame::Frame::Exited`]. The process lives on until each client has taken that or has gone. A container that can not be had
//! goes the same way, with [`state::Phase::Failed`] and [`control::Report::Failed`].
//!
//! While the container runs it listens at [`exec::SOCKET`] for commands that run one more process in it; see [`exec`].
//! A container that is to be started again ([`order::Order::restart`]) goes through the first three of these stages, and its clients
//! are told of the end; then the monitor, which keeps its lock, waits ([`restart::Restarts`]), executes
//! [`order::Order::before_restart`], the runtime's `create`, [`order::Order::on_restart`] and the runtime's `start`. Nobody is accepted
//! meanwhile. What fails of that ends the container, with [`state::Phase::Exited`] and the reason in it. A `create` or `start`
//! that does not end within two minutes is killed.
//!
//! In the folder it also writes `runtime.log` (what the runtime said, its warnings too) and, if something went wrong that
//! stopped nothing, `monitor.log`, one line each. `pid` and `console.sock` are there while the container is made.

pub mod cause;
pub mod control;
pub mod events;
pub mod exec;
pub mod frame;
pub mod group;
pub mod health;
pub mod order;
pub mod restart;
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
/// The only word for a monitor that has no container and only keeps the user namespace that it is in, until a signal ends it.
pub const HOLD: &str = "--hold";
/// Name of the file in the container's folder that tells what went wrong without stopping anything: one line each, the time
/// first. It is there only if there was something.
pub const TROUBLES: &str = "monitor.log";
/// Name of the socket in the container's folder at which clients attach.
pub const ATTACH: &str = "attach.sock";
