//! Limits of its control groups: what was asked for, what its own group says, and what binds it, the least over all ancestors.

use stockade_cgroups::model::{IdList, Max};
use stockade_cgroups::observe::Reading;
use stockade_spec::Resources;

use crate::exposure::{self, Exposure};
use crate::finding::{Sheet, Wall};
use crate::scene::Scene;

/// Microseconds in a period if none is given.
const PERIOD: u64 = 100_000;

/// A bound: its files on v1 and v2, its name, and what it exposes if it is not there.
const BOUNDS: [([&str; 2], &str, Option<&Exposure>); 4] = [
    (["pids.max", "pids.max"], "pids", Some(exposure::UNLIMITED_PIDS)),
    (["memory.limit_in_bytes", "memory.max"], "memory", Some(exposure::UNLIMITED_MEMORY)),
    (["memory.memsw.limit_in_bytes", "memory.swap.max"], "swap", None),
    (["cpu.cfs_quota_us", "cpu.max"], "cpu", Some(exposure::UNLIMITED_CPU)),
];

/// Check 19.
pub(super) fn asked(scene: &Scene<'_>, sheet: &mut Sheet) {
    let found = match &scene.cgroups {
        Ok(found) => found,
        Err(why) => return sheet.unchecked("limits", None, why),
    };
    let resources = scene.linux().and_then(|linux| linux.resources.as_ref());
    group(scene, sheet);
    for (files, part, _) in BOUNDS {
        let reading = found.readings.iter().find(|reading| files.contains(&reading.file));
        let wanted =
            resources.and_then(|resources| wanted(resources, part, reading.is_some_and(|one| one.file == files[1])));
        match (wanted, reading) {
            (None, _) | (Some(Max::Unlimited), _) => {}
            (Some(wanted), None) => sheet.unchecked(part, Some(show(part, wanted)), "no controller tells of it"),
            (Some(wanted), Some(reading)) => compare(sheet, part, wanted, reading),
        }
    }
    if let Some(cpu) = resources.and_then(|resources| resources.cpu.as_ref()) {
        for (part, wanted, now) in
            [("cpuset.cpus", &cpu.cpus, &found.processors), ("cpuset.mems", &cpu.mems, &found.memory_nodes)]
        {
            list(sheet, part, wanted, now.as_deref());
        }
    }
    if sheet.0.is_empty() {
        let asked = scene.asked.map(|_| "none".to_owned());
        sheet.holds("limits", asked.clone(), asked.unwrap_or_else(|| "see check 20".to_owned()));
    }
}

/// One bound that was asked for.
fn compare(sheet: &mut Sheet, part: &str, wanted: Max, reading: &Reading) {
    let (asked, now) = (show(part, wanted), show(part, reading.effective));
    // The kernel rounds memory down to pages and the quota down to microseconds.
    if reading.effective.least(wanted) == reading.effective {
        let finding = sheet.holds(part, Some(asked), now);
        if reading.written.least(wanted) != reading.written {
            finding.because(format!("its own group says {}", show(part, reading.written)));
        }
    } else {
        sheet.weaker(part, asked, now).exposing([exposure::RAISED_LIMIT]);
    }
}

/// A list of processors or memory nodes: none but those that were asked for.
fn list(sheet: &mut Sheet, part: &str, wanted: &str, found: Option<&str>) {
    const NAME: &str = "list";
    if wanted.is_empty() {
        return;
    }
    match (IdList::parse(NAME, wanted), found.map(|found| (found, IdList::parse(NAME, found)))) {
        (Ok(want), Some((text, Ok(now)))) if now.within(&want) => {
            sheet.holds(part, Some(wanted.to_owned()), text);
        }
        (Ok(_), Some((text, Ok(_)))) => {
            sheet.weaker(part, wanted, text).exposing([exposure::RAISED_LIMIT]);
        }
        _ => sheet.unchecked(part, Some(wanted.to_owned()), "no controller tells of it"),
    }
}

