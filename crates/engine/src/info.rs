//! `info`: the machine, as far as it bears on containers.

mod limits;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stockade_kernel::chain::chain;
use stockade_policy::apparmor::{self, Plan, Selection, Support};

use crate::files::FileError;
use crate::machine::{self, MachineError};
use crate::{Engine, Which, list};

pub use limits::Limits;

/// Where a distribution says what it is (`os-release(5)`).
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// The machine and what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The version of Stockade.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture, in the kernel's words.
    pub architecture: String,
    /// Processors that are online.
    pub processors: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// The machine's name.
    pub hostname: String,
    /// Who makes the control groups of new containers.
    pub cgroup_driver: crate::CgroupDriver,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// The Linux security modules that are active, in their order; empty if the kernel does not tell.
    pub security_modules: Vec<String>,
    /// `None` if containers are confined by AppArmor, else why not.
    pub apparmor_degradation: Option<String>,
    /// The seccomp actions that the kernel knows.
    pub seccomp_actions: Vec<String>,
    /// Whether containers get a time namespace.
    pub time_namespace: bool,
    /// The OCI runtime.
    pub runtime: PathBuf,
    /// The first line of what it says to `--version`, or why it says nothing.
    pub runtime_version: Result<String, String>,
    /// The data folder.
    pub data: PathBuf,
    /// The exec folder.
    pub exec: PathBuf,
    /// The type of the file system below the data folder, as `statfs(2)` numbers it, in words where it is well known.
    pub data_filesystem: String,
    /// How roots are made: `overlayfs`.
    pub storage: String,
    /// How many containers run.
    pub running: usize,
    /// How many are paused.
    pub paused: usize,
    /// How many others there are.
    pub stopped: usize,
    /// How many images the store has.
    pub images: usize,
    /// What the distribution calls itself, with its version; empty if it does not say.
    pub operating_system: String,
    /// Its version; empty if it does not say.
    pub os_version: String,
    /// What the control groups can limit.
    pub limits: Limits,
    /// Whether the host forwards packets of IPv4.
    pub ipv4_forwarding: bool,
    /// The program for `--init`.
    pub init: PathBuf,
    /// Whether control groups can be made: by root, or by a user to whom one was delegated.
    pub groups: bool,
    /// Whether the containers are those of a user other than root, in a user namespace of that user's.
    pub rootless: bool,
}

