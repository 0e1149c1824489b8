//! From a profile to the filter that it means for one container: pure.

use crate::architecture::{Arch, WITHOUT_TABLE};
use crate::model::{Action, Condition, EPERM, Filter, Flags, Listener, Operator, Rule};
use crate::profile::{Argument, Constraint, Entry, Profile, ProfileError, UnknownNames};
use crate::syscall::Syscall;

/// For whom a profile is resolved.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The architecture of the kernel.
    pub architecture: Arch,
    /// The kernel's version, major and minor.
    pub kernel: (u32, u32),
    /// The container's capabilities, for instance `CAP_CHOWN`.
    pub capabilities: &'a [&'a str],
}

impl<'a> Target<'a> {
    /// The running kernel, with these capabilities.
    #[must_use]
    pub fn here(capabilities: &'a [&'a str]) -> Self {
        let release = rustix::system::uname();
        // A release that cannot be read is the oldest: what a profile gives newer kernels only is then not given.
        let kernel = release.release().to_str().ok().and_then(version).unwrap_or((0, 0));
        Self { architecture: Arch::NATIVE, kernel, capabilities }
    }
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|character: char| !character.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl Profile {
    /// The filter that this profile means for `target`. Its native architecture is always in it.
    ///
    /// # Errors
    /// [`ProfileError::Invalid`] for an unknown name, value or combination.
    pub fn resolve(&self, target: &Target<'_>) -> Result<Filter, ProfileError> {
        let datum = Datum { number: self.default_errno_ret, name: self.default_errno.as_deref() };
        let default = action(&self.default_action, datum, ["defaultAction", "defaultErrnoRet", "defaultErrno"])?;
        let mut rules = Vec::new();
        let entries = self.syscalls.iter().flatten().enumerate();
        for (index, entry) in entries.filter(|(_, entry)| !entry.vacant) {
            let path = format!("syscalls[{index}]");
            let [action_path, number_path, name_path] =
                ["action", "errnoRet", "errno"].map(|key| format!("{path}.{key}"));
            let datum = Datum { number: entry.errno_ret, name: entry.errno.as_deref() };
            let action = action(&entry.action, datum, [&action_path, &number_path, &name_path])?;
            let may_skip =
                self.unknown_names == UnknownNames::SkipUnlessStricter && action.strictness() <= default.strictness();
            let calls = calls(entry, &path, may_skip)?;
            let conditions = conditions(entry.args.as_deref().unwrap_or_default(), &path)?;
            if !concerns(entry, target, &path)? || calls.is_empty() {
                continue;
            }
            rules.extend(conditions.into_iter().map(|conditions| Rule {
                calls: calls.clone(),
                action,
                conditions,
                entry: index,
            }));
        }
        let listener = self.listener(default, &rules)?;
        Ok(Filter {
            architectures: self.architectures(target.architecture)?,
            default,
            rules,
            flags: self.flags()?,
            listener,
        })
    }

    fn flags(&self) -> Result<Flags, ProfileError> {
        // An empty list asks for no flag at all, as with runc.
        let Some(names) = self.flags.as_deref() else { return Ok(Flags::default()) };
        let mut flags = Flags::empty();
        for (index, name) in names.iter().enumerate() {
            flags |= Flags::from_oci_name(name)
                .ok_or_else(|| ProfileError::at(format!("flags[{index}]"), format!("unknown flag {name:?}")))?;
        }
        Ok(flags)
    }

    fn listener(&self, default: Action, rules: &[Rule]) -> Result<Option<Listener>, ProfileError> {
        if default == Action::Notify {
            return Err(ProfileError::at(
                "defaultAction",
                "SCMP_ACT_NOTIFY can not be the default: the listener itself would wait",
            ));
        }
        let path = self.listener_path.as_deref().filter(|path| !path.is_empty());
        let metadata = self.listener_metadata.as_deref().filter(|metadata| !metadata.is_empty());
        let notifies = rules.iter().any(|rule| rule.action == Action::Notify);
        match (path, metadata) {
            (None, _) if notifies => {
                Err(ProfileError::at("listenerPath", "is missing, and a rule has SCMP_ACT_NOTIFY"))
            }
            (None, Some(_)) => Err(ProfileError::at("listenerMetadata", "is given without listenerPath")),
            (None, None) => Ok(None),
            (Some(path), metadata) => {
                Ok(Some(Listener { path: path.to_owned(), metadata: metadata.unwrap_or_default().to_owned() }))
            }
        }
    }

    /// The native architecture, and those that the profile lists with it.
    fn architectures(&self, native: Arch) -> Result<Vec<Arch>, ProfileError> {
        let listed = self.architectures.as_deref().unwrap_or_default();
        let groups = self.arch_map.as_deref().unwrap_or_default();
        if !listed.is_empty() && !groups.is_empty() {
            return Err(ProfileError::at("archMap", "contradicts architectures: give one of them"));
        }
        let mut found = vec![native];
        let mut add = |name: &str, path: String, wanted: bool| {
            let arch = architecture(name, &path)?;
            if wanted && !found.contains(&arch) {
                found.push(arch);
            }
            Ok::<_, ProfileError>(arch)
        };
        for (index, name) in listed.iter().enumerate() {
            add(name, format!("architectures[{index}]"), true)?;
        }
        for (index, group) in groups.iter().enumerate() {
            let matches = add(&group.architecture, format!("archMap[{index}].architecture"), false)? == native;
            for (sub, name) in group.sub_architectures.iter().flatten().enumerate() {
                add(name, format!("archMap[{index}].subArchitectures[{sub}]"), matches)?;
            }
        }
        Ok(found)
    }
}