/// Whether it is in the group that was asked for, or below it, in every hierarchy that has a controller.
fn group(scene: &Scene<'_>, sheet: &mut Sheet) {
    let (Some(linux), Ok(found)) = (scene.linux(), &scene.cgroups) else { return };
    // The form of systemd (`slice:prefix:name`) is a name of a unit, whose path is systemd's.
    let path = linux.cgroups_path.as_str();
    if !path.starts_with('/') || path == "/" {
        return;
    }
    let relative = path.trim_matches('/');
    let outside: Vec<String> = found
        .places
        .iter()
        .filter(|place| !place.hierarchy.is_empty())
        .filter(|place| !format!("/{}/", place.path.display()).contains(&format!("/{relative}/")))
        .map(|place| format!("/{} ({})", place.path.display(), place.hierarchy))
        .collect();
    // cgroup2 beside v1 hierarchies has no controllers: some runtimes do not use it.
    let hybrid = found.places.iter().any(|place| place.hierarchy != "unified");
    let outside: Vec<String> = outside.into_iter().filter(|one| !hybrid || !one.ends_with("(unified)")).collect();
    if outside.is_empty() {
        sheet.holds("group", Some(path.to_owned()), path);
    } else {
        sheet.weaker("group", path, outside.join(", ")).exposing([exposure::RAISED_LIMIT]);
    }
}

/// The bound that was asked for; `unified` if it is for a v2 file.
fn wanted(resources: &Resources, part: &str, unified: bool) -> Option<Max> {
    let max = |value: i64| match value {
        0 => None,
        value => Some(u64::try_from(value).map_or(Max::Unlimited, Max::At)),
    };
    let memory = resources.memory.as_ref();
    match part {
        "pids" => resources.pids.as_ref().and_then(|pids| max(pids.limit?)),
        "memory" => memory.and_then(|memory| max(memory.limit?)),
        "swap" => {
            let memory = memory?;
            match max(memory.swap?)? {
                // OCI has the sum of both, and v2 the swap alone.
                Max::At(sum) if unified => Some(Max::At(sum.saturating_sub(u64::try_from(memory.limit?).ok()?))),
                other => Some(other),
            }
        }
        _ => {
            let cpu = resources.cpu.as_ref()?;
            let period = cpu.period.filter(|period| *period > 0).unwrap_or(PERIOD);
            match max(cpu.quota?)? {
                Max::At(quota) => Some(Max::At(quota.saturating_mul(1_000_000) / period)),
                Max::Unlimited => Some(Max::Unlimited),
            }
        }
    }
}

/// A bound in words.
fn show(part: &str, bound: Max) -> String {
    match (part, bound) {
        (_, Max::Unlimited) => "unlimited".to_owned(),
        ("cpu", Max::At(value)) => format!("{}.{:02} processors", value / 1_000_000, value % 1_000_000 / 10_000),
        ("memory" | "swap", Max::At(value)) => format!("{value} bytes"),
        (_, Max::At(value)) => value.to_string(),
    }
}

/// Check 20.
pub(super) fn bounds(scene: &Scene<'_>, sheet: &mut Sheet) {
    let found = match &scene.cgroups {
        Ok(found) => found,
        Err(why) => return sheet.unchecked("bounds", None, why),
    };
    for (files, part, exposure) in BOUNDS {
        let Some(exposure) = exposure else { continue };
        let Some(reading) = found.readings.iter().find(|reading| files.contains(&reading.file)) else {
            sheet.absent(part, None, "unlimited").because("no controller tells of it").exposing([exposure]);
            continue;
        };
        let stands = reading.effective != Max::Unlimited;
        // Whether it is what was asked for is for check 19.
        let wall = Wall { wanted: None, asked: None, found: show(part, reading.effective), stands };
        let finding = sheet.judge(part, wall).exposing((!stands).then_some(exposure));
        if stands && reading.written != reading.effective {
            finding.because(format!("by {}", reading.bound_at.display()));
        }
    }
    let count = |what: &str, many: u64| (many > 0).then(|| format!("{what} {many} times"));
    let met = [count("out of processes", found.events.pids_max), count("killed for memory", found.events.oom_kill)];
    let met: Vec<String> = met.into_iter().flatten().collect();
    sheet.holds("met", None, if met.is_empty() { "never".to_owned() } else { met.join(", ") });
}
