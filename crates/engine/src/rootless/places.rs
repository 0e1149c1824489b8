//! The folders of an ordinary user, and whether anybody else could have had a hand in where they are.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::process::{getegid, geteuid};

use crate::files::FileError;

/// The most symbolic links on one path (`path_resolution(7)`).
const MOST_LINKS: usize = 40;
/// `S_ISVTX`: what is in the folder is its owner's to rename and remove.
const STICKY: u32 = 0o1000;
/// The id that stands for ids without one of their own here (`/proc/sys/kernel/overflowuid`).
const UNMAPPED: u32 = 65534;

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A file could not be looked at, or a folder not made.
    #[error(transparent)]
    File(#[from] FileError),
    /// The environment does not say where the user's files are.
    #[error("HOME is no absolute path: set it, or give --data-root and --exec-root")]
    NoHome,
    /// Somebody else could put another folder in the place of one.
    #[error(
        "{} is not used: {} can be changed by others (owner {owner}, mode {mode:04o}); use another folder, or take the right to write \
         from them",
        path.display(), at.display()
    )]
    Open {
        /// What was to be used.
        path: PathBuf,
        /// The folder or link on the way there.
        at: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permissions.
        mode: u32,
    },
    /// The folder itself belongs to somebody else, or is none.
    #[error("{} is not used: it belongs to user {owner}, or is no folder; use another one", path.display())]
    Foreign {
        /// What was to be used.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others can enter the folder.
    #[error("the folder {} has mode {mode:04o}: others must have no access to it; chmod 700 it", path.display())]
    Accessible {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// Where the user's things are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) data: PathBuf,
    pub(super) exec: PathBuf,
}

/// The folders that were given, or the user's own: `$XDG_DATA_HOME/stockade` (`~/.local/share/stockade`), and
/// `$XDG_RUNTIME_DIR/stockade` (`/run/user/UID/stockade`, or a folder of this boot in the data folder). They are made, with real paths.
pub(super) fn choose(data: Option<PathBuf>, exec: Option<PathBuf>) -> Result<Chosen, PlaceError> {
    let absolute = |path: PathBuf| std::path::absolute(&path).map_err(FileError::at("use the folder", &path));
    let data = match data {
        Some(path) => absolute(path)?,
        None => from_environment("XDG_DATA_HOME")
            .or_else(|| Some(from_environment("HOME")?.join(".local/share")))
            .ok_or(PlaceError::NoHome)?
            .join("stockade"),
    };
    let data = own_folder(&data)?;
    let exec = match exec {
        Some(path) => absolute(path)?,
        None => match from_environment("XDG_RUNTIME_DIR").or_else(usual_runtime_folder) {
            Some(folder) => folder.join("stockade"),
            None => data.join(format!("exec-{}", boot_id()?)),
        },
    };
    Ok(Chosen { exec: own_folder(&exec)?, data })
}

/// An absolute path of the environment: others are to be ignored (XDG Base Directory Specification).
fn from_environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The folder that systemd makes at login, which `su` and `sudo` tell nobody of.
fn usual_runtime_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(format!("/run/user/{}", geteuid().as_raw()));
    folder.is_dir().then_some(folder)
}

fn boot_id() -> Result<String, FileError> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(std::fs::read_to_string(path).map_err(FileError::at("read", path))?.trim().to_owned())
}

/// The real path of a folder that is the user's and nobody else's, made with mode 0700 if it is missing.
pub(super) fn own_folder(path: &Path) -> Result<PathBuf, PlaceError> {
    // What is made is made where nobody else can write, and looked at again.
    walk(path, path)?;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(FileError::at("make the folder", path))?;
    let real = walk(path, path)?;
    let found = std::fs::symlink_metadata(&real).map_err(FileError::at("look at", &real))?;
    if found.uid() != geteuid().as_raw() || !found.is_dir() {
        return Err(PlaceError::Foreign { path: real, owner: found.uid() });
    }
    // Others may at most pass: 0711 and 0710 are what a user namespace's root needs on the way to a root file system.
    let mode = found.mode() & 0o7777;
    if mode & 0o067 != 0 { Err(PlaceError::Accessible { path: real, mode }) } else { Ok(real) }
}

