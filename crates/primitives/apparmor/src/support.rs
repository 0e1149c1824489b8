//! What this machine offers.

use std::io;
use std::path::{Path, PathBuf};

use stockade_kernel::namespace::is_hosts_id_map;

use crate::model::Confinement;

/// Where `apparmor_parser` is looked for: the host's own folders, never `PATH`.
const PARSERS: [&str; 4] = [
    "/usr/sbin/apparmor_parser",
    "/sbin/apparmor_parser",
    "/usr/bin/apparmor_parser",
    "/usr/local/sbin/apparmor_parser",
];

/// What this machine offers. Ask on the host, before entering any namespace of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// The kernel has AppArmor and it is enabled.
    pub enabled: bool,
    /// The profiles that are loaded; `None` if the kernel does not tell (no securityfs mounted, or no permission).
    pub loaded: Option<Vec<Confinement>>,
    /// Profiles can be stacked on the one in force (Linux 4.13).
    pub stacking: bool,
    /// The compiler of profiles, if it is installed.
    pub parser: Option<PathBuf>,
    /// This process may load profiles, if it has the capability: it is in the host's user namespace. Not asked where AppArmor is not enabled.
    pub may_load: bool,
}

impl Support {
    /// Asks the kernel and the file system.
    ///
    /// # Errors
    /// If a file exists and cannot be read for another reason than permission. What does not exist is not supported.
    pub fn probe() -> io::Result<Self> {
        let support = Self::probe_at(Path::new("/sys"))?;
        let may_load = support.enabled && is_hosts_id_map(&std::fs::read("/proc/self/uid_map")?);
        Ok(Self { may_load, ..support })
    }

    /// [`Support::probe`] with another place for `/sys`, and without what that does not tell.
    fn probe_at(sys: &Path) -> io::Result<Self> {
        let says = |path: &str, yes: &[u8]| match std::fs::read(sys.join(path)) {
            Ok(content) => Ok(content.trim_ascii() == yes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        let enabled = says("module/apparmor/parameters/enabled", b"Y")?;
        Ok(Self {
            enabled,
            loaded: match loaded(&sys.join("kernel/security/apparmor/profiles"))? {
                None if enabled => listed(&sys.join("kernel/security/apparmor/policy/profiles"))?,
                list => list,
            },
            stacking: says("kernel/security/apparmor/features/domain/stack", b"yes")?,
            parser: PARSERS.iter().map(PathBuf::from).find(|path| path.is_file()),
            may_load: false,
        })
    }

    /// The loaded profile of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Confinement> {
        self.loaded.as_ref()?.iter().find(|loaded| loaded.profile == name)
    }
}

/// The profiles in the list at `path`.
fn loaded(path: &Path) -> io::Result<Option<Vec<Confinement>>> {
    match std::fs::read_to_string(path) {
        Ok(list) => {
            let parsed: Option<Vec<_>> = list.lines().map(Confinement::parse).collect();
            parsed.map(Some).ok_or_else(|| rustix::io::Errno::BADMSG.into())
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The profiles that have a folder in `folder`, as everybody may look them up (Linux 4.13); the list is shown to root of the host only.
/// One that goes meanwhile is left out.
fn listed(folder: &Path) -> io::Result<Option<Vec<Confinement>>> {
    let absent = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
    let entries = match std::fs::read_dir(folder) {
        Err(error) if absent(&error) => return Ok(None),
        entries => entries?,
    };
    let mut list = Vec::new();
    for entry in entries {
        let place = entry?.path();
        let read = |file: &str| std::fs::read_to_string(place.join(file));
        let line = read("name").and_then(|name| Ok(format!("{} ({})", name.trim_end(), read("mode")?.trim_end())));
        match line {
            Err(error) if absent(&error) => {}
            line => list.push(Confinement::parse(&line?).ok_or(rustix::io::Errno::BADMSG)?),
        }
    }
    Ok(Some(list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mode;

    #[test]
    fn an_empty_sys_has_nothing() {
        let sys = tempfile::tempdir().unwrap();
        let support = Support::probe_at(sys.path()).unwrap();
        assert!(!support.enabled && support.loaded.is_none() && !support.stacking);
    }

    #[test]
    fn a_sys_with_apparmor() {
        let sys = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let path = sys.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        write("module/apparmor/parameters/enabled", "Y\n");
        write("kernel/security/apparmor/features/domain/stack", "yes\n");
        write("kernel/security/apparmor/profiles", "a (enforce)\n/usr/bin/man//filter (complain)\n");
        let support = Support::probe_at(sys.path()).unwrap();
        assert!(support.enabled && support.stacking);
        assert_eq!(support.find("a").map(|found| found.mode), Some(Mode::Enforce));
        assert_eq!(support.find("b"), None);
        std::fs::remove_file(sys.path().join("kernel/security/apparmor/profiles")).unwrap();
        write("kernel/security/apparmor/policy/profiles/b.c.12/name", "b.c\n");
        write("kernel/security/apparmor/policy/profiles/b.c.12/mode", "enforce\n");
        let support = Support::probe_at(sys.path()).unwrap();
        assert_eq!(support.find("b.c").unwrap().mode, Mode::Enforce);
        assert_eq!(support.find("a"), None);
        write("kernel/security/apparmor/profiles", "a\n");
        assert!(Support::probe_at(sys.path()).is_err());
    }
}
