//! Folders and files of the host in a container.

use std::path::{Component, Path, PathBuf};

use stockade_spec::Mount;

use crate::files::FileError;
use crate::inspect::MountPoint;
use crate::request::{Access, Bind, Missing, Propagation};

/// A bind that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Neither side may be relative or climb.
    #[error("invalid mount {source_path:?}:{target:?}: both paths must be absolute and without '..'")]
    Path {
        /// On the host.
        source_path: PathBuf,
        /// In the container.
        target: PathBuf,
    },
    /// Nothing can take the place of the container's root.
    #[error("invalid mount of {0:?}: the container's path cannot be '/'")]
    Root(PathBuf),
    /// What the container mounts cannot reach the host: its root is in a mount namespace that nothing leaves.
    #[error("invalid mount of {0:?}: shared propagation is not supported; use slave or private")]
    Shared(PathBuf),
    /// Two binds at one place.
    #[error("duplicate mount point: {0:?}")]
    Duplicate(PathBuf),
    /// The source is missing.
    #[error("bind source path does not exist: {}", .0.display())]
    Missing(PathBuf),
    /// The source could not be looked at or made.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Checks the binds against each other and the host; changes nothing.
pub(crate) fn check(binds: &[Bind]) -> Result<(), BindError> {
    for (number, bind) in binds.iter().enumerate() {
        if !is_plain(&bind.source) || !is_plain(&bind.target) {
            return Err(BindError::Path { source_path: bind.source.clone(), target: bind.target.clone() });
        }
        if bind.target.parent().is_none() {
            return Err(BindError::Root(bind.source.clone()));
        }
        if matches!(bind.propagation, Propagation::Shared | Propagation::RecursiveShared) {
            return Err(BindError::Shared(bind.source.clone()));
        }
        // Compared as paths: `/a/` and `/a` are the same.
        if binds[..number].iter().any(|other| other.target.components().eq(bind.target.components())) {
            return Err(BindError::Duplicate(bind.target.clone()));
        }
        if bind.missing == Missing::Refuse && !exists(&bind.source)? {
            return Err(BindError::Missing(bind.source.clone()));
        }
    }
    Ok(())
}

/// Makes the sources that are missing and may be, as Docker does: folders with mode 0755.
pub(crate) fn make_sources(binds: &[Bind]) -> Result<(), FileError> {
    for bind in binds.iter().filter(|bind| bind.missing == Missing::MakeFolder) {
        if !exists(&bind.source)? {
            use std::os::unix::fs::DirBuilderExt;
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&bind.source);
            made.map_err(FileError::at("make the folder", &bind.source))?;
        }
    }
    Ok(())
}

fn exists(path: &Path) -> Result<bool, FileError> {
    path.try_exists().map_err(FileError::at("look at", path))
}

/// Absolute, text, without `..` and zero bytes.
pub(crate) fn is_plain(path: &Path) -> bool {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    path.is_absolute() && !climbs && path.to_str().is_some_and(|text| !text.contains('\0'))
}

/// In [`MountPoint::bind_recursive`].
pub(crate) const NOT_RECURSIVE: &str = "disabled";

impl Bind {
    /// In OCI's words.
    pub(crate) fn mount(&self) -> Mount {
        let access: &[&str] = match (self.access, self.recursive) {
            (Access::ReadWrite, _) => &[],
            (Access::ReadOnly, true) => &["ro", "rro"],
            (Access::ReadOnly, false) => &["ro"],
        };
        let kind = if self.recursive { "rbind" } else { "bind" };
        bind(&self.source, &self.target, [kind, self.propagation.word()].iter().chain(access))
    }

    /// In Docker's words.
    pub(crate) fn mount_point(&self) -> MountPoint {
        MountPoint {
            kind: "bind".into(),
            name: String::new(),
            driver: String::new(),
            source: self.source.display().to_string(),
            destination: self.target.display().to_string(),
            mode: if self.access == Access::ReadOnly { "ro".into() } else { String::new() },
            rw: self.access == Access::ReadWrite,
            propagation: self.propagation.word().into(),
            bind_recursive: if self.recursive { String::new() } else { NOT_RECURSIVE.into() },
        }
    }

    /// As `HostConfig.Binds` has it.
    pub(crate) fn text(&self) -> String {
        let mode = if self.access == Access::ReadOnly { ":ro" } else { "" };
        format!("{}:{}{mode}", self.source.display(), self.target.display())
    }
}

/// A bind mount with these options.
pub(crate) fn bind<'a>(source: &Path, target: &Path, options: impl Iterator<Item = &'a &'a str>) -> Mount {
    Mount {
        destination: target.to_owned(),
        kind: Some("bind".into()),
        source: Some(source.to_owned()),
        options: options.map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

impl Propagation {
    /// The option's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::RecursivePrivate => "rprivate",
            Self::Private => "private",
            Self::RecursiveSlave => "rslave",
            Self::Slave => "slave",
            Self::RecursiveShared => "rshared",
            Self::Shared => "shared",
        }
    }

    /// The propagation that a record names.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        use Propagation::{Private, RecursivePrivate, RecursiveShared, RecursiveSlave, Shared, Slave};
        let all = [RecursivePrivate, Private, RecursiveSlave, Slave, RecursiveShared, Shared];
        all.into_iter().find(|one| one.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(source: &str, target: &str) -> Bind {
        Bind {
            source: source.into(),
            target: target.into(),
            access: Access::ReadOnly,
            missing: Missing::MakeFolder,
            propagation: Propagation::default(),
            recursive: true,
            given: crate::request::Given::Volume,
        }
    }

    #[test]
    fn paths_that_climb_or_replace_the_root_are_refused() {
        for (source, target) in [("etc", "/x"), ("/etc", "x"), ("/a/../b", "/x"), ("/a", "/x/../y"), ("/a", "/x\0")] {
            assert!(matches!(check(&[given(source, target)]), Err(BindError::Path { .. })), "{source} {target}");
        }
        for target in ["/", "//", "/."] {
            assert!(matches!(check(&[given("/a", target)]), Err(BindError::Root(_))), "{target}");
        }
        let twice = [given("/a", "/x"), given("/b", "/x/")];
        assert!(matches!(check(&twice), Err(BindError::Duplicate(_))));
        let shared = Bind { propagation: Propagation::RecursiveShared, ..given("/a", "/x") };
        assert!(matches!(check(&[shared]), Err(BindError::Shared(_))));
        let strict = Bind { missing: Missing::Refuse, ..given("/nonexistent/x", "/x") };
        assert!(matches!(check(&[strict]), Err(BindError::Missing(_))));
    }

    #[test]
    fn read_only_is_so_below_too() {
        assert_eq!(given("/a", "/x").mount().options, ["rbind", "rprivate", "ro", "rro"]);
        let flat = Bind { recursive: false, propagation: Propagation::Slave, ..given("/a", "/x") };
        assert_eq!(flat.mount().options, ["bind", "slave", "ro"]);
        let open = Bind { access: Access::ReadWrite, ..given("/a", "/x") };
        assert_eq!(open.mount().options, ["rbind", "rprivate"]);
        assert_eq!((open.text().as_str(), given("/a", "/x").text().as_str()), ("/a:/x", "/a:/x:ro"));
    }

    #[test]
    fn sources_are_made() {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("a/b");
        make_sources(&[given(source.to_str().unwrap(), "/x")]).unwrap();
        assert!(source.is_dir());
    }
}
