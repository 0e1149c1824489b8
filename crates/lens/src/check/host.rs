//! Protections of the host's kernel, which stand behind all containers.

use rustix::fs::{CWD, Mode, OFlags};
use stockade_kernel::procfs::read_all;

use crate::exposure;
use crate::finding::{Sheet, Wall};
use crate::scene::{Scene, text};

/// A setting below `/proc/sys`, what it must be at least, and what that is for.
const SETTINGS: &[(&str, i64, &str)] = &[
    ("kernel/yama/ptrace_scope", 1, "a program traces its own children only"),
    ("kernel/kptr_restrict", 1, "addresses of the kernel are hidden"),
    ("kernel/dmesg_restrict", 1, "the kernel's log is root's"),
    ("kernel/unprivileged_bpf_disabled", 1, "programs of users are not loaded into the kernel"),
    ("kernel/perf_event_paranoid", 2, "users do not watch the kernel"),
    ("kernel/randomize_va_space", 2, "addresses are random"),
    ("fs/protected_symlinks", 1, "links in shared folders are not followed for others"),
    ("fs/protected_hardlinks", 1, "files of others are not linked"),
    ("vm/mmap_min_addr", 4096, "nothing is mapped at address 0"),
];

/// Settings that only some distributions' kernels have: what they must be at least.
const OPTIONAL: &[(&str, i64, &str)] = &[
    ("kernel/apparmor_restrict_unprivileged_userns", 1, "users need a profile for user namespaces"),
    ("kernel/io_uring_disabled", 1, "users have no io_uring"),
];

/// Check 30, whose answers are the same for all containers.
pub(super) fn look(scene: &Scene<'_>, sheet: &mut Sheet) {
    let findings = scene.ground.kernel.get_or_init(|| {
        let mut sheet = Sheet::default();
        kernel(scene, &mut sheet);
        sheet.0
    });
    sheet.0.extend_from_slice(findings);
}

fn kernel(scene: &Scene<'_>, sheet: &mut Sheet) {
    sheet.holds("kernel", None, text(rustix::system::uname().release().to_bytes()));
    for (path, least, meaning) in SETTINGS {
        setting(scene, sheet, path, *least, meaning, true);
    }
    for (path, least, meaning) in OPTIONAL {
        setting(scene, sheet, path, *least, meaning, false);
    }
    user_namespaces(scene, sheet);
    lockdown(sheet);
    vulnerabilities(sheet);
}

/// One setting. One that is not there is not set, and told only if most kernels have it.
fn setting(scene: &Scene<'_>, sheet: &mut Sheet, path: &str, least: i64, meaning: &str, usual: bool) {
    let part = path.replace('/', ".");
    let value = scene.procfs.read_at(&format!("sys/{path}"));
    let value = value.ok().and_then(|content| String::from_utf8_lossy(&content).trim().parse::<i64>().ok());
    let (found, stands) = match value {
        Some(value) => (value.to_string(), value >= least),
        None if usual => ("not there".to_owned(), false),
        None => return,
    };
    let finding = sheet.judge(part, Wall { wanted: None, asked: None, found, stands }).because(meaning);
    finding.exposing((!stands).then_some(exposure::HOST_HARDENING));
}

/// Whether users make user namespaces: Debian's switch, and the limit that every kernel has.
fn user_namespaces(scene: &Scene<'_>, sheet: &mut Sheet) {
    let read = |path: &str| {
        let content = scene.procfs.read_at(&format!("sys/{path}")).ok()?;
        String::from_utf8_lossy(&content).trim().parse::<i64>().ok()
    };
    let off = read("kernel/unprivileged_userns_clone") == Some(0) || read("user/max_user_namespaces") == Some(0);
    let found = if off { "off" } else { "on" }.to_owned();
    let wall = Wall { wanted: None, asked: None, found, stands: off };
    let finding = sheet.judge("unprivileged user namespaces", wall);
    finding.because("on lets containers without root work, and shows more of the kernel to users");
}

/// A file of sysfs.
fn read(path: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?;
    let content = read_all(rustix::fd::AsFd::as_fd(&file)).ok()?;
    Some(text(content.trim_ascii_end()))
}

/// What of the kernel root itself cannot change.
fn lockdown(sheet: &mut Sheet) {
    let Some(found) = read("/sys/kernel/security/lockdown") else {
        sheet.unchecked("lockdown", None, "securityfs is not mounted, or the kernel has none");
        return;
    };
    let chosen = found.split(['[', ']']).nth(1).unwrap_or("none").to_owned();
    let stands = chosen != "none";
    let wall = Wall { wanted: None, asked: None, found: chosen, stands };
    sheet.judge("lockdown", wall).exposing((!stands).then_some(exposure::HOST_HARDENING));
}

/// Processor faults without a remedy.
fn vulnerabilities(sheet: &mut Sheet) {
    const FOLDER: &str = "/sys/devices/system/cpu/vulnerabilities";
    let Ok(entries) = std::fs::read_dir(FOLDER) else {
        return sheet.unchecked("processor", None, "the kernel does not tell of processor faults");
    };
    let mut open: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            read(&format!("{FOLDER}/{name}")).is_some_and(|state| state.starts_with("Vulnerable")).then_some(name)
        })
        .collect();
    open.sort_unstable();
    let stands = open.is_empty();
    let found = if stands { "no fault without a remedy".to_owned() } else { open.join(", ") };
    let wall = Wall { wanted: None, asked: None, found, stands };
    sheet.judge("processor", wall).exposing((!stands).then_some(exposure::HOST_HARDENING));
}
