//! Options of Docker's volume driver `local`, as far as they are supported.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Where the content of a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// In the volume's own folder.
    Own,
    /// In a folder of the host (`type=none`, `o=bind`, `device=PATH`), which is no more the volume's than any other bind's.
    Bind {
        /// The folder, absolute.
        device: PathBuf,
        /// Whether `o` has `ro`: then no container may write.
        read_only: bool,
    },
}

/// Options that ask for what is not supported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// An option that Docker does not know either.
    #[error("invalid volume option {0:?}: type, device and o are known")]
    Unknown(String),
    /// `size`.
    #[error("the volume option size is not supported: volumes have no quota; put them on a file system of that size")]
    Size,
    /// A file system that would have to be mounted on the host for as long as any container uses it.
    #[error(
        "volumes of type {0:?} are not supported, because nothing is mounted on the host: mount it there and give \
         type=none, o=bind and device=PATH; for memory use --tmpfs of each container"
    )]
    Type(String),
    /// `o` without `bind`, or with more than is known.
    #[error("the volume option o={0:?} is not supported: give bind, and ro where nobody may write")]
    Mount(String),
    /// `device` is missing, or no path of the host.
    #[error("the volume option device={0:?} must be an absolute path without '..' on the host")]
    Device(String),
}

impl Backing {
    /// What the options say. They are Docker's: `type`, `device` and `o`.
    ///
    /// # Errors
    /// See [`OptionError`].
    pub fn of(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        for key in options.keys() {
            match key.as_str() {
                "type" | "device" | "o" => {}
                "size" => return Err(OptionError::Size),
                _ => return Err(OptionError::Unknown(key.clone())),
            }
        }
        if options.is_empty() {
            return Ok(Self::Own);
        }
        let given = |key| options.get(key).map(String::as_str).unwrap_or_default();
        let (kind, how, device) = (given("type"), given("o"), given("device"));
        if !matches!(kind, "" | "none" | "bind") {
            return Err(OptionError::Type(kind.to_owned()));
        }
        let words: Vec<&str> = how.split(',').filter(|word| !word.is_empty()).collect();
        let binds = words.iter().any(|word| matches!(*word, "bind" | "rbind"));
        if !binds || !words.iter().all(|word| matches!(*word, "bind" | "rbind" | "ro" | "rw")) {
            return Err(OptionError::Mount(how.to_owned()));
        }
        let path = Path::new(device);
        let climbs = path.components().any(|part| part == Component::ParentDir);
        if !path.is_absolute() || climbs || device.contains('\0') {
            return Err(OptionError::Device(device.to_owned()));
        }
        Ok(Self::Bind { device: path.to_owned(), read_only: words.contains(&"ro") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[(&str, &str)]) -> Result<Backing, OptionError> {
        Backing::of(&options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn folders_of_the_host_and_nothing_else() {
        assert_eq!(of(&[]), Ok(Backing::Own));
        let bind = |read_only| Ok(Backing::Bind { device: "/srv/x".into(), read_only });
        assert_eq!(of(&[("type", "none"), ("o", "bind"), ("device", "/srv/x")]), bind(false));
        assert_eq!(of(&[("o", "rbind,ro"), ("device", "/srv/x")]), bind(true));
        for (options, word) in [
            (&[("type", "nfs"), ("o", "addr=1.2.3.4"), ("device", ":/x")][..], "nfs"),
            (&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")], "--tmpfs"),
            (&[("size", "1g")], "quota"),
            (&[("bogus", "1")], "bogus"),
            (&[("type", "none"), ("device", "/srv/x")], "bind"),
            (&[("type", "none"), ("device", "/srv/x"), ("o", "bind,suid")], "suid"),
            (&[("type", "none"), ("o", "bind")], "device"),
            (&[("type", "none"), ("o", "bind"), ("device", "srv")], "srv"),
            (&[("type", "none"), ("o", "bind"), ("device", "/srv/../etc")], "'..'"),
        ] {
            let error = of(options).unwrap_err().to_string();
            assert!(error.contains(word), "{options:?}: {error}");
        }
    }
}
