//! The five capability sets, and whether programs can raise them.

use stockade_capabilities::{CapSet, Which, observe};
use stockade_spec::Capabilities;

use crate::exposure;
use crate::finding::{Sheet, Wall};
use crate::scene::Scene;

/// Check 3.
pub(super) fn sets(scene: &Scene<'_>, sheet: &mut Sheet) {
    let found = observe::of_status(&scene.status);
    let asked = scene.asked.and_then(|asked| asked.process()).and_then(|process| process.capabilities.as_ref());
    // What it can come by: with new privileges all that is in the bounding set, without them what it has.
    let reach = if scene.status.no_new_privs { Which::Permitted } else { Which::Bounding };
    for which in Which::ALL {
        let (part, now) = (which.to_string(), found.get(which));
        let exposing = exposed(which == reach, now);
        match asked
            .map(|asked| CapSet::parse(names(asked, which).iter().map(String::as_str), CapSet::from_bits(u64::MAX)))
        {
            Some(Err(unknown)) => sheet.unchecked(part, None, format!("what was asked for is unknown: {unknown}")),
            Some(Ok(wanted)) if now.is_subset(wanted) => {
                sheet.holds(part, Some(wanted.to_string()), now.to_string()).exposing(exposing);
            }
            Some(Ok(wanted)) => {
                let extra = now - wanted;
                let finding = sheet.weaker(part, wanted.to_string(), now.to_string());
                finding.because(format!("more than asked: {extra}")).exposing(exposing);
                if which == Which::Inheritable {
                    finding.exposing([exposure::INHERITABLE]);
                }
            }
            None if which == Which::Inheritable && !now.is_empty() => {
                sheet.absent(part, None, now.to_string()).exposing([exposure::INHERITABLE]);
            }
            None => {
                let all = which == reach && (now.len() >= ALL_BUT_A_FEW);
                let wall = Wall { wanted: None, asked: None, found: now.to_string(), stands: !all };
                sheet.judge(part, wall).exposing(exposing);
            }
        }
    }
}

/// A set with so many capabilities was never cut down: the kernel knows 41, of which an engine in a container of its own may lack some.
const ALL_BUT_A_FEW: u32 = 35;

/// What the capabilities expose; the grade leaves them out where its users are its own.
fn exposed(counts: bool, set: CapSet) -> Vec<&'static exposure::Exposure> {
    if counts { set.iter().map(exposure::of_capability).collect() } else { Vec::new() }
}

fn names(asked: &Capabilities, which: Which) -> &[String] {
    match which {
        Which::Effective => &asked.effective,
        Which::Permitted => &asked.permitted,
        Which::Inheritable => &asked.inheritable,
        Which::Bounding => &asked.bounding,
        Which::Ambient => &asked.ambient,
    }
}

/// Check 4.
pub(super) fn new_privileges(scene: &Scene<'_>, sheet: &mut Sheet) {
    let word = |set: bool| if set { "set" } else { "not set" }.to_owned();
    let wanted = scene.asked.and_then(|asked| asked.process()).map(|process| process.no_new_privileges);
    let stands = scene.status.no_new_privs;
    let wall = Wall { wanted, asked: wanted.map(word), found: word(stands), stands };
    sheet.judge("no_new_privs", wall).exposing((!stands).then_some(exposure::NEW_PRIVILEGES));
}
