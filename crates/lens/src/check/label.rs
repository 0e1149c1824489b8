//! Mandatory access control: AppArmor, SELinux, Landlock.

use rustix::io::Errno;
use stockade_apparmor::{Confinement, observe};

use crate::exposure;
use crate::finding::{Sheet, Wall};
use crate::scene::{Scene, text, told};

const UNCONFINED: &str = "unconfined";
const NONE: &str = "the kernel has none";

/// Check 8.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    let found = observe::of(scene.procfs, scene.subject());
    let absent = |error: &std::io::Error| {
        matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::NOENT | Errno::INVAL))
    };
    let asked = scene.asked.and_then(|asked| asked.process()).map(|process| process.apparmor_profile.as_str());
    match found {
        Ok(found) => apparmor(sheet, asked, &found),
        Err(error) if absent(&error) => {
            let wanted = asked.map(|name| !matches!(name, "" | UNCONFINED));
            let asked = asked.map(|name| named(name).to_owned());
            let wall = Wall { wanted, asked, found: NONE.to_owned(), stands: false };
            let finding = sheet.judge("apparmor", wall);
            if !selinux_runs() {
                finding.exposing([exposure::NO_LSM]);
            }
        }
        // The files are another module's.
        Err(error) if error.raw_os_error() == Some(Errno::BADMSG.raw_os_error()) => {}
        Err(error) => sheet.unchecked("apparmor", asked.map(str::to_owned), error.to_string()),
    }
    selinux(scene, sheet);
    sheet.unchecked("landlock", None, "no file of the kernel's tells of a process' Landlock rules");
}

/// The name that an empty one stands for.
fn named(name: &str) -> &str {
    if name.is_empty() { UNCONFINED } else { name }
}

/// What AppArmor says.
fn apparmor(sheet: &mut Sheet, asked: Option<&str>, found: &Confinement) {
    let confines = found.mode.confines();
    let exposing = (!confines).then_some(exposure::NO_LSM);
    match asked.map(named) {
        Some(UNCONFINED) | None => {
            let asked = asked.map(|name| named(name).to_owned());
            let wall = Wall { wanted: Some(false), asked, found: found.to_string(), stands: confines };
            sheet.judge("apparmor", wall).exposing(exposing);
        }
        Some(name) if found.profile == name && confines => {
            sheet.holds("apparmor", Some(format!("{name} (enforce)")), found.to_string());
        }
        Some(name) => {
            sheet.weaker("apparmor", format!("{name} (enforce)"), found.to_string()).exposing(exposing);
        }
    }
}

fn selinux_runs() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}

/// What SELinux says, where it runs or was asked for.
fn selinux(scene: &Scene<'_>, sheet: &mut Sheet) {
    let asked = scene.asked.and_then(|asked| asked.process()).map(|process| process.selinux_label.as_str());
    let asked = asked.filter(|label| !label.is_empty());
    if !selinux_runs() {
        if let Some(label) = asked {
            sheet.weaker("selinux", label, NONE);
        }
        return;
    }
    match told(scene.procfs.read(scene.subject(), "attr/current")) {
        Ok(found) => {
            let found = text(found.trim_ascii_end().strip_suffix(b"\0").unwrap_or(found.trim_ascii_end()));
            match asked {
                Some(label) if label == found => {
                    sheet.holds("selinux", Some(label.to_owned()), found);
                }
                Some(label) => {
                    sheet.weaker("selinux", label, found).exposing([exposure::NO_LSM]);
                }
                None => {
                    sheet.holds("selinux", None, found);
                }
            }
        }
        Err(why) => sheet.unchecked("selinux", asked.map(str::to_owned), why),
    }
}