fn architecture(name: &str, path: &str) -> Result<Arch, ProfileError> {
    Arch::from_oci_name(name).ok_or_else(|| {
        let what =
            if WITHOUT_TABLE.contains(&name) { "there is no table of its calls here" } else { "unknown architecture" };
        ProfileError::at(path, format!("{what}: {name:?}"))
    })
}

/// What comes with an action, by number or by name.
#[derive(Clone, Copy)]
struct Datum<'a> {
    number: Option<u32>,
    name: Option<&'a str>,
}

impl Datum<'_> {
    /// The number; `paths` are those of the number and of the name.
    fn number(self, paths: [&str; 2]) -> Result<Option<u32>, ProfileError> {
        let Some(name) = self.name.filter(|name| !name.is_empty()) else { return Ok(self.number) };
        let named = crate::errno::from_name(name).ok_or_else(|| {
            ProfileError::at(paths[1], format!("unknown errno {name:?}: give its number as errnoRet"))
        })?;
        match self.number {
            Some(number) if number != u32::from(named) => {
                Err(ProfileError::at(paths[1], format!("{name} is {named} and contradicts {}, {number}", paths[0])))
            }
            _ => Ok(Some(named.into())),
        }
    }
}

/// The action called `name`; `paths` are those of the name, of the number that comes with it, and of that number's name.
fn action(name: &str, datum: Datum<'_>, paths: [&str; 3]) -> Result<Action, ProfileError> {
    let datum_path = paths[1];
    let datum = datum.number([paths[1], paths[2]])?;
    let number = |otherwise: u16, greatest: u16| match datum {
        None => Ok(otherwise),
        Some(datum) => u16::try_from(datum)
            .ok()
            .filter(|datum| *datum <= greatest)
            .ok_or_else(|| ProfileError::at(datum_path, format!("{datum} is more than {greatest}"))),
    };
    let action = match name {
        "SCMP_ACT_ERRNO" => return Ok(Action::Errno(number(EPERM, 4095)?)),
        "SCMP_ACT_TRACE" => return Ok(Action::Trace(number(EPERM, u16::MAX)?)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_NOTIFY" => Action::Notify,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_ALLOW" => Action::Allow,
        _ => return Err(ProfileError::at(paths[0], format!("unknown action {name:?}"))),
    };
    match datum {
        Some(_) => {
            Err(ProfileError::at(datum_path, format!("{name} has none: it is for SCMP_ACT_ERRNO and SCMP_ACT_TRACE")))
        }
        None => Ok(action),
    }
}

/// The calls of an entry; unknown ones are left out if they may be.
fn calls(entry: &Entry, path: &str, may_skip_unknown: bool) -> Result<Vec<Syscall>, ProfileError> {
    let names = match (entry.name.as_ref().filter(|name| !name.is_empty()), entry.names.as_deref().unwrap_or_default())
    {
        (Some(_), [_, ..]) => {
            return Err(ProfileError::at(format!("{path}.name"), "contradicts names: give one of them"));
        }
        (Some(name), []) => std::slice::from_ref(name),
        (None, []) => return Err(ProfileError::at(format!("{path}.names"), "names no system call")),
        (None, names) => names,
    };
    let known = |(index, name): (usize, &String)| {
        Syscall::from_name(name).ok_or_else(|| {
            let hint =
                Syscall::nearest(name).map_or_else(String::new, |near| format!("; did you mean {:?}?", near.name()));
            ProfileError::at(format!("{path}.names[{index}]"), format!("unknown system call {name:?}{hint}"))
        })
    };
    if may_skip_unknown {
        return Ok(names.iter().filter_map(|name| Syscall::from_name(name)).collect());
    }
    names.iter().enumerate().map(known).collect()
}

/// The alternatives, in each of which all conditions must hold. Two conditions on one argument make every condition
/// of the entry an alternative of its own, as runc has it.
fn conditions(arguments: &[Argument], path: &str) -> Result<Vec<Vec<Condition>>, ProfileError> {
    let mut conditions = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        let at = |key: &str| format!("{path}.args[{index}].{key}");
        let operator = Operator::from_oci_name(&argument.op)
            .ok_or_else(|| ProfileError::at(at("op"), format!("unknown operator {:?}", argument.op)))?;
        if argument.index > 5 {
            return Err(ProfileError::at(at("index"), format!("{} is more than 5", argument.index)));
        }
        if operator != Operator::MaskedEqual && argument.value_two != 0 {
            return Err(ProfileError::at(at("valueTwo"), format!("{} has no second value", argument.op)));
        }
        let argument =
            Condition { argument: argument.index as u8, operator, value: argument.value, second: argument.value_two };
        conditions.push(argument);
    }
    let repeated =
        |(index, one): (usize, &Condition)| conditions[..index].iter().any(|other| other.argument == one.argument);
    if conditions.iter().enumerate().any(repeated) {
        return Ok(conditions.into_iter().map(|one| vec![one]).collect());
    }
    Ok(vec![conditions])
}

