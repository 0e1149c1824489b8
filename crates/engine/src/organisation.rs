//! The organisation's policy at every way into a container: what the runtime is about to be told is held against it, and, before the
//! container's program is executed, so are the mounts that the kernel really has for it.
//!
//! `create` and `start` judge the whole OCI configuration, also where a monitor makes the container again; `exec` the process; `update`
//! the configuration with the new limits. The policy is read anew each time.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use stockade_kernel::mount::info::{self, Mount as Mounted};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_policy::apparmor::Selection;
use stockade_policy::caps::CapSet;
use stockade_policy::organisation::{Bound, FILE, OWN_RUNTIME, Plan, Violation};
use stockade_policy::{Kernel, Options, Organisation, OrganisationError, SeccompError};
use stockade_spec::{Linux, Mount, NamespaceType, Process, Spec};
use stockade_storage::volumes::Backing;

use crate::container::{CONFIG, ContainerError, Folder};
use crate::record::{Joined, Profile, Record, now};
use crate::request::{Access, Bind, Copying, Missing, Propagation};
use crate::volume_mounts::VolumeMountError;
use crate::walls::kind_word;
use crate::{ContainerId, Engine, Request};

/// What the policy does not allow, or why that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum RefusalError {
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] OrganisationError),
    /// It does not allow this.
    #[error("the policy of this machine, {FILE}, does not allow it: {}", .0.join("; "))]
    Refused(Vec<String>),
    /// A filter that it names.
    #[error("a filter that {FILE} names cannot be used")]
    Filter(#[from] SeccompError),
    /// The container's configuration.
    #[error("the configuration of the container cannot be held against {FILE}")]
    Configuration(#[source] Box<ContainerError>),
    /// The machine.
    #[error("cannot tell {what}, which {FILE} is about")]
    Fact {
        /// What was to be told.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// The kinds that a policy can be about. A mount namespace of its own every container has.
const KINDS: [NamespaceType; 6] = [
    NamespaceType::Pid,
    NamespaceType::Network,
    NamespaceType::Ipc,
    NamespaceType::Uts,
    NamespaceType::User,
    NamespaceType::Cgroup,
];
/// Files of the engine's own in a container; where a network is shared they are another container's.
const OWN_FILES: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
/// What the kernel mounts in a container without any folder of the host's.
const KERNELS: [&str; 7] = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"];

/// A container that is to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Subjected<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) image: &'a str,
    pub(crate) image_id: Option<&'a str>,
    pub(crate) joined: &'a [Joined],
    /// The program that will make it.
    pub(crate) runtime: PathBuf,
}

impl<'a> Subjected<'a> {
    pub(crate) fn of(engine: &Engine, record: &'a Record) -> Self {
        let runtime = engine.runtime_for(record).first().map_or_else(|| engine.runtime(), PathBuf::from);
        Self {
            runtime,
            id: &record.id,
            image: &record.image.reference,
            image_id: record.image.id.as_deref(),
            joined: &record.joined,
        }
    }
}

/// The day, in UTC.
fn today() -> String {
    now().chars().take(10).collect()
}

/// Whether there is a policy.
///
/// # Errors
/// As [`Organisation::load`].
pub(crate) fn is_there() -> Result<bool, RefusalError> {
    Ok(Organisation::load()?.is_some())
}

/// Fills in what the policy has for whom did not ask. Limits only where there are control groups: elsewhere to ask for one is an error.
///
/// # Errors
/// See [`RefusalError`].
pub(crate) fn fill(options: &mut Options) -> Result<(), RefusalError> {
    let Some(policy) = Organisation::load()? else { return Ok(()) };
    if matches!(options.security.apparmor, Some(Selection::File(_))) {
        judge_profile_file(&policy)?;
    }
    policy.fill(options);
    if !in_user_namespace()? {
        policy.fill_limits(options);
    }
    Ok(())
}

/// Before the profile of a container is loaded again.
///
/// # Errors
/// See [`RefusalError`].
pub(crate) fn judge_profile(profile: &Profile) -> Result<(), RefusalError> {
    match (profile, Organisation::load()?) {
        (Profile::File(_), Some(policy)) => judge_profile_file(&policy),
        _ => Ok(()),
    }
}

/// Whether a profile from a file may be loaded.
fn judge_profile_file(policy: &Organisation) -> Result<(), RefusalError> {
    if !policy.requires_profiles() {
        return Ok(());
    }
    let text = "a profile from a file would take the place of whatever has its name (required.apparmor)";
    Err(RefusalError::Refused(vec![text.to_owned()]))
}

fn in_user_namespace() -> Result<bool, RefusalError> {
    let here = crate::rootless::is_here();
    here.map_err(|source| RefusalError::Fact { what: "the user namespace".to_owned(), source })
}

/// The request as it is judged and not made: no volume is made, or filled with what the image has.
///
/// # Errors
/// If the volumes cannot be looked at.
pub(crate) fn without_volumes(engine: &Engine, request: &mut Request) -> Result<(), VolumeMountError> {
    let volumes = engine.volumes()?;
    let mut binds = Vec::new();
    let mut kept = Vec::new();
    for mut volume in std::mem::take(&mut request.volumes) {
        volume.copy = Copying::Nothing;
        let missing = match &volume.name {
            Some(name) => volumes.find(name)?.is_none(),
            None => false,
        };
        match Backing::of(&volume.options)? {
            Backing::Bind { device, read_only } if missing => binds.push(Bind {
                source: device,
                target: volume.target,
                access: if read_only { Access::ReadOnly } else { volume.access },
                missing: Missing::Refuse,
                propagation: Propagation::default(),
                recursive: true,
                given: volume.given,
            }),
            _ => {
                volume.name = volume.name.filter(|_| !missing);
                kept.push(volume);
            }
        }
    }
    request.volumes = kept;
    request.binds.extend(binds);
    Ok(())
}

/// An error unless nothing was found.
fn allowed(found: Vec<Violation>) -> Result<(), RefusalError> {
    if found.is_empty() {
        return Ok(());
    }
    Err(RefusalError::Refused(found.into_iter().map(|one| format!("{} ({})", one.text, one.rule)).collect()))
}

impl Engine {
    /// Judges the whole configuration of a container, if there is a policy.
    ///
    /// # Errors
    /// See [`RefusalError`].
    pub(crate) fn judge(&self, spec: &Spec, subject: &Subjected<'_>) -> Result<(), RefusalError> {
        let Some(policy) = Organisation::load()? else { return Ok(()) };
        allowed(self.found(&policy, spec, subject)?)
    }

    fn found(
        &self,
        policy: &Organisation,
        spec: &Spec,
        subject: &Subjected<'_>,
    ) -> Result<Vec<Violation>, RefusalError> {
        let (process, linux) = parts(spec);
        let plan = self.plan_for(policy, spec, (&process, &linux), subject)?;
        Ok(policy.judge(&plan, &today()))
    }

    /// Judges the configuration that a container has on the disk: before each of its starts.
    ///
    /// # Errors
    /// See [`RefusalError`].
    pub(crate) fn judge_folder(&self, folder: &Folder, record: &Record) -> Result<(), RefusalError> {
        let Some(policy) = Organisation::load()? else { return Ok(()) };
        allowed(self.found(&policy, &configuration(folder)?, &Subjected::of(self, record))?)
    }

    /// Judges the configuration of a container that is not about to start: what its joined namespaces are is judged when it does, as the
    /// paths that it has for them are of processes that may be gone.
    ///
    /// # Errors
    /// See [`RefusalError`].
    pub(crate) fn judge_at_rest(&self, spec: &Spec, record: &Record) -> Result<(), RefusalError> {
        self.judge(&without_paths(spec.clone()), &Subjected::of(self, record))
    }

    /// Judges one more process in a container.
    ///
    /// # Errors
    /// See [`RefusalError`].
    pub(crate) fn judge_exec(&self, folder: &Folder, record: &Record, process: &Process) -> Result<(), RefusalError> {
        let Some(policy) = Organisation::load()? else { return Ok(()) };
        let spec = without_paths(configuration(folder)?);
        let (own, linux) = parts(&spec);
        let plan = self.plan_for(&policy, &spec, (&own, &linux), &Subjected::of(self, record))?;
        allowed(policy.judge_exec(&plan, process, &today()))
    }

    /// Judges the mounts that the kernel has for the container, of which `pid` is the first process, still without its program. A path
    /// may have meant something else when the runtime opened it than when it was judged.
    ///
    /// # Errors
    /// See [`RefusalError`].
    pub(crate) fn judge_mounts(&self, folder: &Folder, record: &Record, pid: i32) -> Result<(), RefusalError> {
        let Some(policy) = Organisation::load()?.filter(Organisation::watches_mounts) else { return Ok(()) };
        allowed(self.found_mounted(&policy, &configuration(folder)?, record, pid)?)
    }

    fn found_mounted(
        &self,
        policy: &Organisation,
        spec: &Spec,
        record: &Record,
        pid: i32,
    ) -> Result<Vec<Violation>, RefusalError> {
        let read = |subject, what: &str| {
            let fail = |source| RefusalError::Fact { what: what.to_owned(), source };
            let content = Procfs::host().and_then(|procfs| procfs.read(subject, "mountinfo")).map_err(fail)?;
            info::parse(&content).map_err(fail)
        };
        let host = read(Subject::Myself, "the mounts of this machine")?;
        let container = read(Subject::Pid(pid), "the mounts of the container")?;
        let mut bound = Vec::new();
        for mounted in container.iter().filter(|mounted| is_hosts(mounted, &spec.mounts)) {
            let target = Path::new(std::ffi::OsStr::from_bytes(&mounted.point));
            let writable = !mounted.has("ro");
            let sources = places(mounted, &host);
            if !sources.iter().any(|source| self.is_own(target, source, &record.id)) {
                bound.extend(sources.into_iter().map(|source| Bound { source, writable }));
            }
        }
        Ok(policy.judge_bound(&bound, &record.image.reference, record.image.id.as_deref(), &today()))
    }

    /// What of the policy a container does not keep now, by its configuration and, if it runs, by the mounts that the kernel has for it;
    /// `None` without a policy.
    ///
    /// # Errors
    /// See [`RefusalError`].
    pub fn violations(&self, id: &ContainerId) -> Result<Option<Vec<Violation>>, RefusalError> {
        let Some(policy) = Organisation::load()? else { return Ok(None) };
        let fail = |error| RefusalError::Configuration(Box::new(error));
        let view = self.view(id).map_err(fail)?;
        let spec = configuration(&self.folder(id).map_err(fail)?)?;
        let mut found = self.found(&policy, &without_paths(spec.clone()), &Subjected::of(self, &view.record))?;
        if let Some(pid) = view.pid {
            let mounted = self.found_mounted(&policy, &spec, &view.record, pid)?;
            found.extend(mounted.into_iter().filter(|one| !found.contains(one)).collect::<Vec<_>>());
        }
        Ok(Some(found))
    }

    fn plan_for<'a>(
        &self,
        policy: &Organisation,
        spec: &Spec,
        (process, linux): (&'a Process, &'a Linux),
        subject: &Subjected<'a>,
    ) -> Result<Plan<'a>, RefusalError> {
        let joined: Vec<NamespaceType> = subject.joined.iter().map(|joined| joined.kind).collect();
        let fail = |source| RefusalError::Fact { what: format!("where {} is", subject.runtime.display()), source };
        let own = subject.runtime == self.program(OWN_RUNTIME);
        Ok(Plan {
            runtime: if own { OWN_RUNTIME.into() } else { real(&subject.runtime).map_err(fail)? },
            image: subject.image,
            image_id: subject.image_id,
            process,
            linux,
            read_only: spec.root.as_ref().is_some_and(|root| root.readonly),
            hosts: shared_with_the_host(linux, &joined)?,
            joined,
            bound: self.bound(&spec.mounts, subject.id)?,
            filters: filters(policy, process)?,
        })
    }

    /// What of the host is mounted, by the real paths of now.
    fn bound(&self, mounts: &[Mount], id: &ContainerId) -> Result<Vec<Bound>, RefusalError> {
        let mut found = Vec::new();
        for mount in mounts.iter().filter(|mount| is_bind(mount)) {
            let Some(source) = mount.source.as_deref() else { continue };
            let fail = |error| RefusalError::Fact { what: format!("where {} is", source.display()), source: error };
            let real = real(source).map_err(fail)?;
            let writable = !mount.options.iter().any(|option| option == "ro" || option == "rro");
            if !self.is_own(&mount.destination, &real, id) {
                found.push(Bound { source: real, writable });
            }
        }
        Ok(found)
    }

    /// Whether what is mounted at `target` is the engine's own: a file or part of a volume in the container's folder, a volume, or
    /// the program of `--init`.
    fn is_own(&self, target: &Path, source: &Path, id: &ContainerId) -> bool {
        let folder = self.containers().join(id.as_str());
        let shared = OWN_FILES.iter().any(|path| target == Path::new(path)) && source.starts_with(self.containers());
        let unfinished = self.unfinished().join(id.as_str());
        let volume =
            source.starts_with(self.places().data.join("volumes")) && source.iter().any(|part| part == "_data");
        let below = |folder: &Path| source != folder && source.starts_with(folder);
        shared || volume || below(&folder) || below(&unfinished) || source == self.program("stockade-init")
    }
}

