//! `--mount KEY=VALUE,...`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use stockade_engine::policy::limits::{Tmpfs, parse_size};
use stockade_engine::request::{Access, Bind, Copying, Given, Missing, Propagation, VolumeMount};

use super::pflag::boolean;
use super::volume::{absolute, propagation};
use super::{Invalid, csv, invalid, mount_target};

const FLAG: &str = "--mount";

/// One `--mount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mount {
    /// `type=bind`.
    Bind(Bind),
    /// `type=tmpfs`.
    Tmpfs(Tmpfs),
    /// `type=volume`, and without a type.
    Volume(VolumeMount),
}

impl std::str::FromStr for Mount {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fields = csv::fields(text).map_err(|error| invalid(FLAG, text, error.to_string()))?;
        let mut asked = Asked { text, ..Asked::default() };
        for field in &fields {
            asked.take(field)?;
        }
        asked.finish()
    }
}

/// `bind-recursive`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Recursion {
    /// Mounts below the source come along, read-only if the mount is.
    #[default]
    Enabled,
    /// They stay out.
    Disabled,
    /// They come along, and it is an error if they cannot be made read-only.
    ReadOnly,
}

/// The keys as they were given.
#[derive(Default)]
struct Asked<'a> {
    text: &'a str,
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    propagation: Option<Propagation>,
    recursion: Option<Recursion>,
    make_source: Option<bool>,
    size: Option<u64>,
    mode: Option<u32>,
    no_copy: Option<bool>,
    subpath: Option<PathBuf>,
    labels: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
    driver: bool,
}

