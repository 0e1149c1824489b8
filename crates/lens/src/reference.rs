//! Docker's default as a configuration to hold containers against.

use stockade_apparmor::{Plan, Support, observe};
use stockade_capabilities::{CapSet, Capability, support};
use stockade_cgroups::{Kind, Layout};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_policy::{Kernel, Machine, Options, Posture, Resolved, Seccomp};
use stockade_spec::{NamespaceType, Process, Root, Spec};

use crate::asked::Asked;

/// Why there is no default to hold against.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell what Docker's default is on this machine: {0}")]
pub struct ReferenceError(String);

/// What a container of defaults is asked to have on this machine, to hold the process `pid` against. Its user, groups, mounts of its own
/// and limits are nobody's default.
///
/// # Errors
/// [`ReferenceError`] if the machine cannot be asked.
pub fn docker_default(pid: i32) -> Result<Asked, ReferenceError> {
    let procfs = Procfs::host().map_err(fail)?;
    let mut spec = default(&procfs)?;
    // Each engine's default profile has a name of its own: any that confines will do.
    if let (Some(process), Ok(found)) = (spec.process.as_mut(), observe::of(&procfs, Subject::Pid(pid)))
        && !process.apparmor_profile.is_empty()
        && found.mode.confines()
    {
        process.apparmor_profile = found.profile;
    }
    Ok(Asked { spec, origin: "Docker's default".to_owned() })
}

/// The same for a container of any runtime: without what older ones do not know (time namespaces), and without a profile that an engine
/// would have to load first.
///
/// # Errors
/// As [`docker_default`].
pub(crate) fn spec() -> Result<Spec, ReferenceError> {
    let mut spec = default(&Procfs::host().map_err(fail)?)?;
    if let Some(process) = &mut spec.process {
        process.apparmor_profile.clear();
    }
    if let Some(linux) = &mut spec.linux {
        linux.namespaces.retain(|namespace| namespace.kind != NamespaceType::Time);
    }
    Ok(spec)
}

fn fail(error: impl std::fmt::Display) -> ReferenceError {
    ReferenceError(error.to_string())
}

fn default(procfs: &Procfs) -> Result<Spec, ReferenceError> {
    let last_cap: Capability = support::last_cap(procfs).map_err(fail)?;
    let layout = Layout::detect().map_err(fail)?;
    let machine = Machine {
        last_cap,
        capabilities: CapSet::up_to(last_cap),
        processors: 0,
        cgroup_v2: layout.kind() == Kind::Unified,
        time_namespace: procfs.read_link(Subject::Myself, "ns/time").is_ok(),
        apparmor: Support::probe().map_err(fail)?,
        own_groups: Vec::new(),
        delegated: None,
        host_devices: Vec::new(),
        host_shm: "/dev/shm".into(),
    };
    let lookup = |_: &std::path::Path| Err(std::io::ErrorKind::Unsupported.into());
    let posture = Posture::plan(&Options::default(), &machine, &lookup).map_err(fail)?;
    let seccomp = Seccomp::Builtin.resolve(posture.bounding, Kernel::running()).map_err(fail)?;
    let confined = !matches!(posture.apparmor, Plan::Unconfined(_));
    let profile = posture.apparmor_profile().filter(|_| confined).map(str::to_owned);
    let process = Some(Process::default());
    let mut spec = Spec { root: Some(Root::default()), process, ..Spec::default() };
    posture.fill(&mut spec, Resolved { seccomp, apparmor_profile: profile }).map_err(fail)?;
    Ok(spec)
}
