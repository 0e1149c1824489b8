//! `--volume [SOURCE:]CONTAINER[:OPTIONS]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stockade_engine::request::{Access, Bind, Copying, Given, Missing, Propagation, VolumeMount};

use super::{Invalid, invalid, mount_target};

const FLAG: &str = "--volume";

/// One `--volume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    /// What it asks for.
    pub(crate) mount: Mount,
    /// Whether it asks for an SELinux label (`z`, `Z`), which this machine's containers do not have.
    pub(crate) relabel: bool,
}

/// What a `--volume` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mount {
    /// A path of the host.
    Bind(Bind),
    /// A volume.
    Volume(VolumeMount),
}

impl std::str::FromStr for Volume {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts.as_slice() {
            [target] => (None, *target, None),
            [source, target] => (Some(*source), *target, None),
            [source, target, options] => (Some(*source), *target, Some(*options)),
            _ => {
                return Err(invalid(
                    FLAG,
                    text,
                    "not of the form [SOURCE:]CONTAINER[:OPTIONS]; for a path with a colon use --mount",
                ));
            }
        };
        let target = mount_target(FLAG, text, target)?;
        let mount = match source {
            Some("") => return Err(invalid(FLAG, text, "nothing stands before the first colon")),
            Some(path) if path.starts_with(['/', '.']) => Mount::Bind(Bind {
                source: absolute(path)
                    .map_err(|error| invalid(FLAG, text, format!("the path of the host: {error}")))?,
                target,
                access: Access::ReadWrite,
                missing: Missing::MakeFolder,
                propagation: Propagation::default(),
                recursive: true,
                given: Given::Volume,
            }),
            name => Mount::Volume(volume(text, name, target)?),
        };
        let mut volume = Self { mount, relabel: false };
        if let Some(options) = options {
            volume.options(text, options)?;
        }
        Ok(volume)
    }
}

/// A volume without any option.
fn volume(text: &str, name: Option<&str>, target: PathBuf) -> Result<VolumeMount, Invalid> {
    let name = name.map(|name| name.parse().map_err(|error| invalid(FLAG, text, format!("{error}")))).transpose()?;
    Ok(VolumeMount {
        name,
        target,
        access: Access::ReadWrite,
        copy: Copying::Content,
        subpath: None,
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
        given: Given::Volume,
    })
}

impl Volume {
    /// Takes the comma separated options, one of each kind at most, as Docker does.
    fn options(&mut self, text: &str, options: &str) -> Result<(), Invalid> {
        let mut seen: Vec<&str> = Vec::new();
        for option in options.split(',') {
            let kind = match (option, &mut self.mount) {
                ("ro" | "rw", mount) => {
                    let access = if option == "ro" { Access::ReadOnly } else { Access::ReadWrite };
                    match mount {
                        Mount::Bind(bind) => bind.access = access,
                        Mount::Volume(volume) => volume.access = access,
                    }
                    "access"
                }
                ("z" | "Z", _) => {
                    self.relabel = true;
                    "label"
                }
                // A bind never copies.
                ("nocopy", Mount::Bind(_)) => "copy",
                ("nocopy", Mount::Volume(volume)) => {
                    volume.copy = Copying::Nothing;
                    "copy"
                }
                // No other consistency than the kernel's is to be had.
                ("consistent" | "cached" | "delegated", _) => "consistency",
                (_, Mount::Bind(bind)) => {
                    bind.propagation = propagation(option).ok_or_else(|| {
                        let known = "ro, rw, z, Z, nocopy, [r]private, [r]slave, [r]shared";
                        invalid(FLAG, text, format!("unknown option {option:?}: one of {known}"))
                    })?;
                    "propagation"
                }
                (_, Mount::Volume(_)) if propagation(option).is_some() => {
                    return Err(invalid(FLAG, text, format!("{option} goes with paths of the host, not with volumes")));
                }
                (_, Mount::Volume(_)) => {
                    let reason = format!("unknown option {option:?}: one of ro, rw, z, Z, nocopy");
                    return Err(invalid(FLAG, text, reason));
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

    fn bind(text: &str) -> Bind {
        match text.parse() {
            Ok(Volume { mount: Mount::Bind(bind), .. }) => bind,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn volume(text: &str) -> VolumeMount {
        match text.parse() {
            Ok(Volume { mount: Mount::Volume(volume), .. }) => volume,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn paths_of_the_host() {
        let plain = bind("/a:/b");
        assert_eq!((plain.source.to_str(), plain.target.to_str()), (Some("/a"), Some("/b")));
        assert_eq!((plain.access, plain.missing, plain.recursive), (Access::ReadWrite, Missing::MakeFolder, true));
        assert_eq!(bind("/a:/b:ro").access, Access::ReadOnly);
        let full = "/a:/b:ro,Z,rslave,nocopy,cached";
        assert_eq!((bind(full).access, bind(full).propagation), (Access::ReadOnly, Propagation::RecursiveSlave));
        assert!(full.parse::<Volume>().unwrap().relabel);
        assert_eq!(bind("./x:/b").source, std::env::current_dir().unwrap().join("x"));
    }

    #[test]
    fn volumes() {
        let plain = volume("data:/b");
        assert_eq!((plain.name.unwrap().as_str(), plain.target.to_str()), ("data", Some("/b")));
        assert_eq!((plain.access, plain.copy, plain.given), (Access::ReadWrite, Copying::Content, Given::Volume));
        let full = volume("data:/b:ro,nocopy,z,cached");
        assert_eq!((full.access, full.copy), (Access::ReadOnly, Copying::Nothing));
        let own = volume("/data");
        assert_eq!((own.name, own.target.to_str()), (None, Some("/data")));
    }

    #[test]
    fn what_volumes_do_not_take() {
        for (text, word) in [
            ("", "must be absolute"),
            ("data", "must be absolute"),
            ("a:/b", "too short"),
            ("a/b:/b", "invalid characters"),
            ("../x:/b:rx", "unknown option"),
            ("~/x:/b", "invalid characters"),
            (":/b", "first colon"),
            ("/a:b", "must be absolute"),
            ("/a:ro", "must be absolute"),
            ("/a:", "must be absolute"),
            ("/a:/b/../c", "'..'"),
            ("/a:/", "root"),
            ("data:/", "root"),
            ("/", "root"),
            ("/a://", "root"),
            ("/a:/b:", "unknown option \"\""),
            ("/a:/b:rx", "unknown option"),
            ("data:/b:rx", "unknown option"),
            ("data:/b:rslave", "not with volumes"),
            ("/a:/b:ro,rw", "comes after"),
            ("data:/b:nocopy,nocopy", "comes after"),
            ("/a:/b:slave,private", "comes after"),
            ("/a:/b:ro:ro", "SOURCE:"),
        ] {
            let error = text.parse::<Volume>().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(FLAG), "{text}: {error}");
        }
    }
}
