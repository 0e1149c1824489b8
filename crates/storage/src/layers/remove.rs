//! Which layers there are, and how one that nobody needs goes: out of its place at once, and then apart.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;

use super::{Layers, NEW, Wait};
use crate::Digest;

impl Layers {
    /// The diff ids of the layers that are unpacked, complete or not yet, in no order.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<Digest>> {
        let mut all = BTreeSet::new();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for folder in [&self.pending, &self.complete] {
            // A descriptor of its own, because the position in the folder belongs to the descriptor.
            for entry in Dir::new(rustix::fs::openat(folder, ".", flags, Mode::empty())?)? {
                let entry = entry?;
                let hex = entry.file_name().to_str().ok();
                // What has no such name is no layer of ours.
                all.extend(hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok()));
            }
        }
        Ok(all.into_iter().collect())
    }

    /// Removes the layer. It must not be in use: nothing here knows whether it is. One that is not there is no error.
    ///
    /// # Errors
    /// If it cannot be moved or removed; what was moved is no layer any more, and goes when the layers are opened next.
    pub fn remove(&self, diff_id: &Digest) -> io::Result<()> {
        let hex = diff_id.hex();
        let name = OsStr::new(&hex);
        let Some(place) = self.lock(name, Wait::Forever)? else { return Err(Errno::AGAIN.into()) };
        for folder in [&self.pending, &self.complete] {
            match rustix::fs::renameat(folder, name, &place, NEW) {
                Ok(()) => resolve::remove_tree(&place, NEW)?,
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.remove_place(name, &place)
    }
}
