//! Keys of others, and dumps of crashed programs.

use stockade_kernel::namespace::Namespaces;
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::interpret::Shown;
use stockade_seccomp::model::Action;
use stockade_seccomp::observe::answer;
use stockade_seccomp::syscall::Syscall;

use crate::exposure;
use crate::finding::{Sheet, Wall};
use crate::scene::{Scene, told};

/// Check 27: keyrings are in no namespace, so that nothing but the filter keeps a container from them.
pub(super) fn keyring(scene: &Scene<'_>, sheet: &mut Sheet) {
    let filters = match &scene.filters {
        Ok(filters) => filters,
        Err(why) => return sheet.unchecked("calls", None, why),
    };
    let permitted = |name: &'static str| {
        let number = Syscall::from_name(name).and_then(|call| call.number(Arch::NATIVE))?;
        let shown = Shown { number, audit: Arch::NATIVE.audit(), arguments: Some([0; 6]) };
        answer(filters, &shown).is_none_or(Action::permits).then_some(name)
    };
    let open: Vec<&str> = ["keyctl", "add_key", "request_key"].into_iter().filter_map(permitted).collect();
    if open.is_empty() {
        sheet.holds("calls", None, "none can be made");
        return;
    }
    let wall = Wall { wanted: None, asked: None, found: format!("{} can be made", open.join(", ")), stands: false };
    sheet.judge("calls", wall).exposing([exposure::KEYRING]);
    sheet.unchecked("session keyring", None, "the kernel tells of a session keyring to its own processes only");
}

/// Check 28.
pub(super) fn crashes(scene: &Scene<'_>, sheet: &mut Sheet) {
    core_pattern(scene, sheet);
    dumpable(scene, sheet);
}

/// Whether it can change what the host does with a crash: a writable `/proc/sys`, and the host's root.
fn core_pattern(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "core_pattern";
    const PATH: &str = "/proc/sys/kernel/core_pattern";
    if !scene.shares_users() {
        sheet.holds(PART, None, "cannot be changed from inside").because("its root is not the host's");
        return;
    }
    match scene.open(PATH) {
        Err(why) => sheet.unchecked(PART, None, why),
        Ok(None) => {
            sheet.holds(PART, None, "cannot be changed from inside").because("it is not there");
        }
        Ok(Some(fd)) => {
            let read_only = rustix::fs::fstatvfs(&fd)
                .is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
            let root = scene.status.uids.contains(&0);
            let stands = read_only || !root;
            let found = if stands { "cannot be changed from inside" } else { "can be changed from inside" };
            let wall = Wall { wanted: None, asked: None, found: found.to_owned(), stands };
            let finding = sheet.judge(PART, wall).because(format!("it is {:?}", scene.ground.core_pattern()));
            finding.exposing((!stands).then_some(exposure::CORE_PATTERN));
        }
    }
}

/// Whether others of its user can trace it: the files of a process that cannot be dumped are root's (`proc(5)`).
fn dumpable(scene: &Scene<'_>, sheet: &mut Sheet) {
    const PART: &str = "dumpable";
    let opened = told(scene.procfs.open(scene.subject(), "status", rustix::fs::OFlags::PATH));
    let stat = opened.and_then(|fd| rustix::fs::fstat(&fd).map_err(|errno| errno.to_string()));
    match stat {
        Err(why) => sheet.unchecked(PART, None, why),
        Ok(_) if scene.status.uids[1] == 0 => {
            sheet.unchecked(PART, None, "the files of a process of root's are root's in either case");
        }
        Ok(stat) if stat.st_uid == scene.status.uids[1] => {
            let own = !scene.shares(Namespaces::PID);
            let found = if own { "by its own processes" } else { "by programs of its user" };
            let wall = Wall { wanted: None, asked: None, found: found.to_owned(), stands: own };
            sheet.judge(PART, wall);
        }
        Ok(_) => {
            sheet.holds(PART, None, "by nobody");
        }
    }
}
