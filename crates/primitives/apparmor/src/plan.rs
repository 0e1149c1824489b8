//! From what was asked for and what the machine offers to what will be done: pure.

use std::fmt;
use std::path::PathBuf;

use crate::model::{DEFAULT_PROFILE, InvalidName, Mode, ProfileName, Selection};
use crate::support::Support;

/// What will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// No profile; with the degradation to show the user, if it was not chosen.
    Unconfined(Option<Degradation>),
    /// This profile, after making sure that it is loaded.
    Profile {
        /// How it comes into the kernel; its name is known afterwards.
        load: Load,
    },
}

/// How a profile comes into the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// It is there.
    Loaded(ProfileName),
    /// Stockade's own, to be loaded if it is missing or has changed.
    Own,
    /// From a file with one profile.
    File(PathBuf),
}

/// A wall that will be missing although nobody asked for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degradation {
    /// The kernel has no AppArmor, or it is switched off.
    NotEnabled,
    /// Stockade's own is not loaded, and this process's user namespace may load none.
    MayNotLoad,
}

impl fmt::Display for Degradation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnabled => out.write_str("no AppArmor profile: the kernel has no AppArmor enabled"),
            Self::MayNotLoad => out.write_str(
                "no AppArmor profile: stockade-default is not loaded, and only root of this machine can load it: \
                 sudo stockade run --rm IMAGE true loads it until the machine is started again",
            ),
        }
    }
}

/// A choice that cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A profile was asked for and the kernel has no AppArmor.
    #[error("cannot use the AppArmor profile {0}: the kernel has no AppArmor enabled")]
    NotEnabled(String),
    /// The profile is not loaded.
    #[error("the AppArmor profile {0} is not loaded")]
    NotLoaded(ProfileName),
    /// The profile is loaded in a mode that confines nothing.
    #[error("the AppArmor profile {0} is loaded but does not confine (mode {1:?})")]
    NotConfining(ProfileName, Mode),
    /// The profile must be compiled and the compiler is not installed.
    #[error(
        "cannot load the AppArmor profile {0}: apparmor_parser is not installed (or, in a container, mount /sys/kernel/security to have the \
         profile that the host has loaded)"
    )]
    NoParser(String),
    /// The profile must be loaded and this process's user namespace may load none.
    #[error(
        "cannot load the AppArmor profile {0}: only root of this machine can load one (sudo apparmor_parser --replace FILE), and one that is \
         loaded is used by its name"
    )]
    MayNotLoad(String),
    /// The kernel's list of loaded profiles cannot be seen.
    #[error("cannot tell which AppArmor profiles are loaded: /sys/kernel/security is not mounted or not readable")]
    NoList,
    /// The name is malformed.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// Decides. A privileged container has no profile unless one was chosen (Docker's rule).
///
/// # Errors
/// See [`PlanError`]. Only the unchosen default degrades, on a kernel without AppArmor and for whoever may not load it where it is not loaded; everything
/// else fails.
pub fn plan(selection: &Selection, support: &Support, privileged: bool) -> Result<Plan, PlanError> {
    let load = match selection {
        Selection::Unconfined => return Ok(Plan::Unconfined(None)),
        Selection::Default if privileged => return Ok(Plan::Unconfined(None)),
        Selection::Default if !support.enabled => return Ok(Plan::Unconfined(Some(Degradation::NotEnabled))),
        Selection::Default if !support.may_load && support.find(DEFAULT_PROFILE).is_none() => {
            return Ok(Plan::Unconfined(Some(Degradation::MayNotLoad)));
        }
        Selection::Name(name) if !support.enabled => return Err(PlanError::NotEnabled(name.to_string())),
        Selection::File(path) if !support.enabled => return Err(PlanError::NotEnabled(path.display().to_string())),
        Selection::Default => own(support)?,
        Selection::Name(name) if name.as_str() == DEFAULT_PROFILE => own(support)?,
        Selection::Name(name) => loaded(name, support)?,
        Selection::File(path) if !support.may_load => return Err(PlanError::MayNotLoad(path.display().to_string())),
        Selection::File(path) if support.parser.is_none() => {
            return Err(PlanError::NoParser(path.display().to_string()));
        }
        Selection::File(path) => Load::File(path.clone()),
    };
    Ok(Plan::Profile { load })
}

