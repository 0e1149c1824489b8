//! Where a container wrote: the folders that have to be writable if its root is not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A folder that is written to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In memory, and empty at the start: folders that are so in every image.
    Memory(PathBuf),
    /// A volume, which begins with what the image has there.
    Volume(PathBuf),
    /// The root itself, in which nothing can be mounted: it cannot be read-only.
    Root,
}

/// Folders for what nobody keeps.
const SCRATCH: &[&str] = &["/tmp", "/var/tmp"];

/// The least folders of the image of which all that was changed is below, for changes as `diff` tells them (`A /path`, `C /path`, `D /path`).
#[must_use]
pub fn places(changed: &BTreeSet<String>) -> BTreeSet<Place> {
    let paths: Vec<(char, &Path)> =
        changed.iter().filter_map(|line| Some((line.chars().next()?, Path::new(line.get(2..)?)))).collect();
    let added: BTreeSet<&Path> = paths.iter().filter(|(kind, _)| *kind == 'A').map(|(_, path)| *path).collect();
    let above: BTreeSet<&Path> = paths.iter().flat_map(|(_, path)| path.ancestors().skip(1)).collect();
    let mut folders = BTreeSet::new();
    for (kind, path) in &paths {
        // A folder that is changed because of what is in it.
        if above.contains(path) {
            continue;
        }
        // One of the topmost folders in which nothing is left is a folder itself: nobody keeps files beside them.
        let is_folder = *kind == 'C' && path.ancestors().count() == 2;
        let skipped = usize::from(!is_folder);
        folders.extend(path.ancestors().skip(skipped).find(|folder| !added.contains(folder)));
    }
    let is_topmost = |folder: &&Path| !folder.ancestors().skip(1).any(|above| folders.contains(above));
    let topmost = folders.iter().copied().filter(is_topmost);
    topmost
        .map(|folder| match folder {
            folder if folder == Path::new("/") => Place::Root,
            folder if SCRATCH.iter().any(|scratch| folder == Path::new(scratch)) => Place::Memory(folder.to_owned()),
            folder => Place::Volume(folder.to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(changed: &[&str]) -> Vec<Place> {
        places(&changed.iter().map(|line| (*line).to_owned()).collect()).into_iter().collect()
    }

    fn volume(path: &str) -> Place {
        Place::Volume(path.into())
    }

    #[test]
    fn the_folders_that_the_image_has_are_named() {
        assert_eq!(of(&["C /run", "A /run/nginx.pid"]), [volume("/run")]);
        assert_eq!(of(&["C /var", "C /var/lib", "A /var/lib/x", "A /var/lib/x/y"]), [volume("/var/lib")]);
        assert_eq!(
            of(&["C /var", "C /var/log", "C /var/log/a", "C /var/lib", "D /var/lib/b"]),
            [volume("/var/lib"), volume("/var/log")]
        );
        assert_eq!(of(&["C /tmp"]), [Place::Memory("/tmp".into())]);
        assert_eq!(
            of(&["C /tmp", "A /tmp/a", "C /etc", "C /etc/mtab"]),
            [Place::Memory("/tmp".into()), volume("/etc")]
        );
        assert_eq!(of(&[]), []);
    }

    #[test]
    fn one_folder_in_another_is_not_named() {
        assert_eq!(of(&["C /var", "A /var/a", "C /var/lib", "A /var/lib/b"]), [volume("/var")]);
    }

    #[test]
    fn who_writes_into_the_root_cannot_have_it_read_only() {
        assert_eq!(of(&["A /file", "C /etc", "A /etc/x"]), [Place::Root]);
    }
}
