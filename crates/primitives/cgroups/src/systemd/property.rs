//! A plan's limits in systemd's words (`systemd.resource-control(5)`), so that systemd, when it sets a unit's groups up again
//! (`daemon-reload`, `set-property`), writes what is in force already.
//!
//! They are made of the planned writes, so that nothing is converted twice. What systemd has no word for it does not touch.

use std::collections::BTreeMap;
use std::io;

use stockade_kernel::procfs::Procfs;

use super::wire::Value;
use crate::controller::Controllers;
use crate::controllers::devices::{Allowed, Key, allowed};
use crate::layout::{Layout, Version};
use crate::model::{DeviceKind, DeviceRules, IdList};
use crate::plan::{Plan, PlanError};
use crate::write::Write;

/// A name and a value.
pub type Property = (String, Value);

/// A processor quota is kept by systemd in whole percents.
const PERCENT: u64 = 10_000;
/// The kernel's period where none was asked.
const PERIOD: u64 = 100_000;

/// The numbers that drivers have (`/proc/devices`), which [`properties`] takes.
///
/// # Errors
/// As reading of the file.
pub fn majors() -> io::Result<String> {
    Ok(String::from_utf8_lossy(&Procfs::host()?.read_at("devices")?).into_owned())
}

/// The properties that mean the limits of `plan`, for a container whose device rules are `rules`. `majors` is the text of `/proc/devices`.
///
/// # Errors
/// [`PlanError::Inexpressible`] for rules about devices that the v1 hierarchy takes and systemd would not leave in force.
pub fn properties(
    layout: &Layout,
    plan: &Plan,
    rules: Option<&DeviceRules>,
    majors: &str,
) -> Result<Vec<Property>, PlanError> {
    let mut properties: BTreeMap<&'static str, Value> = BTreeMap::new();
    let mut quota = Quota::default();
    for group in &plan.groups {
        for write in &group.writes {
            add(write, group.hierarchy.version, &mut quota, &mut properties);
        }
    }
    quota.add(&mut properties);
    let mut properties: Vec<Property> = properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if let Some(rules) = rules {
        let legacy = layout.home(Controllers::DEVICES).is_some_and(|home| home.version == Version::V1);
        properties.extend(devices(rules, majors, legacy)?);
    }
    Ok(properties)
}

/// What the processor files say, which systemd has as one property.
#[derive(Default)]
struct Quota {
    micros: Option<Option<u64>>,
    period: Option<u64>,
}

impl Quota {
    fn add(self, properties: &mut BTreeMap<&'static str, Value>) {
        if let Some(period) = self.period {
            properties.insert("CPUQuotaPeriodUSec", Value::Long(period));
        }
        let Some(micros) = self.micros else { return };
        let per_second = micros.map_or(u64::MAX, |micros| {
            let exact = micros.saturating_mul(1_000_000) / self.period.unwrap_or(PERIOD).max(1);
            exact.next_multiple_of(PERCENT)
        });
        properties.insert("CPUQuotaPerSecUSec", Value::Long(per_second));
    }
}

/// The property of one write, if there is one.
fn add(write: &Write, version: Version, quota: &mut Quota, properties: &mut BTreeMap<&'static str, Value>) {
    let text = write.value.as_str();
    let bound = || match text {
        "max" | "-1" => Some(Value::Long(u64::MAX)),
        number => number.parse().ok().map(Value::Long),
    };
    let set = || IdList::parse("", text).ok().map(|list| Value::Bytes(bits(&list)));
    let micros = |text: &str| if matches!(text, "max" | "-1") { Some(None) } else { text.parse().ok().map(Some) };
    let (name, value) = match (version, write.file.as_ref()) {
        (_, "pids.max") => ("TasksMax", bound()),
        (Version::V2, "memory.max") => ("MemoryMax", bound()),
        (Version::V2, "memory.high") => ("MemoryHigh", bound()),
        (Version::V2, "memory.low") => ("MemoryLow", bound()),
        (Version::V2, "memory.min") => ("MemoryMin", bound()),
        (Version::V2, "memory.swap.max") => ("MemorySwapMax", bound()),
        (Version::V2, "cpu.weight") => ("CPUWeight", bound()),
        (Version::V2, "cpuset.cpus") => ("AllowedCPUs", set()),
        (Version::V2, "cpuset.mems") => ("AllowedMemoryNodes", set()),
        (Version::V1, "memory.limit_in_bytes") => ("MemoryLimit", bound()),
        (Version::V1, "cpu.shares") => ("CPUShares", bound()),
        (Version::V2, "cpu.max") => {
            let (first, second) = text.split_once(' ').unwrap_or((text, ""));
            quota.micros = micros(first).or(quota.micros);
            quota.period = second.parse().ok().or(quota.period);
            return;
        }
        (Version::V1, "cpu.cfs_quota_us") => {
            quota.micros = micros(text).or(quota.micros);
            return;
        }
        (Version::V1, "cpu.cfs_period_us") => {
            quota.period = text.parse().ok().or(quota.period);
            return;
        }
        _ => return,
    };
    if let Some(value) = value {
        properties.insert(name, value);
    }
}

