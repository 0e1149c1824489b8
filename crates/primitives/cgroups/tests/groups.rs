//! Groups on the real kernel, in whichever arrangement it has. A test that needs a controller or a privilege that is
//! not there prints a line that begins with "skipped:".

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the report; only bodies of #[test] are exempt by themselves"
)]

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use stockade_cgroups::model::{
    Access, BlockDevice, BlockIo, Cpu, CpuBurst, CpuPeriod, CpuQuota, CpuShares, Cpuset, DeviceKind, DeviceRate,
    DeviceRule, DeviceRules, IdList, IoWeight, Limits, Max, Memory, Network, Swappiness, UnifiedValue,
};
use stockade_cgroups::{
    Controllers, CreateError, DeviceFilter, Group, GroupPath, Hierarchy, Kind, Layout, PlanError, Removal, Unused,
    UpdateError, Version, observe, plan, remove, support,
};
use stockade_kernel::procfs::Procfs;

/// A group of this test's own, killed and removed at the end.
struct Own(Group);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.kill_all().unwrap();
        remove(&self.0.places(), self.0.made()).unwrap();
    }
}

/// A new path for a group.
fn path() -> GroupPath {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    GroupPath::parse(&format!("/stockade-test-{}-{number}/leaf", std::process::id())).unwrap()
}

/// Makes a group with `limits`; `None`, with a line, where this machine lacks the controller or the privilege.
fn create(limits: &Limits) -> Option<Own> {
    let plan = match plan(&Layout::detect().unwrap(), &path(), limits) {
        Err(error @ PlanError::NoController { .. }) => {
            eprintln!("skipped: {error}");
            return None;
        }
        other => other.unwrap(),
    };
    match Group::create(plan) {
        Err(error) if error.is_permission() => {
            eprintln!("skipped: {error}");
            None
        }
        other => {
            let group = Own(other.unwrap());
            assert_eq!(group.0.verify().unwrap(), []);
            Some(group)
        }
    }
}

/// Starts a shell in the group. The child joins by itself on v1; on v2 it is moved before it goes on.
fn shell(group: &Group, script: &str) -> Child {
    let joins: Vec<i32> = group.join_fds().iter().map(AsRawFd::as_raw_fd).collect();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("read go\n{script}")]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert_eq!(joins.len(), group.places().iter().filter(|place| place.hierarchy != "unified").count());
    group.attach(child.id().cast_signed()).unwrap();
    use std::io::Write;
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    child
}

/// Waits until `done`, at most ten seconds.
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_limit_on_tasks_is_felt() {
    let limits = Limits { pids: Some(Max::At(4)), ..Limits::default() };
    let Some(group) = create(&limits) else { return };
    let script = "for n in 1 2 3 4 5 6 7 8; do sleep 30 & done; wait";
    let mut child = shell(&group.0, script);
    wait("no fork failed", || group.0.events().unwrap().pids_max > 0);
    assert!(group.0.stats().unwrap().pids.current <= 4);
    assert_eq!(group.0.stats().unwrap().pids.limit, 4);
    group.0.kill_all().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_memory_limit_kills() {
    let limit = Some(Max::At(16 << 20));
    let Some(support) = support(&Layout::detect().unwrap()) else { return };
    let swap = limit.filter(|_| support.swap == Some(true));
    let limits = Limits { memory: Memory { limit, swap, ..Memory::default() }, ..Limits::default() };
    let Some(group) = create(&limits) else { return };
    // The last command of the shell: dd replaces it and asks for one buffer of 64 MiB.
    let child = shell(&group.0, "exec dd if=/dev/zero of=/dev/null bs=64M count=4");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
    wait("no kill was counted", || group.0.events().unwrap().oom_kill > 0);
}

#[test]
fn the_quota_throttles() {
    let cpu = Cpu {
        quota: Some(CpuQuota::new(5000).unwrap()),
        period: Some(CpuPeriod::new(50_000).unwrap()),
        burst: Some(CpuBurst::new(1000)),
        shares: Some(CpuShares::new(512).unwrap()),
        ..Cpu::default()
    };
    let Some(group) = create(&Limits { cpu, ..Limits::default() }) else { return };
    let mut child = shell(&group.0, "while :; do :; done");
    wait("nothing was throttled", || group.0.stats().unwrap().cpu.throttling.throttled_periods > 0);
    assert!(group.0.stats().unwrap().cpu.usage.total > 0);
    group.0.kill_all().unwrap();
    child.wait().unwrap();
}

/// Everything denied but `/dev/null`, and `/dev/zero` for reading.
fn device_rules() -> DeviceRules {
    let rule = |allow, kind, major, minor, access: &str| DeviceRule {
        allow,
        kind,
        major,
        minor,
        access: Access::parse(access).unwrap(),
    };
    DeviceRules::new(vec![
        rule(false, DeviceKind::All, None, None, "rwm"),
        rule(true, DeviceKind::Character, Some(1), Some(3), "rwm"),
        rule(true, DeviceKind::Character, Some(1), Some(5), "rw"),
        rule(false, DeviceKind::Character, Some(1), Some(5), "w"),
    ])
    .unwrap()
}

/// What a shell in the group can open.
fn assert_devices(group: &Group) {
    let script = "try() { if (eval \"$1\") 2>/dev/null; then echo yes; else echo no; fi; }\n\
        try ': >/dev/null'; try ': </dev/zero'; try ': >/dev/zero'; try ': </dev/urandom'";
    let output = shell(group, script).wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "yes\nyes\nno\nno\n", "{output:?}");
}

