//! Whether system calls are filtered, and whether by the filter that was asked for.

use std::rc::Rc;

use stockade_seccomp::Compiled;
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::interpret::Shown;
use stockade_seccomp::model::{Action, Filter, Operator};
use stockade_seccomp::observe::{Attached, Mode, answer, of_status};
use stockade_seccomp::syscall::Syscall;

use crate::exposure;
use crate::finding::{Sheet, Wall};
use crate::ground::Filtered;
use crate::scene::Scene;

/// Check 5.
pub(super) fn mode(scene: &Scene<'_>, sheet: &mut Sheet) {
    let observed = match of_status(&scene.status) {
        Ok(observed) => observed,
        Err(error) => return sheet.unchecked("mode", None, error.to_string()),
    };
    let found = match (observed.mode, observed.filters) {
        (Mode::Disabled, _) => "no filter".to_owned(),
        (Mode::Strict, _) => "read, write and exit only".to_owned(),
        (Mode::Filter, Some(1)) => "1 filter".to_owned(),
        (Mode::Filter, Some(count)) => format!("{count} filters"),
        (Mode::Filter, None) => "filtered".to_owned(),
    };
    let wanted = scene.linux().map(|linux| linux.seccomp.is_some());
    let asked = wanted.map(|wanted| if wanted { "1 filter" } else { "no filter" }.to_owned());
    let stands = observed.mode != Mode::Disabled;
    let wall = Wall { wanted, asked, found, stands };
    sheet.judge("mode", wall).exposing((!stands).then_some(exposure::NO_SECCOMP));
}

/// The filter that was asked for: `None` if none was, or nothing is known.
pub(super) fn wanted(scene: &Scene<'_>) -> Result<Option<Rc<Filtered>>, String> {
    let section = scene.linux().and_then(|linux| linux.seccomp.as_ref());
    section.map(|section| scene.ground.filter_of(section.get())).transpose()
}

/// Check 6.
pub(super) fn program(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "program";
    let filters = match &scene.filters {
        Ok(filters) => filters,
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    if filters.is_empty() {
        return sheet.unchecked(PART, None, "there is no filter (check 5)");
    }
    let size: usize = filters.iter().map(|filter| filter.instructions().len()).sum();
    let wanted = match wanted(scene) {
        Ok(Some(wanted)) => wanted,
        Ok(None) if scene.asked.is_some() => {
            sheet.holds(PART, Some("no filter".to_owned()), format!("{size} instructions"));
            return;
        }
        Ok(None) => {
            sheet.holds(PART, None, format!("{size} instructions"));
            return;
        }
        Err(why) => return sheet.unchecked(PART, None, why),
    };
    let asked = Some("the filter that was asked for".to_owned());
    let compiled = match &wanted.compiled {
        Ok(compiled) => compiled,
        Err(error) => return sheet.unchecked(PART, asked, format!("what was asked for cannot be loaded: {error}")),
    };
    if let [one] = filters.as_slice()
        && one.is(compiled)
    {
        sheet.holds(PART, asked, "the filter that was asked for").because(format!("the same {size} instructions"));
        return;
    }
    let compared = compare(&wanted.filter, compiled, filters);
    match compared.weaker.as_slice() {
        [] => {
            let finding = sheet.holds(PART, asked, "the filter that was asked for");
            finding.because(format!("other instructions, and none of {} calls is freer", compared.tried));
        }
        some => {
            let named: Vec<&str> = some.iter().take(8).map(String::as_str).collect();
            let more = if some.len() > named.len() { ", ..." } else { "" };
            let found = format!("lets {} calls through that it was to deny", some.len());
            let finding = sheet.weaker(PART, "the filter that was asked for", found);
            finding.because(format!("{}{more}", named.join(", "))).exposing([exposure::OPEN_CALL]);
        }
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
struct Compared {
    /// How many calls were tried.
    tried: usize,
    /// Those that the program permits and the filter does not.
    weaker: Vec<String>,
}

/// Asks both about every call that there is, with arguments that decide each rule. Arguments that no rule names can make no difference
/// to the filter; a program of somebody else's could look at others, which these tries are not sure to find.
fn compare(wanted: &Filter, compiled: &Compiled, filters: &[Attached]) -> Compared {
    let mut compared = Compared::default();
    let tries = arguments(wanted);
    for &arch in wanted.architectures() {
        for call in Syscall::all() {
            let Some(number) = call.number(arch) else { continue };
            let unconditional = [[0; 6]];
            let of_call = tries.iter().filter(|(name, _)| *name == call.name()).map(|(_, arguments)| *arguments);
            for arguments in unconditional.into_iter().chain(of_call) {
                compared.tried += 1;
                let shown = Shown { number, audit: arch.audit(), arguments: Some(arguments) };
                let permitted = answer(filters, &shown).is_none_or(Action::permits);
                if permitted && !compiled.answer(&shown).is_some_and(Action::permits) {
                    let name = name(arch, call);
                    if compared.weaker.last() != Some(&name) {
                        compared.weaker.push(name);
                    }
                }
            }
        }
    }
    compared
}

/// A call, with its architecture if that is not this one.
fn name(arch: Arch, call: Syscall) -> String {
    if arch == Arch::NATIVE { call.name().to_owned() } else { format!("{} ({arch})", call.name()) }
}

/// For each condition of each rule arguments on both sides of it, also with upper bits set.
pub(crate) fn arguments(wanted: &Filter) -> Vec<(&'static str, [u64; 6])> {
    let mut tries = Vec::new();
    for rule in wanted.rules() {
        for condition in &rule.conditions {
            let near = match condition.operator {
                Operator::MaskedEqual => vec![condition.second, condition.value, condition.second | condition.value],
                _ => vec![condition.value.wrapping_sub(1), condition.value, condition.value.wrapping_add(1)],
            };
            for value in near.into_iter().flat_map(|value| [value, value | 1 << 32]) {
                let mut arguments = [0; 6];
                if let Some(place) = arguments.get_mut(usize::from(condition.argument)) {
                    *place = value;
                }
                tries.extend(rule.calls.iter().map(|call| (call.name(), arguments)));
            }
        }
    }
    tries
}