/// The process and the walls of a configuration; what is not there has none.
fn parts(spec: &Spec) -> (Process, Linux) {
    (spec.process.clone().unwrap_or_default(), spec.linux.clone().unwrap_or_default())
}

fn configuration(folder: &Folder) -> Result<Spec, RefusalError> {
    let read = folder.read(CONFIG).map_err(|error| RefusalError::Configuration(Box::new(error)))?;
    read.ok_or_else(|| RefusalError::Fact {
        what: "the container's configuration".to_owned(),
        source: rustix::io::Errno::NOENT.into(),
    })
}

/// Without the namespaces that are joined.
fn without_paths(mut spec: Spec) -> Spec {
    if let Some(linux) = &mut spec.linux {
        linux.namespaces.retain(|namespace| namespace.path.as_os_str().is_empty());
    }
    spec
}

fn is_bind(mount: &Mount) -> bool {
    mount.options.iter().any(|option| option == "bind" || option == "rbind")
}

/// Which namespaces are the host's: those that are not asked for, and those that are joined and turn out to be the host's.
fn shared_with_the_host(linux: &Linux, joined: &[NamespaceType]) -> Result<Vec<NamespaceType>, RefusalError> {
    let rootless = in_user_namespace()?;
    let mut found = Vec::new();
    for kind in KINDS {
        let own = linux.namespaces.iter().find(|namespace| namespace.kind == kind);
        let hosts = match own.map(|namespace| &namespace.path) {
            None => !(joined.contains(&kind) || rootless && kind == NamespaceType::User),
            Some(path) if path.as_os_str().is_empty() => false,
            Some(path) => {
                let look = |path: &Path| {
                    let fail = |source: std::io::Error| RefusalError::Fact { what: path.display().to_string(), source };
                    std::fs::metadata(path).map_err(fail)
                };
                use std::os::unix::fs::MetadataExt;
                let (theirs, ours) = (look(path)?, look(&Path::new("/proc/self/ns").join(kind_word(kind)))?);
                (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino())
            }
        };
        found.extend(hosts.then_some(kind));
    }
    Ok(found)
}