/// What is read back of the group decides as the rules do.
fn assert_read_back(group: &Group, layout: &Layout) {
    let mut child = shell(group, "sleep 30");
    let observer = observe::Observer::new(layout.clone());
    let filter = observer.device_filter(&Procfs::host().unwrap(), child.id().cast_signed()).unwrap();
    assert_ne!(filter, DeviceFilter::Nothing);
    let rules = device_rules();
    for (kind, major, minor) in [(DeviceKind::Block, 8, 0), (DeviceKind::Block, 1, 3)]
        .into_iter()
        .chain((0..10).map(|minor| (DeviceKind::Character, 1, minor)))
    {
        for access in [Access::READ, Access::WRITE, Access::MKNOD, Access::all()] {
            let found = filter.allows(kind, major, minor, access);
            assert_eq!(found, Some(rules.allows(kind, major, minor, access)), "{kind:?} {major}:{minor} {access}");
        }
    }
    group.kill_all().unwrap();
    child.wait().unwrap();
}

#[test]
fn devices_are_denied() {
    let limits = Limits { devices: Some(device_rules()), ..Limits::default() };
    let Some(group) = create(&limits) else { return };
    assert_devices(&group.0);
    assert_read_back(&group.0, &Layout::detect().unwrap());
}

#[test]
fn devices_are_denied_by_a_program() {
    let layout = Layout::detect().unwrap();
    let Some(unified) = layout.unified() else {
        eprintln!("skipped: no cgroup v2 is mounted");
        return;
    };
    // Without its controllers, which would be enabled at the top.
    let unified = Hierarchy { controllers: Controllers::empty(), ..unified.clone() };
    let layout = Layout::from_hierarchies(vec![unified]);
    let limits = Limits { devices: Some(device_rules()), ..Limits::default() };
    let plan = plan(&layout, &path(), &limits).unwrap();
    assert!(plan.device_program.is_some());
    let mut group = Own(Group::create(plan).unwrap());
    assert_eq!(group.0.verify().unwrap(), []);
    assert_devices(&group.0);
    group.0.update(&limits).unwrap();
    assert_eq!(group.0.verify().unwrap(), []);
    assert_devices(&group.0);
    assert_read_back(&group.0, &layout);
}

/// What the machine can; on cgroup v2 that takes a group that has all controllers.
fn support(layout: &Layout) -> Option<support::Support> {
    let unified = |controller| layout.home(controller).is_some_and(|home| home.version == Version::V2);
    let mut limits = Limits::default();
    limits.memory.limit = unified(Controllers::MEMORY).then_some(Max::At(16 << 20));
    limits.cpu.quota = unified(Controllers::CPU).then(|| CpuQuota::new(5000).unwrap());
    limits.block_io.weight = unified(Controllers::BLOCK_IO).then(|| IoWeight::new(300).unwrap());
    let _group = create(&limits)?;
    let told = support::Support::detect(layout).unwrap();
    let sure = [told.swap, told.cpu_burst, told.bfq, told.kill];
    assert!(sure.iter().all(Option::is_some), "{told:?}");
    Some(told)
}