/// Goes from `/` to `path`, by links too, as far as it is there; the path without links. Refuses it where on the way anybody but the user
/// and root could have put what was found, or could put another thing there.
fn walk(path: &Path, asked: &Path) -> Result<PathBuf, PlaceError> {
    let mut rest: Vec<OsString> = names(path);
    let (mut here, mut links) = (PathBuf::from("/"), 0);
    while let Some(name) = rest.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let folder = std::fs::symlink_metadata(&here).map_err(FileError::at("look at", &here))?;
        let next = here.join(&name);
        let found = match std::fs::symlink_metadata(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.map_err(FileError::at("look at", &next))?),
        };
        let owned = found.as_ref().is_none_or(|found| is_trusted(found.uid()));
        let open = |found: &std::fs::Metadata, at: &Path| PlaceError::Open {
            path: asked.to_owned(),
            at: at.to_owned(),
            owner: found.uid(),
            mode: found.mode() & 0o7777,
        };
        if !is_trusted(folder.uid()) || others_write(&folder) && folder.mode() & STICKY == 0 {
            return Err(open(&folder, &here));
        }
        match found {
            None => {
                // Nothing there, nor below it.
                here = next;
                here.extend(rest.iter().rev());
                return Ok(here);
            }
            Some(found) if !owned => return Err(open(&found, &next)),
            Some(found) if found.is_symlink() => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(FileError::at("follow the links of", asked)(rustix::io::Errno::LOOP).into());
                }
                let target = std::fs::read_link(&next).map_err(FileError::at("read the link", &next))?;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                rest.extend(names(&target));
            }
            Some(_) => here = next,
        }
    }
    Ok(here)
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

/// The user, and root; in a user namespace also whoever has no id there, as root of the host.
fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == geteuid().as_raw() || owner == UNMAPPED && super::is_here().unwrap_or(false)
}

/// Whether somebody else may make and remove what is in the folder. The user's own group counts as the user: that of most
/// distributions has nobody else in it.
fn others_write(folder: &std::fs::Metadata) -> bool {
    let group = folder.gid();
    folder.mode() & 0o002 != 0 || folder.mode() & 0o020 != 0 && group != 0 && group != getegid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(path: &Path, mode: u32) {
        std::fs::create_dir_all(path).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_missing_folder_is_made_for_the_user_alone() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().canonicalize().unwrap();
        assert_eq!(own_folder(&real.join("a/b")).unwrap(), real.join("a/b"));
        assert_eq!(std::fs::metadata(real.join("a/b")).unwrap().mode() & 0o7777, 0o700);
        folder(&real.join("a/b"), 0o755);
        assert!(matches!(own_folder(&real.join("a/b")), Err(PlaceError::Accessible { mode: 0o755, .. })));
    }

    #[test]
    fn what_others_can_write_is_not_passed() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().canonicalize().unwrap();
        folder(&real.join("open"), 0o777);
        folder(&real.join("mine"), 0o700);
        assert!(matches!(own_folder(&real.join("open/x")), Err(PlaceError::Open { mode: 0o777, .. })));
        // A link of the user's own is followed, and so is where it leads looked at.
        std::os::unix::fs::symlink("mine", real.join("link")).unwrap();
        assert_eq!(own_folder(&real.join("link/x")).unwrap(), real.join("mine/x"));
        std::os::unix::fs::symlink("../open/y", real.join("mine/link")).unwrap();
        assert!(matches!(own_folder(&real.join("link/link")), Err(PlaceError::Open { .. })));
        // As in /tmp: nobody takes what is the user's there.
        folder(&real.join("open"), 0o1777);
        assert_eq!(own_folder(&real.join("open/x")).unwrap(), real.join("open/x"));
        std::os::unix::fs::symlink("self", real.join("self")).unwrap();
        assert!(matches!(own_folder(&real.join("self")), Err(PlaceError::File(_))));
    }
}
