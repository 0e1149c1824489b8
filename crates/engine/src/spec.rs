//! The OCI configuration of a container: the posture, and what the user and the image want. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stockade_images::ReadOnlyBind;
use stockade_policy::{FillError, Posture, Resolved};
use stockade_spec::{Linux, Mount, Process, Root, Spec, User, VERSION};

use crate::binds::bind;
use crate::identity::Identity;
use crate::idmap::Mappings;
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
    /// Empty where there is none.
    pub(crate) domainname: &'a str,
    /// For the runtime, from the command line alone.
    pub(crate) annotations: &'a BTreeMap<String, String>,
    /// In the hierarchy of control groups.
    pub(crate) cgroup: &'a str,
    /// The program that is put before the payload's, on the host.
    pub(crate) init: Option<PathBuf>,
    pub(crate) binds: &'a [Bind],
    /// Volumes, which take the place of what would be there as binds do.
    pub(crate) volumes: Vec<Mount>,
    /// The ids of its user namespace.
    pub(crate) mappings: Mappings<'a>,
    /// Device files of its own that are mounted.
    pub(crate) nodes: Vec<Mount>,
    pub(crate) image_binds: &'a [ReadOnlyBind],
    /// Files of the container's folder, each with its place in the container; a user's bind at that place counts more.
    pub(crate) own_files: Vec<(PathBuf, &'static str)>,
}

/// Puts the configuration together, from nothing. Annotations are those that the user gives, never an image's (CVE-2026-94603).
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
        domainname: parts.domainname.to_owned(),
        annotations: parts.annotations.clone(),
        linux: Some(Linux { cgroups_path: parts.cgroup.to_owned(), ..Linux::default() }),
        ..Spec::default()
    };
    posture.fill(&mut spec, resolved)?;
    spec.mounts = mounts(parts, std::mem::take(&mut spec.mounts), posture.read_only);
    Ok(spec)
}

/// The posture's mounts and all others, parents before children. What the user binds takes the place of what would be there.
fn mounts(parts: &Parts<'_>, posture: Vec<Mount>, read_only: bool) -> Vec<Mount> {
    let targets =
        || parts.binds.iter().map(|bind| &bind.target).chain(parts.volumes.iter().map(|mount| &mount.destination));
    let taken = |target: &Path| targets().any(|other| same(other, target));
    let dev_taken = taken(Path::new("/dev"));
    let hidden = |mount: &Mount| {
        let below_dev = dev_taken && mount.destination.starts_with("/dev");
        taken(&mount.destination) || below_dev
    };
    let mut mounts: Vec<Mount> = posture.into_iter().filter(|mount| !hidden(mount)).collect();
    let nosuid = ["rbind", "rprivate", "nosuid", "nodev"];
    let image = |found: &ReadOnlyBind| bind(&found.source, &found.target, nosuid.iter().chain(&["ro", "rro"]));
    mounts.extend(parts.image_binds.iter().map(image).map(|mount| parts.mappings.shown_by(mount)));
    let access: &[&str] = if read_only { &["ro"] } else { &[] };
    for (source, target) in &parts.own_files {
        if !taken(Path::new(target)) {
            mounts.push(bind(source, Path::new(target), nosuid.iter().chain(&["noexec"]).chain(access)));
        }
    }
    if let Some(init) = &parts.init {
        mounts.push(bind(init, Path::new(INIT), nosuid.iter().chain(&["ro"])));
    }
    mounts.extend(parts.nodes.iter().filter(|node| !taken(&node.destination)).cloned());
    mounts.extend(parts.binds.iter().map(|bind| parts.mappings.shown_by(bind.mount())));
    mounts.extend(parts.volumes.iter().map(|mount| parts.mappings.shown_by(mount.clone())));
    mounts.sort_by_key(|mount| mount.destination.components().count());
    mounts
}