#[test]
fn what_the_machine_can_is_told_while_groups_come_and_go() {
    let layout = Layout::detect().unwrap();
    let path = GroupPath::parse(&format!("/stockade-test-{}-short", std::process::id())).unwrap();
    let pids = layout.home(Controllers::PIDS).map(|_| Max::At(9));
    let limits = Limits { pids, ..Limits::default() };
    let make = || Group::create(plan(&layout, &path, &limits).unwrap());
    match make() {
        Err(error) if error.is_permission() => return eprintln!("skipped: {error}"),
        made => drop(Own(made.unwrap())),
    }
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| (0..500).find_map(|_| support::Support::detect(&layout).err()));
        while !looker.is_finished() {
            drop(Own(make().unwrap()));
        }
        let failed = looker.join().unwrap();
        assert!(failed.is_none(), "{failed:?}");
    });
}

#[test]
fn everything_that_can_be_written_is_read_back() {
    let layout = Layout::detect().unwrap();
    let Some(support) = support(&layout) else { return };
    let has = |controller| support.controllers.contains(controller);
    let mut limits = Limits::default();
    if has(Controllers::MEMORY) {
        limits.memory.limit = Some(Max::At((32 << 20) + 5));
        limits.memory.swap = (support.swap == Some(true)).then_some(Max::At(48 << 20));
        limits.memory.reservation = Some(Max::At(16 << 20));
        limits.memory.swappiness = Some(Swappiness::new(7).unwrap());
        limits.memory.disable_oom_killer = Some(true);
    }
    if has(Controllers::CPUSET) {
        let zero = || Some(IdList::parse("cpus", "0").unwrap());
        limits.cpuset = Cpuset { cpus: zero(), mems: zero() };
    }
    if has(Controllers::BLOCK_IO) {
        // Without BFQ, cgroup v1 has no weights, and asking for one is an error.
        let weighs = support.bfq == Some(true) || layout.kind() == Kind::Unified;
        let weight = weighs.then(|| IoWeight::new(300).unwrap());
        limits.block_io = BlockIo { weight, ..BlockIo::default() };
        if let Some(device) = a_disk() {
            limits.block_io.read_bps.push(DeviceRate { device, rate: 1 << 20 });
            limits.block_io.write_iops.push(DeviceRate { device, rate: 500 });
        }
    }
    if layout.kind() == Kind::Unified && has(Controllers::MEMORY) {
        limits.unified.push(UnifiedValue::new("memory.high", "100M").unwrap());
    }
    let Some(mut group) = create(&limits) else { return };
    let degraded = group.0.degradations().iter().any(|degradation| degradation.asked.contains("swappiness"));
    let unified = layout.home(Controllers::MEMORY).is_some_and(|home| home.version == Version::V2);
    assert_eq!(degraded, unified);
    // Up, above the old bound of memory and swap, and down again.
    for size in [64u64 << 20, 20 << 20] {
        limits.memory.limit = limits.memory.limit.map(|_| Max::At(size));
        limits.memory.swap = limits.memory.swap.map(|_| Max::At(size));
        group.0.update(&limits).unwrap();
        assert_eq!(group.0.verify().unwrap(), []);
    }
}

