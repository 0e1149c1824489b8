//! How much disk a container takes: what it wrote, and that with its image's layers, as `ps -s` and `inspect -s` tell it.

use std::collections::HashMap;
use std::path::PathBuf;

use stockade_storage::usage;

use crate::container::ContainerError;
use crate::files::FileError;
use crate::prune::container_bytes;
use crate::{ContainerId, Engine};

/// Bytes that the disk holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// For what the container wrote.
    pub written: u64,
    /// For that and for the layers of its image, which other containers may have, too.
    pub root: u64,
}

/// Looks at containers one after the other, at each layer once.
#[derive(Debug)]
pub struct Sizes<'engine> {
    engine: &'engine Engine,
    layers: HashMap<PathBuf, u64>,
}

impl<'engine> Sizes<'engine> {
    /// Nothing is looked at yet.
    #[must_use]
    pub fn new(engine: &'engine Engine) -> Self {
        Self { engine, layers: HashMap::new() }
    }

    /// How much the container takes now.
    ///
    /// # Errors
    /// If its record or a folder of it cannot be read.
    pub fn of(&mut self, id: &ContainerId) -> Result<Size, ContainerError> {
        let layers = self.engine.folder(id)?.record()?.image.lowers;
        let written = container_bytes(self.engine, id)?;
        let mut root = written;
        for layer in layers {
            root += match self.layers.get(&layer) {
                Some(bytes) => *bytes,
                None => {
                    let bytes = usage(&layer).map_err(FileError::at("look at what is in", &layer))?;
                    self.layers.insert(layer, bytes);
                    bytes
                }
            };
        }
        Ok(Size { written, root })
    }
}
