//! What the tests of this crate share.

use std::path::Path;

use stockade_images::Reference;

use crate::{Engine, Places, Request};

/// An engine whose folders are in `place`.
pub(crate) fn engine(place: &Path) -> Engine {
    let below = |name: &str| place.join(name);
    let (data, exec, programs) = (below("data"), below("exec"), place.to_owned());
    Engine::open(Places { data, exec, programs, runtime: None, cgroups: Default::default() }).unwrap()
}

/// A request for nothing in particular.
pub(crate) fn request() -> Request {
    Request::new(Reference::RootFs("/nonexistent".into()))
}