/// A whole disk of this machine.
fn a_disk() -> Option<BlockDevice> {
    let disk = std::fs::read_dir("/sys/block").ok()?.flatten().find(|entry| entry.path().join("dev").exists())?;
    let text = std::fs::read_to_string(disk.path().join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some(BlockDevice { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

#[test]
fn a_difference_is_seen() {
    let limits = Limits { pids: Some(Max::At(9)), ..Limits::default() };
    let Some(group) = create(&limits) else { return };
    let place = group.0.places().into_iter().find(|place| place.directory().join("pids.max").exists()).unwrap();
    std::fs::write(place.directory().join("pids.max"), "10").unwrap();
    assert_eq!(group.0.verify().unwrap().len(), 1);
}

#[test]
fn frozen_processes_stand_still_and_die() {
    let Some(group) = create(&Limits::default()) else { return };
    let mut child = shell(&group.0, "while :; do :; done");
    group.0.freeze().unwrap();
    assert!(group.0.frozen().unwrap());
    group.0.thaw().unwrap();
    assert!(!group.0.frozen().unwrap());
    group.0.freeze().unwrap();
    group.0.kill_all().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(group.0.processes().unwrap(), [0i32; 0]);
}

/// Forks without end. A shell gives up when a fork fails, so it stays below the limit on tasks.
const BOMB: &str = "for n in 1 2 3 4 5 6 7 8; do while :; do (exit 0); done & done; wait";

#[test]
fn a_fork_bomb_in_sub_groups_is_killed() {
    let limits = Limits { pids: Some(Max::At(40)), ..Limits::default() };
    let Some(group) = create(&limits) else { return };
    let below = group.0.places().iter().map(|place| place.directory().join("a/b")).collect::<Vec<_>>();
    below.iter().for_each(|path| std::fs::create_dir_all(path).unwrap());
    let mut child = shell(&group.0, BOMB);
    wait("it does not fork", || group.0.processes().unwrap().len() > 5);
    group.0.kill_all().unwrap();
    child.wait().unwrap();
}

/// The same loop on v1 alone, which has no `cgroup.kill`.
#[test]
fn a_fork_bomb_is_killed_without_cgroup_kill() {
    let layout = Layout::detect().unwrap();
    let legacy: Vec<_> =
        layout.hierarchies().iter().filter(|hierarchy| hierarchy.version == Version::V1).cloned().collect();
    if !legacy.iter().any(|hierarchy| hierarchy.controllers.contains(Controllers::PIDS | Controllers::FREEZER))
        && legacy.len() < 2
    {
        eprintln!("skipped: no cgroup v1 hierarchies");
        return;
    }
    let limits = Limits { pids: Some(Max::At(40)), ..Limits::default() };
    let group = Own(Group::create(plan(&Layout::from_hierarchies(legacy), &path(), &limits).unwrap()).unwrap());
    let mut child = shell(&group.0, BOMB);
    wait("it does not fork", || group.0.processes().unwrap().len() > 5);
    group.0.freeze().unwrap();
    group.0.kill_all().unwrap();
    child.wait().unwrap();
}

/// A group in which something is, a process or a group below, is not removed, and what is left of it can still be killed.
#[test]
fn only_an_unused_group_is_removed_without_looking() {
    let Some(own) = create(&Limits::default()) else { return };
    let places = own.0.places();
    let mut child = shell(&own.0, "exec sleep 600");
    drop(child.stdin.take());
    assert_eq!(Removal::prepare(&places).unwrap().remove_unused().unwrap(), Unused::No);
    own.0.kill_all().unwrap();
    child.wait().unwrap();
    let below = places[0].directory().join("below");
    std::fs::create_dir(&below).unwrap();
    assert_eq!(own.0.processes().unwrap(), [], "a group below is looked into");
    assert_eq!(Removal::prepare(&places).unwrap().remove_unused().unwrap(), Unused::No);
    assert!(below.exists());
    std::fs::remove_dir(&below).unwrap();
    let prepared = Removal::prepare(&places).unwrap();
    assert_eq!(prepared.remove_unused().unwrap(), Unused::Yes);
    assert_eq!(prepared.remove_unused().unwrap(), Unused::Yes, "gone already");
    assert!(places.iter().all(|place| !place.directory().exists()));
    assert_eq!(Removal::prepare(&places).unwrap().remove_unused().unwrap(), Unused::Yes, "gone already");
}

#[test]
fn what_is_observed_was_applied() {
    let limits = Limits { pids: Some(Max::At(33)), ..Limits::default() };
    let Some(group) = create(&limits) else { return };
    let mut child = shell(&group.0, "sleep 30");
    let layout = Layout::detect().unwrap();
    let seen = observe::observe(&layout, &Procfs::host().unwrap(), child.id().cast_signed()).unwrap();
    assert_eq!(seen.places, group.0.places());
    let pids = seen.readings.iter().find(|reading| reading.file == "pids.max").unwrap();
    assert_eq!(pids.written, Max::At(33));
    assert!(pids.effective.least(Max::At(33)) == pids.effective);
    group.0.kill_all().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_group_in_use_is_refused() {
    let Some(group) = create(&Limits::default()) else { return };
    let mut child = shell(&group.0, "sleep 30");
    let place = group.0.places().remove(0);
    let same = GroupPath::parse(&format!("/{}", place.path.display())).unwrap();
    let again = Group::create(plan(&Layout::detect().unwrap(), &same, &Limits::default()).unwrap());
    assert!(matches!(again, Err(CreateError::InUse { .. })), "{again:?}");
    assert!(place.directory().exists());
    group.0.kill_all().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_the_machine_lacks_is_an_error() {
    let layout = Layout::detect().unwrap();
    let network = Network { class_id: Some(1), ..Network::default() };
    if layout.home(Controllers::NET_CLS).is_none() {
        let error = plan(&layout, &path(), &Limits { network, ..Limits::default() }).unwrap_err();
        assert!(error.to_string().contains("net_cls"), "{error}");
    }
    if layout.kind() != Kind::Unified {
        let unified = vec![UnifiedValue::new("memory.high", "1").unwrap()];
        assert!(plan(&layout, &path(), &Limits { unified, ..Limits::default() }).is_err());
    }
    let memory = Memory { swap: Some(Max::At(1)), ..Memory::default() };
    assert!(plan(&layout, &path(), &Limits { memory, ..Limits::default() }).is_err());
}

#[test]
fn a_refused_limit_leaves_nothing() {
    let layout = Layout::detect().unwrap();
    if layout.home(Controllers::CPUSET).is_none() {
        eprintln!("skipped: no cpuset controller");
        return;
    }
    let cpus = Some(IdList::parse("cpus", "60000").unwrap());
    let limits = Limits { cpuset: Cpuset { cpus, mems: None }, ..Limits::default() };
    let plan = plan(&layout, &path(), &limits).unwrap();
    let places = plan.places();
    assert!(Group::create(plan).is_err() || layout.kind() == Kind::Unified);
    if layout.kind() == Kind::Unified {
        remove(&places, &places.iter().map(parent).collect::<Vec<_>>()).unwrap();
    }
    for place in places {
        assert!(!place.directory().parent().unwrap().exists(), "{place:?}");
    }
}

/// The place above.
fn parent(place: &stockade_cgroups::Place) -> stockade_cgroups::Place {
    stockade_cgroups::Place { path: place.path.parent().unwrap().to_owned(), ..place.clone() }
}

#[test]
fn two_hundred_come_and_go() {
    let layout = Layout::detect().unwrap();
    let limits = Limits { devices: Some(device_rules()), ..Limits::default() };
    let (mut create, mut verify, mut delete) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for _ in 0..200 {
        let plan = plan(&layout, &path(), &limits).unwrap();
        let start = Instant::now();
        let group = Group::create(plan).unwrap();
        create += start.elapsed();
        let start = Instant::now();
        assert_eq!(group.verify().unwrap(), []);
        verify += start.elapsed();
        let start = Instant::now();
        remove(&group.places(), group.made()).unwrap();
        delete += start.elapsed();
        for place in group.places().iter().map(parent) {
            assert!(!place.directory().exists(), "{place:?}");
        }
        remove(&group.places(), group.made()).unwrap();
    }
    eprintln!("mean: create {:?}, verify {:?}, remove {:?}", create / 200, verify / 200, delete / 200);
}

/// The child of a clone joins v1 by itself and sees itself there.
#[test]
fn a_child_joins_by_itself() {
    let Some(group) = create(&Limits::default()) else { return };
    if group.0.join_fds().is_empty() {
        eprintln!("skipped: no cgroup v1 hierarchies");
        return;
    }
    let mut command = Command::new("/bin/sh");
    let script: String = group
        .0
        .join_fds()
        .iter()
        .map(|fd| format!("echo 0 >/proc/{}/fd/{};", std::process::id(), fd.as_raw_fd()))
        .collect();
    command.arg0("sh").args(["-c", &format!("{script} cat /proc/self/cgroup")]);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let name = group.0.places()[0].path.display().to_string();
    assert_eq!(text.lines().filter(|line| line.ends_with(&name)).count(), group.0.join_fds().len(), "{text}");
}

/// The files of the group that tell its limits, with what they say.
fn limit_files(group: &Group) -> Vec<(std::path::PathBuf, String)> {
    let names = |name: &str| {
        let endings =
            ["max", "limit_in_bytes", "shares", "weight", "cpus", "list", "_device", "quota_us", "oom_control"];
        endings.iter().any(|ending| name.ends_with(ending))
    };
    let folders = group.places().into_iter().map(|place| place.directory());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let wanted = files.filter(|file| names(&file.file_name().to_string_lossy())).map(|file| file.path());
    let mut read: Vec<_> =
        wanted.filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?))).collect();
    read.sort();
    read
}

#[test]
fn a_change_that_fails_halfway_is_taken_back() {
    let cpus = |list: &str| Cpuset { cpus: Some(IdList::parse("cpus", list).unwrap()), mems: None };
    let first =
        Limits { pids: Some(Max::At(9)), cpuset: cpus("0"), devices: Some(device_rules()), ..Limits::default() };
    let Some(mut group) = create(&first) else { return };
    let before = limit_files(&group.0);
    assert!(before.len() > 3, "{before:?}");
    let everything = DeviceRule { allow: true, kind: DeviceKind::All, major: None, minor: None, access: Access::all() };
    let mut second = Limits {
        pids: Some(Max::At(77)),
        // No machine has this processor; the kernel says so, and not the plan.
        cpuset: cpus("4000"),
        devices: Some(DeviceRules::new(vec![everything]).unwrap()),
        ..Limits::default()
    };
    let layout = Layout::detect().unwrap();
    if layout.home(Controllers::MEMORY).is_some() {
        second.memory.limit = Some(Max::At(64 << 20));
    }
    if layout.home(Controllers::CPU).is_some() {
        second.cpu = Cpu { shares: Some(CpuShares::new(77).unwrap()), ..Cpu::default() };
    }
    if let (Some(_), Some(device)) = (layout.home(Controllers::BLOCK_IO), a_disk()) {
        second.block_io.read_bps.push(DeviceRate { device, rate: 1 << 20 });
    }
    let error = group.0.update(&second).unwrap_err();
    assert!(matches!(error, UpdateError::Refused(_)), "{error:?}");
    assert_eq!(limit_files(&group.0), before);
    // And without the part that fails it is a change.
    group.0.update(&Limits { cpuset: Cpuset::default(), ..second }).unwrap();
    assert_ne!(limit_files(&group.0), before);
}

/// Another container that made the common parent removes it, empty as it is, between our look at it and our group's making. On
/// cgroup v2 the limit needs its controller in that parent, and so in the one that is there in the end.
#[test]
fn a_parent_that_another_removes_meanwhile_is_made_again() {
    let layout = Layout::detect().unwrap();
    let parent = format!("/stockade-test-{}-shared", std::process::id());
    let path = GroupPath::parse(&format!("{parent}/leaf")).unwrap();
    let pids = layout.home(Controllers::PIDS).map(|_| Max::At(9));
    let limits = Limits { pids, ..Limits::default() };
    let make = || Group::create(plan(&layout, &path, &limits).unwrap());
    match make() {
        Err(error) if error.is_permission() => return eprintln!("skipped: {error}"),
        made => drop(Own(made.unwrap())),
    }
    let folder = layout.hierarchies()[0].mount.join(parent.trim_start_matches('/'));
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| (0..300).find_map(|_| make().map(|group| drop(Own(group))).err()));
        while !worker.is_finished() {
            for result in [std::fs::create_dir(&folder), std::fs::remove_dir(&folder)] {
                let expected = [ErrorKind::AlreadyExists, ErrorKind::NotFound, ErrorKind::ResourceBusy];
                assert!(result.as_ref().err().is_none_or(|error| expected.contains(&error.kind())), "{result:?}");
            }
        }
        let failure = worker.join().unwrap();
        assert!(failure.is_none(), "{failure:?}");
    });
    // Made last by us, and in use when we tried to remove it.
    let left = std::fs::remove_dir(&folder);
    assert!(left.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::NotFound), "{left:?}");
}
