//! What is told of a pull while it goes on.

use crate::content::Descriptor;

/// Whoever is told. Called from several threads at once.
pub trait Progress: Sync {
    /// The manifest is there: these layers, lowest first, make the image.
    fn begun(&self, layers: &[Descriptor]);

    /// How far the layer with this blob is.
    fn layer(&self, layer: &Descriptor, step: Step);
}

/// How far a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is here, unpacked: nothing is to do.
    Exists,
    /// So many of its bytes are here, those of earlier attempts included. It is unpacked meanwhile.
    Downloading(u64),
    /// All of it is here, and is what its digest says.
    Downloaded,
    /// It is here and still being unpacked.
    Extracting,
    /// It is unpacked.
    Complete,
}

/// Tells nobody.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl Progress for Quiet {
    fn begun(&self, _layers: &[Descriptor]) {}

    fn layer(&self, _layer: &Descriptor, _step: Step) {}
}
