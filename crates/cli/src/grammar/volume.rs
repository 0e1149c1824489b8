//! `--volume HOST:CONTAINER[:OPTIONS]`.

use std::path::{Path, PathBuf};

use stockade_engine::request::{Access, Bind, Missing, Propagation};

use super::{Invalid, invalid, mount_target};

const FLAG: &str = "--volume";

/// One `--volume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    /// What it asks for.
    pub(crate) bind: Bind,
    /// Whether it asks for an SELinux label (`z`, `Z`), which this machine's containers do not have.
    pub(crate) relabel: bool,
}

impl std::str::FromStr for Volume {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts.as_slice() {
            [source, target] => (*source, *target, ""),
            [source, target, options] => (*source, *target, *options),
            [_] => {
                let reason = "anonymous volumes are not supported yet: give HOST:CONTAINER with an absolute path each";
                return Err(invalid(FLAG, text, reason));
            }
            _ => {
                return Err(invalid(
                    FLAG,
                    text,
                    "not of the form HOST:CONTAINER[:OPTIONS]; for a path with a colon use --mount",
                ));
            }
        };
        let target = mount_target(FLAG, text, target)?;
        let mut volume = Self {
            bind: Bind {
                source: source_path(text, source)?,
                target,
                access: Access::ReadWrite,
                missing: Missing::MakeFolder,
                propagation: Propagation::default(),
                recursive: true,
            },
            relabel: false,
        };
        if parts.len() == 3 {
            volume.options(text, options)?;
        }
        Ok(volume)
    }
}

impl Volume {
    /// Takes the comma separated options, one of each kind at most, as Docker does.
    fn options(&mut self, text: &str, options: &str) -> Result<(), Invalid> {
        let mut seen: Vec<&str> = Vec::new();
        for option in options.split(',') {
            let kind = match option {
                "ro" | "rw" => {
                    self.bind.access = if option == "ro" { Access::ReadOnly } else { Access::ReadWrite };
                    "access"
                }
                "z" | "Z" => {
                    self.relabel = true;
                    "label"
                }
                // A bind never copies, and no other consistency than the kernel's is to be had.
                "nocopy" => "copy",
                "consistent" | "cached" | "delegated" => "consistency",
                _ => {
                    self.bind.propagation = propagation(option).ok_or_else(|| {
                        let known = "ro, rw, z, Z, nocopy, [r]private, [r]slave, [r]shared";
                        invalid(FLAG, text, format!("unknown option {option:?}: one of {known}"))
                    })?;
                    "propagation"
                }
            };
            if seen.contains(&kind) {
                return Err(invalid(FLAG, text, format!("{option:?} comes after another option for {kind}")));
            }
            seen.push(kind);
        }
        Ok(())
    }
}

/// The host's path: absolute, or one that begins with `.`, which counts from the working directory.
fn source_path(text: &str, source: &str) -> Result<PathBuf, Invalid> {
    if source.is_empty() {
        return Err(invalid(FLAG, text, "no path of the host stands before the first colon"));
    }
    if !source.starts_with(['/', '.']) {
        return Err(invalid(
            FLAG,
            text,
            "named volumes are not supported yet: give an absolute path, or one that begins with ./",
        ));
    }
    absolute(source).map_err(|error| invalid(FLAG, text, format!("the path of the host: {error}")))
}

/// `path` from the root on.
///
/// # Errors
/// If there is no working directory.
pub(crate) fn absolute(path: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(Path::new(path))
}

/// The propagation by its name in `mount(8)`.
pub(crate) fn propagation(name: &str) -> Option<Propagation> {
    Some(match name {
        "private" => Propagation::Private,
        "rprivate" => Propagation::RecursivePrivate,
        "slave" => Propagation::Slave,
        "rslave" => Propagation::RecursiveSlave,
        "shared" => Propagation::Shared,
        "rshared" => Propagation::RecursiveShared,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Volume {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_volumes_ask_for() {
        let plain = parse("/a:/b").bind;
        assert_eq!((plain.source.to_str(), plain.target.to_str()), (Some("/a"), Some("/b")));
        assert_eq!((plain.access, plain.missing, plain.recursive), (Access::ReadWrite, Missing::MakeFolder, true));
        assert_eq!(parse("/a:/b:ro").bind.access, Access::ReadOnly);
        let full = parse("/a:/b:ro,Z,rslave,nocopy,cached");
        assert_eq!((full.bind.access, full.relabel), (Access::ReadOnly, true));
        assert_eq!(full.bind.propagation, Propagation::RecursiveSlave);
        assert_eq!(parse("./x:/b").bind.source, std::env::current_dir().unwrap().join("x"));
    }

    #[test]
    fn what_volumes_do_not_take() {
        for (text, word) in [
            ("", "anonymous"),
            ("/data", "anonymous"),
            ("data:/b", "named volumes"),
            (":/b", "no path of the host"),
            ("/a:b", "must be absolute"),
            ("/a:", "must be absolute"),
            ("/a:/b/../c", "'..'"),
            ("/a:/", "root"),
            ("/a://", "root"),
            ("/a:/b:", "unknown option \"\""),
            ("/a:/b:rx", "unknown option"),
            ("/a:/b:ro,rw", "comes after"),
            ("/a:/b:slave,private", "comes after"),
            ("/a:/b:ro:ro", "HOST:CONTAINER"),
        ] {
            let error = text.parse::<Volume>().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(FLAG), "{text}: {error}");
        }
    }
}
