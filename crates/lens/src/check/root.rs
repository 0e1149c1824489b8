//! Its root folder: whether it is another than the host's, and whether it can be written.

use rustix::fs::CWD;

use crate::exposure;
use crate::finding::{Sheet, Wall};
use crate::scene::Scene;

/// Check 10.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    own(scene, sheet);
    read_only(scene, sheet);
}

fn own(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "root";
    let compared = scene.root.as_ref().map_err(Clone::clone).and_then(|root| {
        let theirs = rustix::fs::fstat(root).map_err(|errno| errno.to_string())?;
        let ours = rustix::fs::statat(CWD, "/", rustix::fs::AtFlags::empty()).map_err(|errno| errno.to_string())?;
        Ok((theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino))
    });
    match compared {
        Err(why) => sheet.unchecked(PART, None, why),
        Ok(stands) => {
            let asked = scene.asked.and_then(|asked| asked.spec.root.as_ref());
            let wanted = scene.asked.map(|_| asked.is_some());
            let found = if stands { "own" } else { "the host's" }.to_owned();
            let wall = Wall { wanted, asked: asked.map(|_| "own".to_owned()), found, stands };
            sheet.judge(PART, wall).exposing((!stands).then_some(exposure::HOST_ROOT));
        }
    }
}

fn read_only(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "read-only";
    if let Err(why) = &scene.mounts {
        return sheet.unchecked(PART, None, why);
    }
    let Some(mount) = scene.mount_at("/") else {
        return sheet.unchecked(PART, None, "its root is no mount of its own");
    };
    let word = |set: bool| if set { "read-only" } else { "writable" }.to_owned();
    let wanted = scene.asked.map(|asked| asked.spec.root.as_ref().is_some_and(|root| root.readonly));
    let stands = mount.has("ro");
    let wall = Wall { wanted, asked: wanted.map(word), found: word(stands), stands };
    sheet.judge(PART, wall).exposing((!stands).then_some(exposure::WRITABLE_ROOT));
}
