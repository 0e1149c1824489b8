//! What commands tell to whoever listens to events.
//!
//! That an event cannot be told never stops what it is about: the first such failure of this process is kept for who talks to the
//! user ([`untold`]).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::process::Signal;
use stockade_kernel::chain::chain;
use stockade_monitor::cause::{ASKED, Asked};
use stockade_monitor::events::{self, ContainerAction, Event, ImageAction, Source, VolumeAction};

use crate::inspect::MountPoint;
use crate::record::{Record, now};
use crate::volume::DRIVER;
use crate::{ContainerId, Engine, VolumeName};

static UNTOLD: Mutex<Option<String>> = Mutex::new(None);

/// Why an event of this process could not be told, the first one of them, if that has happened; it is forgotten then.
pub fn untold() -> Option<String> {
    UNTOLD.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Keeps the first reason for [`untold`].
pub(crate) fn note(reason: String) {
    UNTOLD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
}

impl Engine {
    /// The folder of events.
    pub(crate) fn events(&self) -> PathBuf {
        self.places().data.join(events::FOLDER)
    }

    /// Tells `event`, with the time of now.
    pub(crate) fn happened(&self, event: Event) {
        if let Err(error) = events::append(&self.events(), event) {
            note(chain(&error));
        }
    }

    /// Tells that `action` happened to the container of `record`.
    pub(crate) fn happened_to(&self, record: &Record, action: &ContainerAction) {
        self.happened(about(record, action));
    }

    /// Tells that `action` happened to an image: `id` is its id, or for a registry's its name.
    pub(crate) fn happened_to_image(&self, action: ImageAction, id: &str, name: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        self.happened(Event::image(action, id, attributes));
    }

    /// Tells that `action` happened to a volume.
    pub(crate) fn happened_to_volume(&self, action: VolumeAction, name: &VolumeName) {
        self.happened(Event::volume(action, name.as_str(), driver()));
    }

    /// Tells that the container of `record` has its volumes from now on.
    pub(crate) fn volumes_mounted(&self, record: &Record) {
        for mount in volumes(record) {
            let event = Event::volume(VolumeAction::Mount, &mount.name, driver());
            let event = event.with("container", record.id.as_str()).with("destination", mount.destination.as_str());
            self.happened(
                event.with("propagation", mount.propagation.as_str()).with("read/write", mount.rw.to_string()),
            );
        }
    }

    /// Tells that it has them no longer.
    pub(crate) fn volumes_unmounted(&self, record: &Record) {
        for mount in volumes(record) {
            let event = Event::volume(VolumeAction::Unmount, &mount.name, driver());
            self.happened(event.with("container", record.id.as_str()));
        }
    }

    /// Writes down what is about to be sent to the container's first process, so that its monitor can tell who ended it. That this
    /// fails is told like an event that could not be: the container may also be gone.
    pub(crate) fn asks(&self, id: &ContainerId, signal: Signal, by: &str) {
        let folder = self.containers().join(id.as_str());
        let pid = std::process::id();
        let asked = Asked { signal: signal.as_raw(), by: by.to_owned(), pid, at: now() };
        // A name of its own: several commands may ask at once.
        let draft = folder.join(format!(".{ASKED}.{pid}"));
        let write = || {
            std::fs::write(&draft, serde_json::to_vec(&asked)?)?;
            std::fs::rename(&draft, folder.join(ASKED))
        };
        match write() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => note(format!("cannot write down in {} who signals: {error}", folder.display())),
        }
    }

    /// What the container's monitor needs to tell its events.
    pub(crate) fn event_source(&self, record: &Record) -> Source {
        Source { folder: self.events(), attributes: attributes(record) }
    }
}

fn volumes(record: &Record) -> impl Iterator<Item = &MountPoint> {
    record.mounts.iter().filter(|mount| mount.kind == "volume")
}

fn driver() -> BTreeMap<String, String> {
    BTreeMap::from([("driver".to_owned(), DRIVER.to_owned())])
}

/// An event about the container of `record`, to which more attributes may be added.
pub(crate) fn about(record: &Record, action: &ContainerAction) -> Event {
    Event::container(action, record.id.as_str(), attributes(record))
}

/// What Docker says of a container in each event: its labels, the name of its image and its own.
fn attributes(record: &Record) -> BTreeMap<String, String> {
    let mut attributes = record.config.labels.clone();
    attributes.insert("image".to_owned(), record.image.reference.clone());
    attributes.insert("name".to_owned(), record.name.to_string());
    attributes
}
