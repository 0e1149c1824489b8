//! Writing a posture into an OCI configuration.

use serde_json::value::RawValue;
use stockade_spec::{Linux, NamespaceType, Process, Spec};

use crate::posture::Posture;

/// What the caller made of the two choices that need files of the host.
#[derive(Debug, Default)]
pub struct Resolved {
    /// What [`crate::Seccomp::resolve`] made of [`Posture::seccomp`] for [`Posture::bounding`]; `None` only if that is
    /// [`crate::Seccomp::Unconfined`].
    pub seccomp: Option<Box<RawValue>>,
    /// The name of the loaded profile of [`Posture::apparmor`]; `None` if that is unconfined.
    pub apparmor_profile: Option<String>,
}

/// A posture that was not resolved: the container would be weaker than planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// A filter is planned and none was given, or the other way round.
    #[error("the seccomp filter given is not the planned one")]
    Seccomp,
    /// A profile is planned and none was given, or the other way round, or another one.
    #[error("the AppArmor profile given is not the planned one")]
    AppArmor,
}

impl Posture {
    /// Writes this posture into `spec`: replaces its mounts and all that confines, and leaves what is executed, the user,
    /// the names, the paths of root and cgroup, and volumes to the caller. [`Posture::joined`] is not written: the caller
    /// adds those namespaces with their paths.
    ///
    /// # Errors
    /// See [`FillError`]; `spec` is then unchanged.
    pub fn fill(&self, spec: &mut Spec, resolved: Resolved) -> Result<(), FillError> {
        let unfiltered = self.seccomp == crate::Seccomp::Unconfined;
        if unfiltered != resolved.seccomp.is_none() {
            return Err(FillError::Seccomp);
        }
        let unconfined = matches!(self.apparmor, stockade_apparmor::Plan::Unconfined(_));
        let planned = self.apparmor_profile();
        let other = planned.is_some() && planned != resolved.apparmor_profile.as_deref();
        if other || unconfined != resolved.apparmor_profile.is_none() {
            return Err(FillError::AppArmor);
        }
        spec.mounts.clone_from(&self.mounts);
        if let Some(root) = &mut spec.root {
            root.readonly = self.read_only;
        }
        self.fill_process(spec.process.get_or_insert_default(), resolved.apparmor_profile);
        self.fill_linux(spec.linux.get_or_insert_default(), resolved.seccomp);
        Ok(())
    }

    /// The process' part.
    fn fill_process(&self, process: &mut Process, profile: Option<String>) {
        process.capabilities = Some(self.capabilities.clone());
        process.no_new_privileges = self.no_new_privileges;
        process.apparmor_profile = profile.unwrap_or_default();
        process.rlimits.clone_from(&self.rlimits);
        process.oom_score_adj = self.oom_score_adj;
    }

    /// Linux' part.
    fn fill_linux(&self, linux: &mut Linux, seccomp: Option<Box<RawValue>>) {
        linux.seccomp = seccomp;
        linux.masked_paths.clone_from(&self.masked_paths);
        linux.readonly_paths.clone_from(&self.readonly_paths);
        linux.namespaces.clone_from(&self.namespaces);
        // A namespace that is joined has its maps.
        if self.namespaces.iter().any(|namespace| namespace.kind == NamespaceType::User) {
            linux.uid_mappings.clone_from(&self.uid_mappings);
            linux.gid_mappings.clone_from(&self.gid_mappings);
        }
        linux.devices.clone_from(&self.devices);
        linux.resources = Some(self.resources.clone());
        linux.sysctl.clone_from(&self.sysctls);
    }
}