/// Stockade's own profile: without the compiler, or the right to load what it makes, only if it is loaded already.
fn own(support: &Support) -> Result<Load, PlanError> {
    let name = ProfileName::stockade_default();
    match (&support.parser, support.find(name.as_str())) {
        (_, None) if !support.may_load => Err(PlanError::MayNotLoad(name.to_string())),
        (_, Some(_)) if !support.may_load => loaded(&name, support),
        (Some(_), _) => Ok(Load::Own),
        (None, Some(_)) => loaded(&name, support),
        (None, None) => Err(PlanError::NoParser(name.to_string())),
    }
}

/// A profile that must be loaded already. One in complain mode was chosen by whoever loaded it, one that allows everything
/// is not a wall.
fn loaded(name: &ProfileName, support: &Support) -> Result<Load, PlanError> {
    if support.loaded.is_none() {
        return Err(PlanError::NoList);
    }
    match support.find(name.as_str()) {
        None => Err(PlanError::NotLoaded(name.clone())),
        Some(found) if found.mode == Mode::Unconfined => Err(PlanError::NotConfining(name.clone(), found.mode)),
        Some(_) => Ok(Load::Loaded(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Confinement;

    fn support(profiles: &str, parser: bool) -> Support {
        Support {
            enabled: true,
            loaded: Some(profiles.lines().filter_map(Confinement::parse).collect()),
            stacking: true,
            parser: parser.then(|| "/usr/sbin/apparmor_parser".into()),
            may_load: true,
        }
    }

    #[test]
    fn who_may_not_load_has_what_is_loaded() {
        let user = |profiles: &str| Support { may_load: false, ..support(profiles, true) };
        let plans = |value: &str, support: &Support| plan(&value.parse().unwrap(), support, false);
        let there = user("stockade-default (enforce)\nmine (enforce)");
        let load = |name: &str| Ok(Plan::Profile { load: Load::Loaded(name.parse().unwrap()) });
        assert_eq!(plan(&Selection::Default, &there, false), load("stockade-default"));
        assert_eq!(plans("stockade-default", &there), load("stockade-default"));
        assert_eq!(plans("mine", &there), load("mine"));
        let degraded = Ok(Plan::Unconfined(Some(Degradation::MayNotLoad)));
        assert_eq!(plan(&Selection::Default, &user(""), false), degraded);
        for asked in ["stockade-default", "/etc/profile"] {
            assert_eq!(plans(asked, &user("")), Err(PlanError::MayNotLoad(asked.to_owned())));
        }
    }

    #[test]
    fn without_apparmor_only_the_default_degrades() {
        let none = Support::default();
        let plans = |value: &str| plan(&value.parse().unwrap(), &none, false);
        let degraded = Ok(Plan::Unconfined(Some(Degradation::NotEnabled)));
        assert_eq!(plan(&Selection::Default, &none, false), degraded);
        assert_eq!(plans("unconfined"), Ok(Plan::Unconfined(None)));
        for named in ["stockade-default", "docker-default", "/etc/profile"] {
            assert_eq!(plans(named), Err(PlanError::NotEnabled(named.into())));
        }
    }

    #[test]
    fn privileged_is_unconfined_unless_chosen() {
        let support = support("mine (enforce)", true);
        assert_eq!(plan(&Selection::Default, &support, true), Ok(Plan::Unconfined(None)));
        let mine: Selection = "mine".parse().unwrap();
        let load = Load::Loaded("mine".parse().unwrap());
        assert_eq!(plan(&mine, &support, true), Ok(Plan::Profile { load }));
    }

    #[test]
    fn names_must_be_loaded_and_files_need_the_parser() {
        let (with, without) = (support("open (unconfined)\nstockade-default (enforce)", true), support("", false));
        let plans = |value: &str, support| plan(&value.parse().unwrap(), support, false);
        assert!(matches!(plans("absent", &with), Err(PlanError::NotLoaded(_))));
        assert!(matches!(plans("open", &with), Err(PlanError::NotConfining(_, Mode::Unconfined))));
        assert!(matches!(plans("/file", &without), Err(PlanError::NoParser(_))));
        assert_eq!(plans("./file", &with), Ok(Plan::Profile { load: Load::File("./file".into()) }));
        assert_eq!(plans("stockade-default", &with), Ok(Plan::Profile { load: Load::Own }));
        assert!(matches!(plan(&Selection::Default, &without, false), Err(PlanError::NoParser(_))));
        let blind = Support { loaded: None, ..support("", true) };
        assert_eq!(plans("absent", &blind), Err(PlanError::NoList));
    }

    #[test]
    fn the_loaded_default_needs_no_parser() {
        let plan = plan(&Selection::Default, &support("stockade-default (enforce)", false), false);
        assert_eq!(plan, Ok(Plan::Profile { load: Load::Loaded(ProfileName::stockade_default()) }));
    }
}
