//! What happens to containers, images, volumes and networks: Docker's words for it, and the file where it is kept.
//!
//! Nobody serves events: whoever does something appends a line to the files of one folder ([`append`]), and whoever wants to know
//! reads and watches these. The first to append are the commands of the engine and the monitors of containers, all at once.

mod log;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use log::{AppendError, KEPT, LARGEST, SEGMENT, append, segment_name, segments};
pub use words::{ContainerAction, ImageAction, NetworkAction, VolumeAction};

/// Name of the folder of events below the data folder.
pub const FOLDER: &str = "events";

/// Docker's name for what an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container, by its id.
    Container,
    /// An image, by its id or its name.
    Image,
    /// A volume, by its name.
    Volume,
    /// A network, by its id.
    Network,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Container, Self::Image, Self::Volume, Self::Network];

    /// Docker's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What it is about.
    #[serde(rename = "Type")]
    pub kind: Kind,
    /// Docker's word for what happened, with what it says after a colon, if anything: `exec_create: ls -l`.
    #[serde(rename = "Action")]
    pub action: String,
    /// To whom.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// When: nanoseconds since 1970. [`append`] sets it.
    #[serde(rename = "timeNano")]
    pub time: i64,
}

/// Whom an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// See [`Kind`].
    #[serde(rename = "ID")]
    pub id: String,
    /// What else is told: name and image of a container, its labels, an exit code.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// Who appends events about one container without being a command: its monitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The folder of events.
    pub folder: PathBuf,
    /// What each event about the container says: `image`, `name`, and its labels.
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    fn new(kind: Kind, action: String, id: &str, attributes: BTreeMap<String, String>) -> Self {
        Self { kind, action, actor: Actor { id: id.to_owned(), attributes }, time: 0 }
    }

    /// About the container `id`, with its image's name, its name and labels as `attributes`, and what belongs to the action.
    #[must_use]
    pub fn container(action: &ContainerAction, id: &str, attributes: BTreeMap<String, String>) -> Self {
        Self::new(Kind::Container, action.to_string(), id, attributes)
    }

    /// About an image, by its id, or by its name where it has none yet or no more.
    #[must_use]
    pub fn image(action: ImageAction, id: &str, attributes: BTreeMap<String, String>) -> Self {
        Self::new(Kind::Image, action.word().to_owned(), id, attributes)
    }

    /// About the volume `name`.
    #[must_use]
    pub fn volume(action: VolumeAction, name: &str, attributes: BTreeMap<String, String>) -> Self {
        Self::new(Kind::Volume, action.word().to_owned(), name, attributes)
    }

    /// About the network `id`; `attributes` are its `name` and `type`, and `container` for [`NetworkAction::Connect`].
    #[must_use]
    pub fn network(action: NetworkAction, id: &str, attributes: BTreeMap<String, String>) -> Self {
        Self::new(Kind::Network, action.word().to_owned(), id, attributes)
    }

    /// The same with one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.actor.attributes.insert(name.to_owned(), value.into());
        self
    }
}
