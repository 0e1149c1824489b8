//! The hostile images, as data: each is a name, where it is from, a function that writes it, and what must become of it.
//!
//! The classes are those of the published record: names and links that lead out of the root, entries and archives
//! that readers understand differently, what eats memory or disk, documents that lie, metadata that would steer the
//! confinement, files of the image that the engine or the runtime would follow on the host's behalf.

mod archives;
mod attributes;
mod configs;
mod documents;
mod entries;
mod links;
mod names;
mod roots;
mod server;

pub use crate::layout::Layout;
pub use server::Server;

/// What must become of a container of a hostile image.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// No layer is made of it, and an error with one of these words is the answer.
    NotUnpacked(&'static [&'static str]),
    /// An error with one of these words is the answer.
    Refused(&'static [&'static str]),
    /// It is refused or runs and ends, as it likes: nothing outside is changed.
    Contained,
    /// It runs, and has the walls of any other.
    Harmless,
    /// The same, and this script of it says that.
    Says(&'static str, &'static str),
}

/// One hostile image.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What it is.
    pub name: &'static str,
    /// The published hole that it is of, or the class.
    pub source: &'static str,
    /// Flags of `run` that it needs to do its worst.
    pub flags: &'static [&'static str],
    /// Writes it onto the busybox image.
    pub make: fn(&mut Layout),
    /// What must become of it.
    pub expected: Expected,
}

const fn kind(name: &'static str, source: &'static str, expected: Expected, make: fn(&mut Layout)) -> Kind {
    Kind { name, source, flags: &[], make, expected }
}

impl Kind {
    const fn with(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }
}

/// A class of hostile images.
pub type Class = (&'static str, &'static [Kind]);

/// All of them.
pub const CLASSES: &[Class] = &[
    ("names", names::KINDS),
    ("links", links::KINDS),
    ("entries", entries::KINDS),
    ("attributes", attributes::KINDS),
    ("archives", archives::KINDS),
    ("documents", documents::KINDS),
    ("configs", configs::KINDS),
    ("roots", roots::KINDS),
];

/// The archives and the documents of all of them that have at most `most` bytes: what fuzzers begin with.
///
/// # Panics
/// If they cannot be made in the new folder `folder`, which is left with the last one in it.
#[must_use]
pub fn samples(folder: &std::path::Path, most: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut archives, mut documents) = (Vec::new(), Vec::new());
    for kind in CLASSES.iter().flat_map(|(_, kinds)| *kinds) {
        if folder.exists() {
            std::fs::remove_dir_all(folder).expect("a folder can be removed");
        }
        std::fs::create_dir_all(folder.join("canary")).expect("a folder can be made");
        let mut layout = Layout::on_busybox(&folder.join("image"), &folder.join("canary"));
        (kind.make)(&mut layout);
        layout.finish();
        archives.extend(layout.archives().iter().filter(|archive| archive.len() <= most).cloned());
        for entry in std::fs::read_dir(folder.join("image/blobs/sha256")).expect("a layout has blobs") {
            let path = entry.expect("a folder can be read").path();
            let small = path.symlink_metadata().is_ok_and(|data| data.is_file() && data.len() <= most as u64);
            let content = if small { std::fs::read(&path).expect("a blob can be read") } else { Vec::new() };
            if content.starts_with(b"{") {
                documents.push(content);
            }
        }
    }
    (archives, documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_many_and_no_name_is_there_twice() {
        let mut names: Vec<&str> = CLASSES.iter().flat_map(|(_, kinds)| kinds.iter().map(|kind| kind.name)).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all >= 60, "{all}");
    }
}
