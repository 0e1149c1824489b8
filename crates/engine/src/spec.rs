//! The OCI configuration of a container: the posture, and what the user and the image want. Pure.

use std::path::{Path, PathBuf};

use stockade_images::ReadOnlyBind;
use stockade_policy::{FillError, Posture, Resolved};
use stockade_spec::{Linux, Mount, Process, Root, Spec, User, VERSION};

use crate::binds::bind;
use crate::identity::Identity;
use crate::request::Bind;

/// Where `--init` puts the first process: Docker's path.
const INIT: &str = "/sbin/docker-init";

/// All that a configuration is made of besides the posture.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) cwd: &'a str,
    pub(crate) identity: &'a Identity,
    pub(crate) terminal: bool,
    /// Empty where the host's is shared.
    pub(crate) hostname: &'a str,
    /// In the hierarchy of control groups.
    pub(crate) cgroup: &'a str,
    /// The program that is put before the payload's, on the host.
    pub(crate) init: Option<PathBuf>,
    pub(crate) binds: &'a [Bind],
    pub(crate) image_binds: &'a [ReadOnlyBind],
    /// Files of the container's folder, each with its place in the container; a user's bind at that place counts more.
    pub(crate) own_files: Vec<(PathBuf, &'static str)>,
}

/// Puts the configuration together, from nothing. Annotations there are none, least of all an image's (CVE-2026-94603).
pub(crate) fn build(parts: &Parts<'_>, posture: &Posture, resolved: Resolved) -> Result<Spec, FillError> {
    let mut arguments = parts.arguments.clone();
    if parts.init.is_some() {
        arguments.splice(..0, [INIT.to_owned(), "--".to_owned()]);
    }
    let process = Process {
        terminal: parts.terminal,
        cwd: parts.cwd.into(),
        env: parts.environment.clone(),
        args: arguments,
        user: User {
            uid: parts.identity.uid,
            gid: parts.identity.gid,
            additional_gids: parts.identity.groups.clone(),
            ..User::default()
        },
        ..Process::default()
    };
    let mut spec = Spec {
        oci_version: VERSION.to_owned(),
        root: Some(Root { path: "merged".into(), readonly: false }),
        process: Some(process),
        hostname: parts.hostname.to_owned(),
        linux: Some(Linux { cgroups_path: parts.cgroup.to_owned(), ..Linux::default() }),
        ..Spec::default()
    };
    posture.fill(&mut spec, resolved)?;
    spec.mounts = mounts(parts, std::mem::take(&mut spec.mounts), posture.read_only);
    Ok(spec)
}

/// The posture's mounts and all others, parents before children. What the user binds takes the place of what would be there.
fn mounts(parts: &Parts<'_>, posture: Vec<Mount>, read_only: bool) -> Vec<Mount> {
    let taken = |target: &Path| parts.binds.iter().any(|bind| same(&bind.target, target));
    let dev_taken = taken(Path::new("/dev"));
    let hidden = |mount: &Mount| {
        let below_dev = dev_taken && mount.destination.starts_with("/dev");
        taken(&mount.destination) || below_dev
    };
    let mut mounts: Vec<Mount> = posture.into_iter().filter(|mount| !hidden(mount)).collect();
    let nosuid = ["rbind", "rprivate", "nosuid", "nodev"];
    let image = |found: &ReadOnlyBind| bind(&found.source, &found.target, nosuid.iter().chain(&["ro", "rro"]));
    mounts.extend(parts.image_binds.iter().map(image));
    let access: &[&str] = if read_only { &["ro"] } else { &[] };
    for (source, target) in &parts.own_files {
        if !taken(Path::new(target)) {
            mounts.push(bind(source, Path::new(target), nosuid.iter().chain(&["noexec"]).chain(access)));
        }
    }
    if let Some(init) = &parts.init {
        mounts.push(bind(init, Path::new(INIT), nosuid.iter().chain(&["ro"])));
    }
    mounts.extend(parts.binds.iter().map(Bind::mount));
    mounts.sort_by_key(|mount| mount.destination.components().count());
    mounts
}

/// Whether two paths are the same, however they are written.
fn same(one: &Path, other: &Path) -> bool {
    one.components().eq(other.components())
}