/// Whether two paths are the same, however they are written.
fn same(one: &Path, other: &Path) -> bool {
    one.components().eq(other.components())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Access, Missing, Propagation};
    use stockade_policy::{Options, Seccomp};

    fn built(options: &Options, change: impl FnOnce(&mut Parts<'_>)) -> Spec {
        let machine = crate::machine::gather(options).unwrap();
        let posture = Posture::plan(options, &machine, &crate::machine::device).unwrap();
        let identity = Identity { uid: 7, gid: 8, groups: vec![8, 9] };
        let mut parts = Parts {
            arguments: vec!["a".into(), "b".into()],
            environment: vec!["A=1".into()],
            cwd: "/srv",
            identity: &identity,
            terminal: true,
            hostname: "box",
            domainname: "",
            annotations: &BTreeMap::new(),
            cgroup: "/stockade/x",
            init: None,
            binds: &[],
            mappings: Mappings { uids: &[], gids: &[] },
            nodes: Vec::new(),
            volumes: Vec::new(),
            image_binds: &[],
            own_files: crate::etc::mounted_from(Path::new("/data/containers/x")),
        };
        change(&mut parts);
        build(&parts, &posture, Resolved::default()).unwrap()
    }

    /// Without what needs files of the host.
    fn plain() -> Options {
        let mut options = Options::default();
        options.security.seccomp = Some(Seccomp::Unconfined);
        options.security.apparmor = Some(stockade_policy::apparmor::Selection::Unconfined);
        options
    }

    fn bound(source: &str, target: &str) -> Bind {
        Bind {
            source: source.into(),
            target: target.into(),
            access: Access::ReadWrite,
            missing: Missing::Refuse,
            propagation: Propagation::default(),
            recursive: true,
            given: crate::request::Given::Volume,
        }
    }

    fn targets(spec: &Spec) -> Vec<&str> {
        spec.mounts.iter().filter_map(|mount| mount.destination.to_str()).collect()
    }

    #[test]
    fn the_configuration_says_what_the_parts_say() {
        let spec = built(&plain(), |_parts| {});
        assert_eq!((spec.oci_version.as_str(), spec.hostname.as_str()), ("1.3.0", "box"));
        assert!(spec.annotations.is_empty() && spec.hooks.is_none(), "nothing selects a program of the host");
        assert_eq!(spec.root, Some(Root { path: "merged".into(), readonly: false }));
        let process = spec.process.as_ref().unwrap();
        assert_eq!(
            (process.args.join(" "), process.env.join(" "), process.terminal),
            ("a b".into(), "A=1".into(), true)
        );
        assert_eq!(process.cwd, Path::new("/srv"));
        assert_eq!((process.user.uid, process.user.gid, &process.user.additional_gids[..]), (7, 8, &[8, 9][..]));
        assert_eq!(spec.linux.as_ref().unwrap().cgroups_path, "/stockade/x");
        let expected =
            "/proc /dev /sys /dev/pts /dev/mqueue /dev/shm /etc/resolv.conf /etc/hostname /etc/hosts /sys/fs/cgroup";
        assert_eq!(targets(&spec).join(" "), expected);
        let hosts = spec.mounts.iter().find(|mount| mount.destination == Path::new("/etc/hosts")).unwrap();
        assert_eq!(hosts.source.as_deref(), Some(Path::new("/data/containers/x/hosts")));
        assert_eq!(hosts.options, ["rbind", "rprivate", "nosuid", "nodev", "noexec"]);
    }

    #[test]
    fn what_the_user_binds_takes_the_place_of_what_would_be_there() {
        let binds = [
            bound("/a", "/dev/shm/"),
            bound("/b", "/etc/hosts"),
            bound("/c", "/deep/down/below"),
            bound("/d", "/deep"),
        ];
        let mounts = built(&plain(), |parts| parts.binds = Box::leak(Box::new(binds))).mounts;
        let at = |target: &str| {
            mounts.iter().filter(|mount| same(&mount.destination, Path::new(target))).collect::<Vec<_>>()
        };
        for (target, source) in [("/dev/shm", "/a"), ("/etc/hosts", "/b")] {
            assert_eq!(at(target).len(), 1, "{target}");
            assert_eq!(at(target)[0].source.as_deref(), Some(Path::new(source)));
        }
        let place = |target: &str| mounts.iter().position(|mount| mount.destination == Path::new(target));
        assert!(place("/deep") < place("/deep/down/below"), "parents come first, in whatever order they were given");
        let whole = built(&plain(), |parts| parts.binds = Box::leak(Box::new([bound("/dev", "/dev")])));
        assert!(!targets(&whole).iter().any(|target| target.starts_with("/dev/")), "{:?}", targets(&whole));
    }

    #[test]
    fn an_init_and_what_is_read_only() {
        let options = Options { read_only: true, ..plain() };
        let spec = built(&options, |parts| parts.init = Some("/usr/bin/stockade-init".into()));
        assert_eq!(spec.process.as_ref().unwrap().args, ["/sbin/docker-init", "--", "a", "b"]);
        let options = |target: &str| {
            let found = spec.mounts.iter().find(|mount| mount.destination == Path::new(target));
            found.map(|mount| mount.options.clone()).unwrap_or_default()
        };
        assert!(options("/sbin/docker-init").contains(&"ro".to_owned()));
        assert!(options("/etc/hosts").contains(&"ro".to_owned()));
        assert!(spec.root.as_ref().unwrap().readonly);
    }
}