/// Whether `entry` is for `target`: all that `includes` says holds, and nothing that `excludes` says (moby's
/// `profiles/seccomp/seccomp_linux.go`).
fn concerns(entry: &Entry, target: &Target<'_>, path: &str) -> Result<bool, ProfileError> {
    let none = Constraint::default();
    let mut answer = true;
    let includes = (entry.includes.as_ref().unwrap_or(&none), format!("{path}.includes"));
    let excludes = (entry.excludes.as_ref().unwrap_or(&none), format!("{path}.excludes"));
    let included = Held::of(includes.0, target, &includes.1)?;
    let excluded = Held::of(excludes.0, target, &excludes.1)?;
    answer &= included.capabilities.iter().all(|held| *held);
    answer &= included.architectures.is_empty() || included.architectures.contains(&true);
    answer &= included.kernel.unwrap_or(true);
    answer &= !excluded.capabilities.contains(&true);
    answer &= !excluded.architectures.contains(&true);
    answer &= !excluded.kernel.unwrap_or(false);
    Ok(answer)
}

/// What of a constraint holds, each thing that it names by itself.
struct Held {
    capabilities: Vec<bool>,
    architectures: Vec<bool>,
    kernel: Option<bool>,
}

impl Held {
    fn of(constraint: &Constraint, target: &Target<'_>, path: &str) -> Result<Self, ProfileError> {
        let mut held = Held { capabilities: Vec::new(), architectures: Vec::new(), kernel: None };
        for (index, name) in constraint.caps.iter().flatten().enumerate() {
            let upper = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            if !name.strip_prefix("CAP_").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(upper)) {
                let reason = format!("{name:?} is not a capability's name, like CAP_CHOWN");
                return Err(ProfileError::at(format!("{path}.caps[{index}]"), reason));
            }
            held.capabilities.push(target.capabilities.contains(&name.as_str()));
        }
        for (index, name) in constraint.arches.iter().flatten().enumerate() {
            let arch = Arch::from_docker_name(name).ok_or_else(|| {
                ProfileError::at(format!("{path}.arches[{index}]"), format!("unknown architecture {name:?}"))
            })?;
            held.architectures.push(arch == target.architecture);
        }
        if let Some(text) = constraint.min_kernel.as_deref().filter(|text| !text.is_empty()) {
            let least = version(text)
                .ok_or_else(|| ProfileError::at(format!("{path}.minKernel"), format!("{text:?} is not like 4.8")))?;
            held.kernel = Some(target.kernel >= least);
        }
        Ok(held)
    }
}