/// The filters that the policy allows, as they are for a container with the capabilities of `process`.
fn filters(policy: &Organisation, process: &Process) -> Result<Vec<String>, RefusalError> {
    let names = process.capabilities.iter().flat_map(|sets| &sets.bounding).map(String::as_str);
    // A name that is unknown gives the filter of no capabilities, which the plan's then is not.
    let bounding = CapSet::parse(names, CapSet::EMPTY).unwrap_or(CapSet::EMPTY);
    let mut all = Vec::new();
    for (_, filter) in policy.filters() {
        all.extend(filter.resolve(bounding, Kernel::running())?.map(|raw| raw.get().to_owned()));
    }
    Ok(all)
}

/// The real path; of what is not there yet, that of the folder in which it will be made.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(real(parent)?.join(name)),
            _ => Err(error),
        },
        other => other,
    }
}

/// Whether a mount of the container's is of something that the host has: all but its root and what the kernel makes anew.
fn is_hosts(mounted: &Mounted, planned: &[Mount]) -> bool {
    let point = Path::new(std::ffi::OsStr::from_bytes(&mounted.point));
    if point == Path::new("/") {
        return false;
    }
    let nearest = planned
        .iter()
        .filter(|mount| point.starts_with(&mount.destination))
        .max_by_key(|mount| mount.destination.components().count());
    nearest.is_none_or(is_bind) || !KERNELS.contains(&mounted.fs_type.as_str())
}

