//! What the tests of this crate share.

use stockade_images::Reference;

use crate::Request;

/// A request for nothing in particular.
pub(crate) fn request() -> Request {
    Request::new(Reference::RootFs("/nonexistent".into()))
}
