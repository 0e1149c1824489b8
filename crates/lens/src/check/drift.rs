//! What became weaker since an earlier audit, and processes of the container that have fewer walls than its first.

use std::collections::BTreeMap;

use stockade_capabilities::{CapSet, observe};
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Status, Subject};

use crate::exposure;
use crate::finding::{Check, Finding, Sheet, Verdict};
use crate::scene::{Scene, told};

/// Check 31.
pub(super) fn look(scene: &Scene<'_>, checks: &[Check], sheet: &mut Sheet) {
    processes(scene, sheet);
    match scene.earlier {
        None => sheet.unchecked("since", None, "no earlier audit is given (--since FILE)"),
        Some(earlier) => since(earlier, checks, sheet),
    }
}

/// Every process in its pid namespace: none may have a capability that the first cannot come by, or lack a filter, a label or
/// no_new_privs that the first has.
fn processes(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "processes";
    if scene.shares(Namespaces::PID) {
        return sheet.unchecked(PART, None, "its processes are not told from the host's (check 1)");
    }
    let others = match others(scene) {
        Ok(others) => others,
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    let before = sheet.0.len();
    for (pid, status) in &others {
        let lacks = lacks(&scene.status, status);
        if !lacks.is_empty() {
            let part = format!("{} ({pid})", crate::scene::text(status.name.as_bytes()));
            let finding = sheet.weaker(part, "the walls of the first process", "fewer");
            finding.because(lacks.join(", ")).exposing([exposure::WEAKER_PROCESS]);
        }
    }
    if sheet.0.len() == before {
        sheet.holds(PART, None, format!("{} besides the first, none with fewer walls", others.len()));
    }
}

/// What `other` lacks of the walls of `first`.
fn lacks(first: &Status, other: &Status) -> Vec<String> {
    let mut lacks = Vec::new();
    let reach = observe::of_status(first).bounding | observe::of_status(first).permitted;
    let more = (observe::of_status(other).bounding | observe::of_status(other).permitted) - reach;
    if more != CapSet::EMPTY {
        lacks.push(format!("it has {more}"));
    }
    if first.seccomp > other.seccomp || first.seccomp_filters > other.seccomp_filters {
        lacks.push("it has fewer filters".to_owned());
    }
    if first.no_new_privs && !other.no_new_privs {
        lacks.push("it can gain privileges".to_owned());
    }
    lacks
}

/// The other processes of its pid namespace. Those that end meanwhile are left out.
fn others(scene: &Scene<'_>) -> Result<Vec<(i32, Status)>, String> {
    let own = scene.procfs.read_link(scene.subject(), "ns/pid");
    let own = told(own)?;
    let mut found = Vec::new();
    for pid in scene.ground.processes_of(&own)? {
        let same = scene.procfs.read_link(Subject::Pid(pid), "ns/pid").is_ok_and(|link| link == own);
        if same
            && pid != scene.pid
            && let Ok(status) = scene.procfs.status(Subject::Pid(pid))
            && status.state != 'Z'
        {
            found.push((pid, status));
        }
    }
    Ok(found)
}

/// Findings that hold no longer.
fn since(earlier: &[Check], checks: &[Check], sheet: &mut Sheet) {
    let before = sheet.0.len();
    let key = |check: &Check, finding: &Finding| (check.id.clone(), finding.part.clone());
    let old: BTreeMap<_, &Finding> =
        earlier.iter().flat_map(|check| check.findings.iter().map(move |one| (key(check, one), one))).collect();
    for check in checks {
        for finding in &check.findings {
            let then = old.get(&key(check, finding));
            let exposes_more = |then: &Finding| finding.exposes.iter().any(|one| !then.exposes.contains(one));
            let weaker = match then {
                Some(then) => {
                    exposes_more(then)
                        || then.verdict == Verdict::Holds
                            && matches!(finding.verdict, Verdict::NotAsked | Verdict::WeakerThanAsked)
                }
                None => !finding.exposes.is_empty(),
            };
            if weaker {
                let part = format!("{}: {}", check.id, finding.part);
                let then = then.and_then(|then| then.in_force.clone()).unwrap_or_else(|| "nothing told".to_owned());
                let now = finding.in_force.clone().unwrap_or_else(|| finding.verdict.text().to_owned());
                sheet.weaker(part, then, now).exposing([exposure::DRIFT]);
            }
        }
    }
    if sheet.0.len() == before {
        sheet.holds("since", None, "nothing became weaker since the earlier audit");
    }
}