impl Asked<'_> {
    fn wrong(&self, reason: impl Into<String>) -> Invalid {
        invalid(FLAG, self.text, reason)
    }

    /// The value of a key that stands for true when it has none.
    fn truth(&self, field: &str, value: Option<&str>) -> Result<bool, Invalid> {
        let Some(value) = value else { return Ok(true) };
        boolean(value).map_err(|error| self.wrong(format!("{field}: {error}")))
    }

    /// Takes one `KEY=VALUE` or `KEY`.
    fn take(&mut self, field: &str) -> Result<(), Invalid> {
        let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        match (key, value) {
            ("readonly" | "ro", value) => self.read_only = self.truth(field, value)?,
            ("bind-nonrecursive", value) => {
                let only = self.truth(field, value)?;
                self.recursion = Some(if only { Recursion::Disabled } else { Recursion::Enabled });
            }
            ("volume-nocopy", value) => self.no_copy = Some(self.truth(field, value)?),
            ("bind-create-src", value) => self.make_source = Some(self.truth(field, value)?),
            (_, None) => return Err(self.wrong(format!("{field:?} is not of the form KEY=VALUE"))),
            ("type", Some(value)) => self.kind = Some(value.to_ascii_lowercase()),
            ("source" | "src", Some(value)) => self.source = Some(value.to_owned()),
            ("target" | "dst" | "destination", Some(value)) => self.target = Some(value.to_owned()),
            // As Docker on Linux: accepted, and without an effect.
            ("consistency", Some("default" | "consistent" | "cached" | "delegated")) => {}
            (_, Some(value)) => return self.take_special(key, value),
        }
        Ok(())
    }

    /// Takes a key that one type of mount has.
    fn take_special(&mut self, key: &str, value: &str) -> Result<(), Invalid> {
        match key {
            "bind-propagation" => {
                let known = "[r]private, [r]slave, [r]shared";
                let wrong = || self.wrong(format!("bind-propagation={value}: one of {known}"));
                self.propagation = Some(propagation(&value.to_ascii_lowercase()).ok_or_else(wrong)?);
            }
            "bind-recursive" => {
                self.recursion = Some(match value {
                    "enabled" => Recursion::Enabled,
                    "disabled" => Recursion::Disabled,
                    "readonly" => Recursion::ReadOnly,
                    "writable" => {
                        return Err(self.wrong(
                            "bind-recursive=writable is not supported: what is below a read-only bind is read-only",
                        ));
                    }
                    _ => return Err(self.wrong(format!("bind-recursive={value}: one of enabled, disabled, readonly"))),
                });
            }
            "tmpfs-size" => {
                let size = parse_size(FLAG, value)
                    .map_err(|_other_words| self.wrong(format!("tmpfs-size={value}: not a size such as 64m")))?;
                self.size = Some(size);
            }
            "tmpfs-mode" => {
                let octal = !value.is_empty() && value.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
                let mode = u32::from_str_radix(value, 8).ok().filter(|mode| octal && *mode <= 0o7777);
                self.mode = Some(
                    mode.ok_or_else(|| self.wrong(format!("tmpfs-mode={value}: not an octal mode such as 1770")))?,
                );
            }
            "volume-subpath" if !value.is_empty() => self.subpath = Some(value.into()),
            "volume-label" => {
                let (key, value) = self.pair(key, value)?;
                self.labels.insert(key, value);
            }
            "volume-opt" => {
                let (key, value) = self.pair(key, value)?;
                self.options.insert(key, value);
            }
            "volume-driver" if value == "local" => self.driver = true,
            "volume-driver" => return Err(self.wrong(format!("volume-driver={value}: local is the only driver"))),
            _ if key.starts_with("image-") => {
                return Err(self.wrong(format!("{key}: images cannot be mounted in containers")));
            }
            _ => return Err(self.wrong(format!("unknown key {key:?}"))),
        }
        Ok(())
    }

    /// `KEY[=VALUE]` of a label or option.
    fn pair(&self, key: &str, text: &str) -> Result<(String, String), Invalid> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(self.wrong(format!("{key}={text}: not of the form KEY=VALUE")));
        }
        Ok((name.to_owned(), value.to_owned()))
    }

    /// The mount that the keys make up.
    fn finish(self) -> Result<Mount, Invalid> {
        let Some(target) = self.target.as_deref() else {
            return Err(self.wrong("target= is missing: where it is mounted in the container"));
        };
        let target = mount_target(FLAG, self.text, target)?;
        match self.kind.as_deref() {
            Some("bind") => self.bind(target).map(Mount::Bind),
            Some("tmpfs") => self.tmpfs(&target).map(Mount::Tmpfs),
            None | Some("volume") => self.volume(target).map(Mount::Volume),
            Some(other) => Err(self.wrong(format!("type={other}: bind, tmpfs and volume are supported"))),
        }
    }

    /// Refuses what only other types of mounts have.
    fn only(&self, kind: &str) -> Result<(), Invalid> {
        let binds = self.propagation.is_some() || self.recursion.is_some() || self.make_source.is_some();
        if binds && kind != "bind" {
            return Err(self.wrong(format!("bind- keys do not go with type={kind}")));
        }
        if (self.size.is_some() || self.mode.is_some()) && kind != "tmpfs" {
            return Err(self.wrong(format!("tmpfs-size and tmpfs-mode do not go with type={kind}")));
        }
        let given = [!self.labels.is_empty(), !self.options.is_empty(), self.driver, self.subpath.is_some()];
        if (self.no_copy.is_some() || given.contains(&true)) && kind != "volume" {
            return Err(self.wrong(format!("volume- keys do not go with type={kind}")));
        }
        Ok(())
    }

    fn volume(self, target: PathBuf) -> Result<VolumeMount, Invalid> {
        self.only("volume")?;
        let name = self.source.as_deref().filter(|name| !name.is_empty());
        Ok(VolumeMount {
            name: name.map(|name| name.parse().map_err(|error| self.wrong(format!("{error}")))).transpose()?,
            target,
            access: if self.read_only { Access::ReadOnly } else { Access::ReadWrite },
            copy: if self.no_copy == Some(true) { Copying::Nothing } else { Copying::Content },
            subpath: self.subpath,
            labels: self.labels,
            options: self.options,
            given: Given::Mount,
        })
    }

    fn bind(self, target: PathBuf) -> Result<Bind, Invalid> {
        self.only("bind")?;
        let recursion = self.recursion.unwrap_or_default();
        if recursion == Recursion::ReadOnly {
            // Docker's two conditions: otherwise it could not be held.
            if !self.read_only {
                return Err(self.wrong("bind-recursive=readonly needs readonly"));
            }
            if self.propagation.is_some_and(|propagation| propagation != Propagation::RecursivePrivate) {
                return Err(self.wrong("bind-recursive=readonly needs bind-propagation=rprivate"));
            }
        }
        let source = match self.source.as_deref() {
            None | Some("") => return Err(self.wrong("source= is missing: the path on the host")),
            Some(path) if path.starts_with('/') || path == "." || path.starts_with("./") => path,
            Some(path) => {
                return Err(self.wrong(format!("the path on the host, {path:?}, must be absolute or begin with ./")));
            }
        };
        Ok(Bind {
            source: absolute(source).map_err(|error| self.wrong(format!("source={source}: {error}")))?,
            target,
            access: if self.read_only { Access::ReadOnly } else { Access::ReadWrite },
            missing: if self.make_source == Some(true) { Missing::MakeFolder } else { Missing::Refuse },
            propagation: self.propagation.unwrap_or_default(),
            recursive: recursion != Recursion::Disabled,
            given: Given::Mount,
        })
    }

    fn tmpfs(self, target: &std::path::Path) -> Result<Tmpfs, Invalid> {
        self.only("tmpfs")?;
        if self.source.is_some() {
            return Err(self.wrong("type=tmpfs takes no source"));
        }
        let path = target.display().to_string();
        if path.contains(':') {
            return Err(self.wrong("the path of a tmpfs must not have a colon"));
        }
        let read_only = self.read_only.then(|| "ro".to_owned());
        let size = self.size.filter(|size| *size != 0).map(|size| format!("size={size}"));
        let mode = self.mode.map(|mode| format!("mode={mode:o}"));
        let options: Vec<String> = [read_only, size, mode].into_iter().flatten().collect();
        format!("{path}:{}", options.join(",")).parse().map_err(|error| self.wrong(format!("{error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> Bind {
        match text.parse() {
            Ok(Mount::Bind(bind)) => bind,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn tmpfs(text: &str) -> String {
        match text.parse() {
            Ok(Mount::Tmpfs(tmpfs)) => tmpfs.0.options.join(","),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn binds() {
        let plain = bind("type=bind,source=/a,target=/b");
        assert_eq!((plain.source.to_str(), plain.target.to_str()), (Some("/a"), Some("/b")));
        assert_eq!((plain.access, plain.missing, plain.recursive), (Access::ReadWrite, Missing::Refuse, true));
        assert_eq!(plain, bind("dst=/b,src=/a,type=BIND,ro=false,bind-recursive=enabled"));
        assert_eq!(plain, bind("destination=/b,src=/a,type=bind,consistency=cached,bind-propagation=rprivate"));
        assert_eq!(bind("type=bind,src=/a,dst=/b,readonly").access, Access::ReadOnly);
        assert_eq!(bind("type=bind,src=/a,dst=/b,ro=1").access, Access::ReadOnly);
        assert!(!bind("type=bind,src=/a,dst=/b,bind-nonrecursive").recursive);
        assert!(!bind("type=bind,src=/a,dst=/b,bind-recursive=disabled").recursive);
        assert!(bind("type=bind,src=/a,dst=/b,ro,bind-recursive=readonly").recursive);
        assert_eq!(bind("type=bind,src=/a,dst=/b,bind-propagation=rslave").propagation, Propagation::RecursiveSlave);
        assert_eq!(bind("type=bind,src=/a,dst=/b,bind-create-src").missing, Missing::MakeFolder);
        assert_eq!(bind("type=bind,\"src=/a,b\",dst=/c:d").source.to_str(), Some("/a,b"));
        assert_eq!(bind("type=bind,src=.,dst=/b").source, std::env::current_dir().unwrap());
    }

    #[test]
    fn tmpfs_mounts() {
        assert_eq!(tmpfs("type=tmpfs,target=/t"), "noexec,nosuid,nodev");
        assert_eq!(
            tmpfs("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770,ro"),
            "noexec,nosuid,nodev,ro,size=1048576,mode=1770"
        );
    }

    fn volume(text: &str) -> VolumeMount {
        match text.parse() {
            Ok(Mount::Volume(volume)) => volume,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn volumes() {
        let plain = volume("source=data,target=/b");
        assert_eq!(plain, volume("type=volume,src=data,dst=/b,volume-driver=local,volume-nocopy=false"));
        assert_eq!((plain.name.unwrap().as_str(), plain.copy, plain.given), ("data", Copying::Content, Given::Mount));
        let own = volume("type=volume,target=/b,readonly");
        assert_eq!((own.name, own.access), (None, Access::ReadOnly));
        let full = volume(
            "type=volume,src=data,dst=/b,volume-nocopy,volume-subpath=a/b,volume-label=x=y=z,volume-opt=type=none,\
             \"volume-opt=o=bind,ro\",volume-opt=device=/srv",
        );
        assert_eq!((full.copy, full.subpath), (Copying::Nothing, Some("a/b".into())));
        assert_eq!(full.labels.into_iter().collect::<Vec<_>>(), [("x".to_owned(), "y=z".to_owned())]);
        assert_eq!(
            full.options.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
            ["device=/srv", "o=bind,ro", "type=none"]
        );
    }

    #[test]
    fn what_mounts_do_not_take() {
        for (text, word) in [
            ("", "KEY=VALUE"),
            ("type=bind,source=/a", "target="),
            ("source=/a,target=/b", "invalid characters"),
            ("type=volume,source=../x,target=/b", "invalid characters"),
            ("type=volume,target=/b,volume-driver=nfs", "only driver"),
            ("type=volume,target=/b,volume-label==x", "KEY=VALUE"),
            ("type=volume,target=/b,volume-subpath=", "unknown key"),
            ("type=volume,target=/b,bind-propagation=rslave", "do not go"),
            ("type=volume,target=/b,tmpfs-size=1m", "do not go"),
            ("type=tmpfs,target=/b,volume-label=a", "do not go"),
            ("type=image,source=x,target=/b,image-subpath=x", "images cannot"),
            ("type=npipe,target=/b", "type=npipe"),
            ("type=bind,target=/b", "source="),
            ("type=bind,source=a,target=/b", "absolute"),
            ("type=bind,source=/a,target=b", "absolute"),
            ("type=bind,source=/a,target=/", "root"),
            ("type=bind,source=/a,target=/x/../y", "'..'"),
            ("type=bind,source=/a,target=/b,ro=maybe", "neither true nor false"),
            ("type=bind,source=/a,target=/b,bogus", "KEY=VALUE"),
            ("type=bind,source=/a,target=/b,bogus=1", "unknown key"),
            ("type=bind,source=/a,target=/b,volume-nocopy=true", "do not go"),
            ("type=bind,source=/a,target=/b,tmpfs-size=1m", "do not go"),
            ("type=bind,source=/a,target=/b,bind-propagation=x", "one of"),
            ("type=bind,source=/a,target=/b,bind-recursive=writable", "not supported"),
            ("type=bind,source=/a,target=/b,bind-recursive=readonly", "needs readonly"),
            ("type=bind,source=/a,target=/b,ro,bind-recursive=readonly,bind-propagation=rshared", "rprivate"),
            ("type=tmpfs,target=/b,source=/a", "no source"),
            ("type=tmpfs,target=/b,bind-propagation=rslave", "do not go"),
            ("type=tmpfs,target=/b,tmpfs-mode=9", "octal"),
            ("type=tmpfs,target=/b,tmpfs-size=x", "size"),
            ("type=bind,\"source=/a,target=/b", "quoted field"),
        ] {
            let error =
                text.parse::<Mount>().map_or_else(|error| error.to_string(), |mount| panic!("{text}: {mount:?}"));
            assert!(error.contains(word) && error.contains(FLAG), "{text}: {error}");
        }
    }
}
