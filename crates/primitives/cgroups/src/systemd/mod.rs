//! Groups that systemd makes: transient scopes (`systemd.scope(5)`), asked for over D-Bus.
//!
//! Where systemd runs, it holds itself to be the only one who makes groups at the top (`CGROUP_DELEGATION.md`), and engines that follow
//! it give their runtime `slice:prefix:name` instead of a path. Then systemd makes the group with `Delegate=yes`, and the room goes on as with one
//! of its own: the limits are written to its files and read back. systemd is told them too ([`properties`]),
//! because it writes what it knows when it is reloaded.
//!
//! 1. [`Scope::parse`] reads the name, [`Systemd::connect`] finds the manager, [`Systemd::group`] tells where the group will be.
//! 2. [`Systemd::start`] makes the scope around a process, and [`crate::Group::create`] with
//!    [`Origin::Systemd`](crate::Origin::Systemd) takes the group over.
//! 3. [`Systemd::set`] tells other limits, [`Systemd::stop`] ends the scope; nothing is left of it then.
//!
//! The client is ours ([`wire`], [`bus`]): five calls and a signal at systemd's own socket, which takes no bus daemon.
//! A D-Bus library brings an executor and more code than the whole runtime has.

mod bus;
mod property;
mod unit;
mod wire;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::path::{GroupPath, PathError};
use bus::Bus;
use wire::{Method, Writer};

pub use property::{Property, majors, properties};
pub use unit::{Scope, ScopeError};
pub use wire::Value;

/// The machine's manager.
const SYSTEM: &str = "/run/systemd/private";
const MANAGER: &str = "/org/freedesktop/systemd1";
const MANAGER_INTERFACE: &str = "org.freedesktop.systemd1.Manager";

/// Why systemd did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// There is none.
    #[error(
        "cannot reach systemd at {}: where it does not run, or not for this user, the cgroup driver has to be cgroupfs",
        socket.display()
    )]
    Connect {
        /// Its socket.
        socket: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It does not say where the user's is.
    #[error("XDG_RUNTIME_DIR is not set, so the user's systemd cannot be found")]
    NoUserFolder,
    /// It does not speak as expected, or not in time.
    #[error("cannot speak with systemd")]
    Speak(#[source] io::Error),
    /// It refused.
    #[error("systemd refuses {call}: {message} ({name})")]
    Refused {
        /// The method.
        call: String,
        /// The error's name.
        name: String,
        /// Its text.
        message: String,
    },
    /// It tried and could not.
    #[error("systemd could not {verb} {unit}: its job ended with {result:?}")]
    Job {
        /// What was tried.
        verb: &'static str,
        /// The unit.
        unit: String,
        /// systemd's word.
        result: String,
    },
    /// The group is not where a unit of this name has it.
    #[error("systemd has {unit} in the cgroup {found:?}, and not in {expected:?}")]
    Elsewhere {
        /// The unit.
        unit: String,
        /// Where it is.
        found: String,
        /// Where it should be.
        expected: String,
    },
    /// Its own group is none.
    #[error("systemd's own cgroup is none")]
    Root(#[from] PathError),
}

/// Which systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// The machine's.
    System,
    /// That of a user, with its socket.
    User(PathBuf),
}

impl Manager {
    /// The manager of the user whose runtime folder (`$XDG_RUNTIME_DIR`) is `folder`.
    ///
    /// # Errors
    /// [`SystemdError::NoUserFolder`].
    pub fn of_user(folder: Option<&Path>) -> Result<Self, SystemdError> {
        let folder = folder.filter(|folder| folder.is_absolute()).ok_or(SystemdError::NoUserFolder)?;
        Ok(Self::User(folder.join("systemd/private")))
    }

    /// The slice for those who name none.
    #[must_use]
    pub fn default_slice(&self) -> &'static str {
        match self {
            Self::System => "system.slice",
            Self::User(_) => "user.slice",
        }
    }

    fn socket(&self) -> &Path {
        match self {
            Self::System => Path::new(SYSTEM),
            Self::User(socket) => socket,
        }
    }
}

/// A connection to a systemd. Dropping it changes nothing.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
}

impl Systemd {
    /// Connects.
    ///
    /// # Errors
    /// [`SystemdError::Connect`] and [`SystemdError::Speak`].
    pub fn connect(manager: &Manager) -> Result<Self, SystemdError> {
        Ok(Self { bus: Bus::connect(manager.socket())? })
    }

    /// Where the group of `scope` will be.
    ///
    /// # Errors
    /// [`SystemdError`].
    pub fn group(&mut self, scope: &Scope) -> Result<GroupPath, SystemdError> {
        let root = self.text(MANAGER, MANAGER_INTERFACE, "ControlGroup")?;
        let path = Path::new("/").join(root.trim_start_matches('/')).join(scope.path());
        Ok(GroupPath::new(&path.to_string_lossy(), None)?)
    }

