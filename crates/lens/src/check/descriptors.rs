//! What of the host is open in its first process (CVE-2016-9962, CVE-2024-21626).

use std::collections::BTreeSet;

use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::Descriptor;

use crate::exposure;
use crate::finding::Sheet;
use crate::scene::{Scene, text};

/// Check 16.
///
/// A program opens files of its own at once, so that it is not told by a number what was handed to it: what is on none of the
/// container's mounts is. Standard streams are wherever its engine has them.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "descriptors";
    if scene.shares(Namespaces::MOUNT) {
        return sheet.unchecked(PART, None, "its mounts are the host's (check 1)");
    }
    let (descriptors, mounts) = match (&scene.descriptors, &scene.mounts) {
        (Ok(descriptors), Ok(mounts)) => (descriptors, mounts),
        (Err(why), _) | (_, Err(why)) => return sheet.unchecked(PART, None, why),
    };
    let own: BTreeSet<u64> = mounts.iter().map(|mount| u64::from(mount.id)).collect();
    let before = sheet.0.len();
    for descriptor in descriptors {
        // A folder as a standard stream is no stream.
        let stream = descriptor.number <= 2 && !is_folder(scene, descriptor);
        if stream || !is_path(descriptor) || descriptor.mount.is_some_and(|mount| own.contains(&mount)) {
            continue;
        }
        let finding = sheet.weaker(format!("{}", descriptor.number), "nothing of the host", text(&descriptor.target));
        finding.because("it is on none of the container's mounts").exposing([exposure::HOST_DESCRIPTOR]);
    }
    if sheet.0.len() == before {
        let finding = sheet.holds(PART, Some("nothing of the host".to_owned()), "nothing of the host");
        finding.because(format!("{} open", descriptors.len()));
    }
}

/// Whether it is a file or folder with a name, and not a pipe, a socket or memory.
fn is_path(descriptor: &Descriptor) -> bool {
    descriptor.target.starts_with(b"/") && !descriptor.target.starts_with(b"/memfd:")
}

fn is_folder(scene: &Scene<'_>, descriptor: &Descriptor) -> bool {
    let opened = scene.procfs.open_link(scene.subject(), &format!("fd/{}", descriptor.number));
    let stat = opened.ok().and_then(|fd| rustix::fs::fstat(fd).ok());
    stat.is_some_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory)
}
