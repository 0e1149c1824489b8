//! A cgroup2 group in which the caller itself is, and below which it wants another one with a limit: the kernel lets a group have either processes
//! or controllers for groups below it (`cgroups(7)`, "no internal processes").

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the report; only bodies of #[test] are exempt by themselves"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use stockade_cgroups::model::{HugePageLimit, Limits, Max};
use stockade_cgroups::{CALLERS, Controllers, CreateError, Group, GroupPath, Layout, Version, plan, remove};

/// A group with a process, removed at the end.
struct Delegated {
    path: PathBuf,
    child: Child,
}

impl Delegated {
    fn new(path: PathBuf) -> Self {
        std::fs::create_dir(&path).unwrap();
        let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        std::fs::write(path.join("cgroup.procs"), child.id().to_string()).unwrap();
        Self { path, child }
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let callers = self.path.join(CALLERS);
        if callers.exists() {
            std::fs::remove_dir(callers).unwrap();
        }
        std::fs::remove_dir(&self.path).unwrap();
    }
}

#[test]
fn its_processes_are_moved_aside_for_a_limit() {
    let layout = Layout::detect().unwrap();
    let home = layout.home(Controllers::HUGETLB).filter(|home| home.version == Version::V2);
    let pages = Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists();
    let (Some(home), true, true) = (home, pages, rustix::process::geteuid().is_root()) else {
        eprintln!("skipped: it takes root and the controller hugetlb of cgroup2, with pages of 2 MiB");
        return;
    };
    let name = format!("stockade-test-delegated-{}", std::process::id());
    let own = Delegated::new(home.mount.join(&name));
    let limits = Limits { huge_pages: vec![HugePageLimit::new("2MB", 2 << 20).unwrap()], ..Limits::default() };
    let path = GroupPath::new(&format!("/{name}/stockade/box"), None).unwrap();
    // A caller who does not say that the group is his has it left as it is.
    let refused = Group::create(plan(&layout, &path, &limits).unwrap()).unwrap_err();
    assert!(matches!(refused, CreateError::Occupied { .. }), "{refused:?}");
    assert!(!own.path.join("stockade").exists());
    let mut plan = plan(&layout, &path, &limits).unwrap();
    plan.vacate = Some(PathBuf::from(&name));
    let group = Group::create(plan).unwrap();
    assert_eq!(group.verify().unwrap(), []);
    let moved = std::fs::read_to_string(own.path.join(CALLERS).join("cgroup.procs")).unwrap();
    assert_eq!(moved.trim(), own.child.id().to_string());
    remove(&group.places(), group.made()).unwrap();
    assert!(!own.path.join("stockade").exists());
}

#[test]
fn threaded_controllers_are_not_given_beside_processes() {
    let layout = Layout::detect().unwrap();
    let home = layout.home(Controllers::PIDS).filter(|home| home.version == Version::V2);
    let (Some(home), true) = (home, rustix::process::geteuid().is_root()) else {
        eprintln!("skipped: no controllers of cgroup v2");
        return;
    };
    let name = format!("stockade-test-threaded-{}", std::process::id());
    let own = Delegated::new(home.mount.join(&name));
    let path = GroupPath::new(&format!("/{name}/stockade/box"), None).unwrap();
    let limits = Limits { pids: Some(Max::At(5)), ..Limits::default() };
    let refused = Group::create(plan(&layout, &path, &limits).unwrap()).unwrap_err();
    assert!(refused.to_string().contains("pids"), "{refused}");
    // Without a limit that needs them there are none, and the group takes a process, which it would not in a threaded one.
    let enabled = || std::fs::read_to_string(own.path.join("cgroup.subtree_control")).unwrap();
    let join = || {
        let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let joined = std::fs::write(own.path.join("stockade/box/cgroup.procs"), child.id().to_string());
        child.kill().unwrap();
        child.wait().unwrap();
        joined.unwrap();
    };
    let group = Group::create(plan(&layout, &path, &Limits::default()).unwrap()).unwrap();
    assert_eq!(enabled().trim(), "");
    join();
    remove(&group.places(), group.made()).unwrap();
    // Where the group is the caller's own all of them are, for limits to come.
    let mut plan = plan(&layout, &path, &Limits::default()).unwrap();
    plan.vacate = Some(PathBuf::from(&name));
    let group = Group::create(plan).unwrap();
    assert!(enabled().contains("pids"), "{}", enabled());
    join();
    remove(&group.places(), group.made()).unwrap();
}
