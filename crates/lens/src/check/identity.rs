//! Which user and groups it has, in the container's own numbers.

use std::collections::BTreeSet;

use stockade_namespaces::IdMap;
use stockade_spec::User;

use crate::exposure;
use crate::finding::Sheet;
use crate::scene::Scene;

/// Check 9.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    let maps = match &scene.namespaces {
        Ok(found) => &found.maps,
        Err(why) => return sheet.unchecked("user", None, why),
    };
    let asked = scene.asked.and_then(|asked| asked.process()).map(|process| &process.user);
    user(scene, sheet, &maps.users, asked);
    groups(scene, sheet, &maps.groups, asked);
}

/// The id inside that stands for `outside`, in words.
fn inside(map: &IdMap, outside: u32) -> String {
    match map.inside(outside) {
        Some(id) => id.to_string(),
        None => format!("one that is not mapped ({outside})"),
    }
}

/// Its user: all four ids.
fn user(scene: &Scene<'_>, sheet: &mut Sheet, map: &IdMap, asked: Option<&User>) {
    let [real, effective, saved, files] = scene.status.uids;
    let all: BTreeSet<u32> = [real, effective, saved, files].into();
    let found = all.iter().map(|id| inside(map, *id)).collect::<Vec<_>>().join(" and ");
    let root = all.iter().any(|id| map.inside(*id) == Some(0));
    let Some(asked) = asked else {
        sheet.holds("user", None, found).exposing(root.then_some(exposure::ROOT_USER));
        return;
    };
    let wanted = asked.uid.to_string();
    // A service that gives up root is as strong as one that never had it.
    if found == wanted || asked.uid == 0 && !root {
        sheet.holds("user", Some(wanted), found).exposing(root.then_some(exposure::ROOT_USER));
    } else {
        sheet.weaker("user", wanted, found).exposing(root.then_some(exposure::ROOT_USER));
    }
}

/// Its groups: none but those asked for, and the first among the supplementary ones (CVE-2022-36109).
fn groups(scene: &Scene<'_>, sheet: &mut Sheet, map: &IdMap, asked: Option<&User>) {
    let first = scene.status.gids[1];
    let mut all: BTreeSet<u32> = scene.status.gids.into_iter().chain(scene.status.groups.iter().copied()).collect();
    let list = |ids: &BTreeSet<u32>| ids.iter().map(|id| inside(map, *id)).collect::<Vec<_>>().join(",");
    let found = list(&all);
    match asked {
        Some(asked) => {
            let wanted: BTreeSet<u32> =
                std::iter::once(asked.gid).chain(asked.additional_gids.iter().copied()).collect();
            let shown = wanted.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            all.retain(|id| !map.inside(*id).is_some_and(|id| wanted.contains(&id)));
            if all.is_empty() {
                sheet.holds("groups", Some(shown), found);
            } else {
                sheet.weaker("groups", shown, found).because(format!("more than asked: {}", list(&all)));
            }
        }
        None => {
            sheet.holds("groups", None, found);
        }
    }
    if !scene.status.groups.is_empty() && !scene.status.groups.contains(&first) {
        let finding = sheet.absent("first group", None, "not among the supplementary groups");
        finding.because("setting the first group passes by permissions that deny it (CVE-2022-36109)");
    }
}