/// A set of numbers as systemd has it: bit N of the whole is in byte N / 8.
fn bits(list: &IdList) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in list.ids() {
        let at = id as usize / 8;
        if bytes.len() <= at {
            bytes.resize(at + 1, 0);
        }
        bytes[at] |= 1 << (id % 8);
    }
    bytes
}

/// Rules about devices. Beside our program on a v2 group systemd's must allow too, so one that cannot be as narrow allows all there.
fn devices(rules: &DeviceRules, majors: &str, legacy: bool) -> Result<Vec<Property>, PlanError> {
    let entries: Option<Vec<(String, String)>> = match allowed(rules) {
        Allowed::All => None,
        Allowed::Only(list) => {
            let entries = list.iter().map(|(device, access)| Some((node(*device, majors)?, access.to_string())));
            let entries: Option<Vec<_>> = entries.collect();
            match entries {
                None if legacy => return Err(inexpressible("a device rule for all numbers that no driver has")),
                entries => entries,
            }
        }
        Allowed::Holes if legacy => return Err(inexpressible("a device rule that denies a part of what is allowed")),
        Allowed::Holes => None,
    };
    let policy = if entries.is_some() { "strict" } else { "auto" };
    let mut properties = vec![
        ("DevicePolicy".to_owned(), Value::Text(policy.to_owned())),
        // An empty list takes back what the list said before.
        ("DeviceAllow".to_owned(), Value::Pairs(Vec::new())),
    ];
    if let Some(entries) = entries.filter(|entries| !entries.is_empty()) {
        properties.push(("DeviceAllow".to_owned(), Value::Pairs(entries)));
    }
    Ok(properties)
}

fn inexpressible(asked: &'static str) -> PlanError {
    let why = "systemd has no word for it, and would overwrite it when it is reloaded";
    PlanError::Inexpressible { asked: asked.into(), why }
}

/// The name of a device, or of all of a major number, in systemd's form; `None` if it has none.
fn node((kind, major, minor): Key, majors: &str) -> Option<String> {
    let word = if kind == DeviceKind::Block { "block" } else { "char" };
    match (major, minor) {
        (None, None) => Some(format!("{word}-*")),
        (None, Some(_)) => None,
        (Some(major), Some(minor)) => Some(format!("/dev/{word}/{major}:{minor}")),
        (Some(major), None) => driver(kind, major, majors).map(|name| format!("{word}-{name}")),
    }
}