/// Where on the host the folder is that is mounted, by all mounts of its file system there. Empty where the host has none of it.
fn places(mounted: &Mounted, host: &[Mounted]) -> Vec<PathBuf> {
    let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    let root = path(&mounted.root);
    let mut found: BTreeMap<PathBuf, ()> = BTreeMap::new();
    for one in host.iter().filter(|one| one.device == mounted.device) {
        let (its_root, point) = (path(&one.root), path(&one.point));
        if let Ok(rest) = root.strip_prefix(&its_root) {
            found.insert(point.join(rest).components().collect(), ());
        } else if its_root.starts_with(&root) {
            // The container sees more of the file system than this mount of the host's: all of it is in there.
            found.insert(point, ());
        }
    }
    found.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(line: &str) -> Mounted {
        info::parse(line.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn a_mount_is_known_by_what_it_is_of_and_not_by_its_name() {
        let host = [
            mounted("20 1 8:1 / / rw - ext4 /dev/sda1 rw"),
            mounted("21 20 8:2 / /var rw - ext4 /dev/sda2 rw"),
            mounted("22 20 8:1 /srv/real /mnt rw - ext4 /dev/sda1 rw"),
        ];
        let of = |line: &str| -> Vec<String> {
            places(&mounted(line), &host).iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(of("1 0 8:1 /etc /data ro - ext4 x rw"), ["/etc"]);
        assert_eq!(of("1 0 8:1 /srv/real/a /data ro - ext4 x rw"), ["/mnt/a", "/srv/real/a"]);
        assert_eq!(of("1 0 8:1 /srv /data ro - ext4 x rw"), ["/mnt", "/srv"]);
        assert_eq!(of("1 0 8:2 / /data ro - ext4 x rw"), ["/var"]);
        assert!(of("1 0 0:77 / /data ro - tmpfs x rw").is_empty());
    }

    #[test]
    fn what_the_kernel_makes_anew_is_not_the_hosts() {
        let of = |destination: &str, options: &[&str]| Mount {
            destination: destination.into(),
            options: options.iter().map(|one| (*one).to_owned()).collect(),
            ..Mount::default()
        };
        let planned = [of("/proc", &[]), of("/data", &["rbind"])];
        let hosts = |line: &str| is_hosts(&mounted(line), &planned);
        assert!(!hosts("1 0 0:9 / / rw - overlay x rw"));
        assert!(!hosts("1 0 0:9 /sys /proc/sys ro - proc x rw"));
        assert!(hosts("1 0 8:1 / /proc/x ro - ext4 x rw"));
        assert!(hosts("1 0 0:9 / /data/proc ro - proc x rw"));
        assert!(hosts("1 0 0:9 / /elsewhere ro - tmpfs x rw"));
    }

    #[test]
    fn the_real_path_of_what_is_not_there_is_that_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert_eq!(real(&link.join("no/such")).unwrap(), Path::new("/etc/no/such"));
        assert_eq!(real(Path::new("/")).unwrap(), Path::new("/"));
    }
}
