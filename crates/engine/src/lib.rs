//! The engine: containers from images, with a record each, and no daemon.
//!
//! Every command opens the [`Engine`] on the [`Places`] of this machine's containers, does one thing, and ends. What a container
//! is lives in its folder; what it does is known by its monitor, one small process each. Nothing here prints: the command line
//! does.
//!
//! One file per verb: [`create`](fn@create), [`start`](fn@start), [`run`](fn@run), [`list`], [`inspect`](fn@inspect),
//! [`remove`], [`exec`](fn@exec), [`kill`](fn@kill), [`stop`](fn@stop), [`wait`](fn@wait), [`logs`](fn@logs), [`attach`](fn@attach),
//! [`info`](fn@info), [`pull`](fn@pull), [`check`](fn@check), and [`finish`](fn@finish), which monitors call.

pub mod attach;
mod binds;
mod bounded;
pub mod cause;
pub mod cgroup;
pub mod check;
pub mod commit;
mod confine;
pub mod container;
pub mod cp;
mod cp_place;
pub mod create;
mod describe;
mod devices;
pub mod df;
pub mod diff;
pub mod engine;
mod etc;
pub mod events;
pub mod exec;
mod exec_pump;
pub mod exec_session;
pub mod export;
pub mod files;
pub mod finish;
mod first;
mod freezer;
pub mod garbage;
pub mod happened;
mod health;
pub mod history;
mod host_config;
mod identity;
mod idmap;
pub mod image;
pub mod import;
pub mod info;
mod inside;
mod inside_mounts;
pub mod inspect;
pub mod inspect_image;
pub mod kill;
pub mod lifecycle;
mod listed;
pub mod load;
pub mod logging;
pub mod logs;
pub mod machine;
pub mod name;
mod naming;
pub mod network;
pub mod organisation;
pub mod pause;
pub mod places;
mod process;
pub mod prune;
pub mod ps;
pub mod pull;
mod pump;
pub mod push;
mod ranges;
mod record;
pub mod rename;
pub mod request;
pub mod restart;
pub mod resume;
pub mod rm;
pub mod rmi;
pub mod rootless;
pub mod run;
pub mod runtime;
pub mod save;
pub mod session;
pub mod sizes;
mod socket;
mod spec;
pub mod start;
pub mod stats;
pub mod stop;
mod subids;
#[cfg(test)]
mod tests;
pub mod top;
pub mod update;
mod userns;
pub mod volume;
mod volume_fill;
mod volume_mounts;
mod volume_parts;
mod volumes_from;
pub mod wait;
mod walls;
mod watch;

/// Names and types of images, which a [`Request`] has.
pub use stockade_images as images;
/// The options that bear on security, which a [`Request`] has.
pub use stockade_policy as policy;

pub use attach::{AttachError, attach};
pub use cause::remarkable_end;
pub use cgroup::CgroupDriver;
pub use check::{CheckError, Fault, check};
pub use commit::{Commit, CommitError, commit};
pub use cp::{CopyError, copy_from, copy_into};
pub use create::{CreateError, Created, create, judge};
pub use diff::{DiffError, diff};
pub use engine::{Engine, FindError, OpenError};
pub use exec::{ExecError, ExecRequest, exec};
pub use exec_session::ExecSession;
pub use export::{ExportError, export};
pub use finish::finish;
pub use happened::untold;
pub use history::{HistoryStep, history};
pub use image::{ImageLookup, ImageSummary, TagError, find_image, list_images, tag_image};
pub use import::{Import, ImportError, import};
pub use info::{Info, InfoError, info};
pub use inspect::{InspectError, Inspection, inspect};
pub use inspect_image::{ImageInspection, inspect_image};
pub use kill::{KillError, kill, parse_signal};
pub use lifecycle::State;
pub use load::{LoadImagesError, Loaded, load};
pub use logging::{Logging, LoggingError};
pub use logs::{LogsError, logs};
pub use name::{ContainerId, ContainerName};
pub use organisation::RefusalError;
pub use pause::{PauseError, pause, unpause};
pub use places::Places;
pub use prune::{prune_containers, prune_images};
pub use ps::{ListError, Summary, Which, list};
pub use pull::{PullImageError, pull};
pub use rename::{RenameError, rename};
pub use request::Request;
pub use restart::{RestartError, restart};
pub use resume::{ResumeError, Resumed, resume};
pub use rm::{Force, OwnVolumes, RemoveError, remove};
pub use rmi::{RemoveImageError, remove_image};
pub use run::{RunError, Running, run};
pub use save::{SaveError, save};
pub use session::{Attachment, FollowError, Followed, Session};
pub use sizes::{Size, Sizes};
pub use start::{StartError, start, start_attached, start_watched};
pub use stockade_images::HealthCheck;
pub use stockade_monitor::health::Status as HealthStatus;
pub use stockade_monitor::restart::RestartPolicy;
pub use stockade_storage::volumes::VolumeName;
pub use stop::{Stop, StopError, stop};
pub use update::{Update, UpdateError, update};
pub use wait::{WaitError, wait};