/// Why the machine could not be described.
#[derive(Debug, thiserror::Error)]
pub enum InfoError {
    /// The machine's facts.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The containers.
    #[error(transparent)]
    List(#[from] crate::ps::ListError),
    /// The images.
    #[error(transparent)]
    Images(#[from] crate::image::ImageLookup),
}

/// Describes the machine.
///
/// # Errors
/// See [`InfoError`]. A runtime that does not answer is none.
pub fn info(engine: &Engine) -> Result<Info, InfoError> {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let memory = rustix::system::sysinfo();
    let places = engine.places();
    let containers = list(engine, Which::All)?;
    let count = |word: &str| containers.iter().filter(|summary| summary.state.docker() == word).count();
    let (running, paused) = (count("running") + count("restarting"), count("paused"));
    let release = os_release()?;
    let rootless = crate::rootless::is_here().map_err(MachineError::user_namespace)?;
    let delegated = machine::delegation()?;
    let limits = match &delegated {
        None => limits::limits(),
        Some(controllers) => Ok(Limits::of_controllers(controllers.as_deref().unwrap_or_default())),
    };
    let limits =
        limits.map_err(|source| MachineError::Kernel { what: "the control groups of this process", source })?;
    Ok(Info {
        version: env!("CARGO_PKG_VERSION").into(),
        kernel: text(uname.release()),
        architecture: text(uname.machine()),
        processors: std::thread::available_parallelism().map(usize::from).unwrap_or(1),
        memory: memory.totalram.saturating_mul(memory.mem_unit.into()),
        hostname: text(uname.nodename()),
        cgroup_driver: places.cgroups,
        cgroup_version: if machine::is_cgroup_v2()? { 2 } else { 1 },
        security_modules: words("/sys/kernel/security/lsm", ',')?,
        apparmor_degradation: apparmor_degradation()?,
        seccomp_actions: words("/proc/sys/kernel/seccomp/actions_avail", ' ')?,
        time_namespace: machine::has_time_namespaces(),
        runtime: engine.runtime(),
        runtime_version: runtime_version(engine),
        data: places.data.clone(),
        exec: places.exec.clone(),
        data_filesystem: filesystem(&places.data)?,
        storage: crate::inspect::DRIVER.into(),
        running,
        paused,
        stopped: containers.len() - running - paused,
        images: crate::list_images(engine)?.len(),
        operating_system: release_field(&release, "PRETTY_NAME"),
        os_version: release_field(&release, "VERSION_ID"),
        limits,
        ipv4_forwarding: words("/proc/sys/net/ipv4/ip_forward", ' ')? == ["1"],
        init: engine.program("stockade-init"),
        groups: delegated.is_none_or(|controllers| controllers.is_some()),
        rootless,
    })
}

/// The text of the first of [`OS_RELEASE`] that is there; empty without any.
fn os_release() -> Result<String, MachineError> {
    for path in OS_RELEASE {
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return Ok(read.map_err(FileError::at("read", path))?),
        }
    }
    Ok(String::new())
}

/// A field of it, without the quotes of the shell.
fn release_field(text: &str, key: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
}

/// The words of a file of the kernel's; none if the kernel has no such file or does not show it.
fn words(path: &str, separator: char) -> Result<Vec<String>, MachineError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let words = text.trim().split(separator).filter(|word| !word.is_empty());
            Ok(words.map(str::to_owned).collect())
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(Vec::new())
        }
        Err(error) => Err(FileError::at("read", path)(error).into()),
    }
}

/// Why containers get no AppArmor profile by default.
fn apparmor_degradation() -> Result<Option<String>, MachineError> {
    let support = Support::probe().map_err(|source| MachineError::Kernel { what: "AppArmor", source })?;
    Ok(match apparmor::plan(&Selection::Default, &support, false) {
        Ok(Plan::Profile { .. }) | Ok(Plan::Unconfined(None)) => None,
        Ok(Plan::Unconfined(Some(degradation))) => Some(degradation.to_string()),
        Err(error) => Some(chain(&error)),
    })
}

/// The first line of what the runtime says of itself.
fn runtime_version(engine: &Engine) -> Result<String, String> {
    let path = engine.runtime();
    let answer = Command::new(&path).arg("--version").env_clear().stdin(Stdio::null()).output();
    let answer = answer.map_err(|error| format!("cannot run {}: {error}", path.display()))?;
    match String::from_utf8_lossy(&answer.stdout).lines().next() {
        Some(line) if answer.status.success() => Ok(line.to_owned()),
        _ => Err(format!("{} does not tell its version ({})", path.display(), answer.status)),
    }
}

/// The type of the file system, by the magic numbers of `statfs(2)`.
fn filesystem(path: &Path) -> Result<String, MachineError> {
    let magic = rustix::fs::statfs(path).map_err(FileError::at("look at", path))?.f_type as u64;
    let known = [
        (0xef53, "ext4"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (0x0102_1994, "tmpfs"),
        (0x794c_7630, "overlayfs"),
        (0x2fc1_2fc1, "zfs"),
        (0x6969, "nfs"),
    ];
    let name = known.iter().find(|(number, _)| *number == magic);
    Ok(name.map_or_else(|| format!("{magic:#x}"), |(_, name)| (*name).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_distribution_says_of_itself() {
        let text = "NAME=Debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_ID='13'\n";
        assert_eq!(release_field(text, "PRETTY_NAME"), "Debian GNU/Linux 13 (trixie)");
        assert_eq!((release_field(text, "VERSION_ID"), release_field(text, "VERSION")), ("13".into(), String::new()));
    }
}
