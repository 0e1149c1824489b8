//! `linux.resources.devices`: which device nodes may be used, ending with the rules that every container has.

use stockade_cgroups::model::{Access, DeviceKind, DeviceRule, DeviceRules};
use stockade_spec::DeviceType;

use super::PlanError;
use super::devices::STANDARD;

/// Plans the rules; without any, only what every container may use is allowed.
pub(super) fn plan(rules: &[stockade_spec::DeviceRule]) -> Result<DeviceRules, PlanError> {
    let rule = |(index, rule)| plan_one(&format!("linux.resources.devices[{index}]"), rule);
    let mut planned = rules.iter().enumerate().map(rule).collect::<Result<Vec<_>, _>>()?;
    planned.extend(always());
    let path = "linux.resources.devices".to_owned();
    DeviceRules::new(planned).map_err(|source| PlanError::Limit { path, source })
}

/// One configured rule. As in runc a missing number or -1 stands for all, and missing access for all access.
fn plan_one(path: &str, rule: &stockade_spec::DeviceRule) -> Result<DeviceRule, PlanError> {
    let kind = match rule.kind {
        None | Some(DeviceType::All) => DeviceKind::All,
        Some(DeviceType::Block) => DeviceKind::Block,
        Some(DeviceType::Character | DeviceType::Unbuffered) => DeviceKind::Character,
        Some(DeviceType::Fifo) => return Err(PlanError::invalid(format!("{path}.type"), "p", "a, b or c")),
    };
    let number = |field: &str, number: Option<i64>, highest: u32| match number {
        None | Some(-1) => Ok(None),
        Some(number) => {
            let fits = u32::try_from(number).ok().filter(|number| *number <= highest);
            let allowed = || format!("-1 (all) or 0 to {highest}");
            fits.map(Some).ok_or_else(|| PlanError::invalid(format!("{path}.{field}"), number, allowed()))
        }
    };
    let access = match rule.access.as_deref() {
        None | Some("") => Access::all(),
        Some(text) => {
            let path = || format!("{path}.access");
            Access::parse(text).map_err(|source| PlanError::Limit { path: path(), source })?
        }
    };
    Ok(DeviceRule {
        allow: rule.allow,
        kind,
        major: number("major", rule.major, 4095)?,
        minor: number("minor", rule.minor, 1_048_575)?,
        access,
    })
}

/// What every container may use, whatever the rules say, because engines rely on it: any node may be made, and the
/// standard nodes, `/dev/ptmx` and terminals used (runc's `AllowedDevices`).
fn always() -> impl Iterator<Item = DeviceRule> {
    let allow = |kind, major, minor, access| DeviceRule { allow: true, kind, major, minor, access };
    let character = DeviceKind::Character;
    let nodes = [DeviceKind::Block, character].map(|kind| allow(kind, None, None, Access::MKNOD));
    let standard = STANDARD.map(|(_, major, minor)| allow(character, Some(major), Some(minor), Access::all()));
    let ptmx = allow(character, Some(5), Some(2), Access::all());
    let terminals = allow(character, Some(136), None, Access::all());
    nodes.into_iter().chain(standard).chain([ptmx, terminals])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_denies_all_and_the_standard_nodes_stay() {
        let deny_all = stockade_spec::DeviceRule {
            allow: false,
            kind: Some(DeviceType::All),
            major: Some(-1),
            minor: None,
            access: Some("rwm".to_owned()),
        };
        for rules in [plan(&[]).unwrap(), plan(&[deny_all]).unwrap()] {
            let allows = |kind, major, minor, access| rules.allows(kind, major, minor, access);
            assert!(allows(DeviceKind::Character, 1, 3, Access::all()));
            assert!(allows(DeviceKind::Character, 136, 42, Access::READ | Access::WRITE));
            assert!(allows(DeviceKind::Block, 8, 0, Access::MKNOD));
            assert!(!allows(DeviceKind::Block, 8, 0, Access::READ));
            assert!(!allows(DeviceKind::Character, 1, 1, Access::READ));
            assert!(!allows(DeviceKind::Character, 10, 200, Access::READ));
        }
    }
}
