//! What the tests of this crate share.

use stockade_images::Reference;

use crate::Request;
use crate::request::LogDriver;

/// A request for nothing in particular.
pub(crate) fn request() -> Request {
    Request {
        image: Reference::RootFs("/nonexistent".into()),
        command: Vec::new(),
        entrypoint: None,
        name: None,
        env: Vec::new(),
        working_dir: None,
        user: None,
        groups: Vec::new(),
        hostname: None,
        labels: Default::default(),
        binds: Vec::new(),
        terminal: false,
        interactive: false,
        detached: false,
        remove: false,
        init: false,
        cgroup_parent: None,
        log: LogDriver::default(),
        options: Default::default(),
    }
}