    /// Makes `scope` around the processes `pids`, with `properties` besides what every scope of ours has; it is there, at `expected`, when
    /// this returns. One of this name that has failed is forgotten first.
    ///
    /// # Errors
    /// [`SystemdError`]; no unit is left.
    pub fn start(
        &mut self,
        scope: &Scope,
        expected: &GroupPath,
        pids: &[u32],
        properties: &[Property],
    ) -> Result<(), SystemdError> {
        let mut all = vec![
            own("Slice", Value::Text(scope.slice().to_owned())),
            own("Delegate", Value::Bool(true)),
            own("MemoryAccounting", Value::Bool(true)),
            own("CPUAccounting", Value::Bool(true)),
            own("TasksAccounting", Value::Bool(true)),
            own("DefaultDependencies", Value::Bool(false)),
            own("CollectMode", Value::Text("inactive-or-failed".to_owned())),
            own("PIDs", Value::Numbers(pids.to_vec())),
        ];
        // What is asked for by name takes the place of what every scope has.
        all.retain(|(name, _)| !properties.iter().any(|(other, _)| other == name));
        all.extend_from_slice(properties);
        let job = match self.start_once(scope, &all) {
            Err(SystemdError::Refused { name, .. }) if name == "org.freedesktop.systemd1.UnitExists" => {
                self.forget(scope.name())?;
                self.start_once(scope, &all)?
            }
            result => result?,
        };
        let started = self.end_of(&job, "start", scope.name()).and_then(|()| self.verify_place(scope, expected));
        if let Err(error) = started {
            // The reason is what the caller must see; of a unit that did not start nothing runs.
            self.stop(scope.name()).ok();
            return Err(error);
        }
        Ok(())
    }

    fn start_once(&mut self, scope: &Scope, properties: &[Property]) -> Result<String, SystemdError> {
        let mut body = Writer::default();
        body.text(scope.name());
        body.text("fail");
        body.properties(properties);
        body.no_units();
        let answer = self.bus.call(manager("StartTransientUnit", "ssa(sv)a(sa(sv))"), body)?;
        answer.arguments().text().map_err(SystemdError::Speak)
    }

    fn verify_place(&mut self, scope: &Scope, expected: &GroupPath) -> Result<(), SystemdError> {
        let mut body = Writer::default();
        body.text(scope.name());
        let answer = self.bus.call(manager("GetUnit", "s"), body)?;
        let object = answer.arguments().text().map_err(SystemdError::Speak)?;
        let found = self.text(&object, "org.freedesktop.systemd1.Scope", "ControlGroup")?;
        if Path::new(found.trim_start_matches('/')) == expected.as_path() {
            return Ok(());
        }
        let (unit, expected) = (scope.name().to_owned(), expected.as_path().display().to_string());
        Err(SystemdError::Elsewhere { unit, found, expected })
    }

    /// Tells the unit other properties, until it ends; those that are not named stay.
    ///
    /// # Errors
    /// [`SystemdError`]; all are as before, since systemd looks at all of them first.
    pub fn set(&mut self, unit: &str, properties: &[Property]) -> Result<(), SystemdError> {
        let mut body = Writer::default();
        body.text(unit);
        body.flag(true);
        body.properties(properties);
        self.bus.call(manager("SetUnitProperties", "sba(sv)"), body).map(drop)
    }

    /// Ends the unit with all that is in it, and forgets it. One that is gone is no error.
    ///
    /// # Errors
    /// [`SystemdError`]; the unit may be there still.
    pub fn stop(&mut self, unit: &str) -> Result<(), SystemdError> {
        let mut body = Writer::default();
        body.text(unit);
        body.text("replace");
        match self.bus.call(manager("StopUnit", "ss"), body) {
            Ok(answer) => {
                let job = answer.arguments().text().map_err(SystemdError::Speak)?;
                self.end_of(&job, "stop", unit)?;
            }
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.forget(unit)
    }

    /// Forgets that the unit has failed, without which it would stay.
    fn forget(&mut self, unit: &str) -> Result<(), SystemdError> {
        let mut body = Writer::default();
        body.text(unit);
        match self.bus.call(manager("ResetFailedUnit", "s"), body) {
            Err(error) if !is_missing(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn end_of(&mut self, job: &str, verb: &'static str, unit: &str) -> Result<(), SystemdError> {
        match self.bus.result_of(job)? {
            result if result == "done" => Ok(()),
            result => Err(SystemdError::Job { verb, unit: unit.to_owned(), result }),
        }
    }

    /// A property that is a text.
    fn text(&mut self, object: &str, interface: &str, name: &str) -> Result<String, SystemdError> {
        let mut body = Writer::default();
        body.text(interface);
        body.text(name);
        let get = Method { object, interface: "org.freedesktop.DBus.Properties", member: "Get", signature: "ss" };
        self.bus.call(get, body)?.arguments().text_value().map_err(SystemdError::Speak)
    }
}

/// A property that every scope has.
fn own(name: &str, value: Value) -> Property {
    (name.to_owned(), value)
}

/// A method of the manager.
fn manager(member: &'static str, signature: &'static str) -> Method<'static> {
    Method { object: MANAGER, interface: MANAGER_INTERFACE, member, signature }
}

/// Whether the answer is that there is no such unit.
fn is_missing(error: &SystemdError) -> bool {
    matches!(error, SystemdError::Refused { name, .. } if name == "org.freedesktop.systemd1.NoSuchUnit")
}
