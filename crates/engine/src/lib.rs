//! The engine: containers from images, with a record each, and no daemon.
//!
//! Every command opens the [`Engine`] on the [`Places`] of this machine's containers, does one thing, and ends. What a container
//! is lives in its folder; what it does is known by its monitor, one small process each. Nothing here prints: the command line
//! does.
//!
//! One file per verb: [`create`](fn@create), [`start`](fn@start), [`run`](fn@run), [`list`], [`inspect`](fn@inspect),
//! [`remove`], [`kill`](fn@kill), [`stop`](fn@stop), [`wait`](fn@wait), [`logs`](fn@logs), [`attach`](fn@attach),
//! [`info`](fn@info), and [`finish`](fn@finish), which monitors call.

pub mod attach;
pub mod container;
pub mod create;
pub mod engine;
pub mod finish;
pub mod info;
pub mod inspect;
pub mod kill;
pub mod lifecycle;
pub mod logs;
pub mod machine;
pub mod name;
mod pending;
pub mod places;
pub mod ps;
pub mod request;
pub mod rm;
pub mod run;
pub mod session;
pub mod start;
pub mod stop;
pub mod wait;

/// Names and types of images, which a [`Request`] has.
pub use stockade_images as images;
/// The options that bear on security, which a [`Request`] has.
pub use stockade_policy as policy;

pub use attach::{AttachError, attach};
pub use create::{CreateError, Created, create};
pub use engine::{Engine, FindError, OpenError};
pub use finish::finish;
pub use info::{Info, InfoError, info};
pub use inspect::{InspectError, Inspection, inspect};
pub use kill::{KillError, kill, parse_signal};
pub use lifecycle::State;
pub use logs::{LogsError, logs};
pub use name::{ContainerId, ContainerName};
pub use places::Places;
pub use ps::{ListError, Summary, Which, list};
pub use request::Request;
pub use rm::{Force, RemoveError, remove};
pub use run::{RunError, Running, run};
pub use session::{Attachment, FollowError, Followed, Session};
pub use start::{StartError, start, start_attached};
pub use stop::{Stop, StopError, stop};
pub use wait::{WaitError, wait};