/// The driver's name of a major number in `/proc/devices`. A name with a wildcard of systemd's would allow others too.
fn driver(kind: DeviceKind, major: u32, majors: &str) -> Option<String> {
    let head = if kind == DeviceKind::Block { "Block devices:" } else { "Character devices:" };
    let section = majors.lines().skip_while(|line| *line != head).skip(1).take_while(|line| !line.is_empty());
    let mut names = section.filter_map(|line| {
        let (number, name) = line.trim().split_once(' ')?;
        (number.parse() == Ok(major)).then_some(name)
    });
    names.next().filter(|name| !name.contains(['*', '?', '[', '\\'])).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Hierarchy;
    use crate::model::{Access, Cpu, CpuPeriod, CpuQuota, CpuShares, Cpuset, DeviceRule, Limits, Max, Memory};
    use crate::path::GroupPath;

    const MAJORS: &str = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n136 other\n";

    fn layout(version: Version) -> Layout {
        let controllers = Controllers::CPU | Controllers::MEMORY | Controllers::PIDS | Controllers::CPUSET;
        let controllers = if version == Version::V1 { controllers | Controllers::DEVICES } else { controllers };
        let (mount, root) = ("/sys/fs/cgroup".into(), "/".into());
        Layout::from_hierarchies(vec![Hierarchy { version, controllers, name: None, mount, root }])
    }

    fn of(version: Version, limits: &Limits) -> Result<Vec<Property>, PlanError> {
        let layout = layout(version);
        let plan = crate::plan(&layout, &GroupPath::new("/x", None).unwrap(), limits)?;
        properties(&layout, &plan, limits.devices.as_ref(), MAJORS)
    }

    fn limits() -> Limits {
        let memory = Memory { limit: Some(Max::At(100)), swap: Some(Max::At(300)), ..Memory::default() };
        let cpu = Cpu {
            quota: Some(CpuQuota::new(12_345).unwrap()),
            period: Some(CpuPeriod::new(50_000).unwrap()),
            shares: Some(CpuShares::new(1024).unwrap()),
            ..Cpu::default()
        };
        let cpuset = Cpuset { cpus: Some(IdList::parse("", "0,3,9").unwrap()), mems: None };
        Limits { pids: Some(Max::Unlimited), memory, cpu, cpuset, ..Limits::default() }
    }

    #[test]
    fn limits_are_what_the_files_say() {
        let long = |name: &str, number| (name.to_owned(), Value::Long(number));
        assert_eq!(
            of(Version::V2, &limits()).unwrap(),
            [
                ("AllowedCPUs".to_owned(), Value::Bytes(vec![0b1001, 0b10])),
                // 24.69 percent, up to a whole one.
                long("CPUQuotaPerSecUSec", 250_000),
                long("CPUQuotaPeriodUSec", 50_000),
                long("CPUWeight", 100),
                long("MemoryMax", 100),
                long("MemorySwapMax", 200),
                long("TasksMax", u64::MAX),
            ]
        );
        assert_eq!(
            of(Version::V1, &limits()).unwrap(),
            [
                long("CPUQuotaPerSecUSec", 250_000),
                long("CPUQuotaPeriodUSec", 50_000),
                long("CPUShares", 1024),
                long("MemoryLimit", 100),
                long("TasksMax", u64::MAX),
            ]
        );
    }

    fn rule(allow: bool, kind: DeviceKind, major: Option<u32>, minor: Option<u32>, access: Access) -> DeviceRule {
        DeviceRule { allow, kind, major, minor, access }
    }

    #[test]
    fn devices_by_their_drivers() {
        let all = Access::all();
        let rules = |rules| Limits { devices: Some(DeviceRules::new(rules).unwrap()), ..Limits::default() };
        let narrow = rules(vec![
            rule(false, DeviceKind::All, None, None, all),
            rule(true, DeviceKind::Character, Some(1), Some(3), Access::READ),
            rule(true, DeviceKind::Character, Some(136), None, all),
            rule(true, DeviceKind::Block, None, None, Access::MKNOD),
        ]);
        for version in [Version::V1, Version::V2] {
            let found = of(version, &narrow).unwrap();
            assert_eq!(found[0], ("DevicePolicy".to_owned(), Value::Text("strict".to_owned())));
            assert_eq!(found[1].1, Value::Pairs(Vec::new()));
            let pair = |name: &str, access: &str| (name.to_owned(), access.to_owned());
            let entries = [pair("block-*", "m"), pair("/dev/char/1:3", "r"), pair("char-pts", "rwm")];
            assert_eq!(found[2].1, Value::Pairs(entries.to_vec()));
        }
        let wide = rules(vec![rule(true, DeviceKind::All, None, None, all)]);
        assert_eq!(of(Version::V1, &wide).unwrap()[0].1, Value::Text("auto".to_owned()));
        // What systemd can not say is the program's alone on v2, and refused on v1, where systemd would overwrite it.
        let hole = rule(false, DeviceKind::Block, Some(8), Some(0), all);
        for inexpressible in [
            rules(vec![rule(true, DeviceKind::All, None, None, all), hole]),
            rules(vec![rule(true, DeviceKind::Block, None, Some(4), all)]),
        ] {
            assert_eq!(of(Version::V2, &inexpressible).unwrap()[0].1, Value::Text("auto".to_owned()));
            assert!(of(Version::V1, &inexpressible).is_err());
        }
    }
}
