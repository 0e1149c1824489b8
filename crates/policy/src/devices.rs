//! `--device` and `--device-cgroup-rule`.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use stockade_spec::{Device, DeviceRule, DeviceType};

use crate::error::{PolicyError, invalid};

/// One `--device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFlag {
    /// On the host.
    pub host: PathBuf,
    /// In the container.
    pub container: PathBuf,
    /// Letters of `rwm`.
    pub access: String,
}

/// What a device file of the host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// Character or block.
    pub kind: DeviceType,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Its permissions.
    pub mode: u32,
}

/// How the caller looks at a device file of the host.
pub type Lookup<'a> = dyn Fn(&Path) -> io::Result<DeviceNode> + 'a;

impl FromStr for DeviceFlag {
    type Err = PolicyError;

    /// `HOST[:CONTAINER[:ACCESS]]`, or `HOST:ACCESS`.
    fn from_str(value: &str) -> Result<Self, PolicyError> {
        const FLAG: &str = "--device";
        let parts: Vec<&str> = value.split(':').collect();
        let (host, container, access) = match parts.as_slice() {
            [host] => (*host, *host, "rwm"),
            [host, access] if is_access(access) => (*host, *host, *access),
            [host, container] => (*host, *container, "rwm"),
            [host, container, access] => (*host, *container, *access),
            _ => return Err(invalid(FLAG, value, "too many parts")),
        };
        if !is_access(access) {
            return Err(invalid(FLAG, value, "the access must be letters of rwm"));
        }
        if !host.starts_with('/') || !container.starts_with('/') || value.contains('\0') {
            return Err(invalid(FLAG, value, "paths must be absolute"));
        }
        if Path::new(container).components().any(|part| part == std::path::Component::ParentDir) {
            return Err(invalid(FLAG, value, "the container's path must not have '..'"));
        }
        Ok(Self { host: host.into(), container: container.into(), access: access.to_owned() })
    }
}

impl DeviceFlag {
    /// The device file and the rule that lets the container use it.
    pub(crate) fn granted(&self, lookup: &Lookup<'_>) -> Result<(Device, DeviceRule), PolicyError> {
        let node = look(&self.host, lookup)?;
        let device = Device {
            path: self.container.clone(),
            kind: node.kind,
            major: Some(node.major),
            minor: Some(node.minor),
            file_mode: Some(node.mode & 0o777),
            uid: None,
            gid: None,
        };
        let rule = DeviceRule {
            allow: true,
            kind: Some(node.kind),
            major: Some(node.major),
            minor: Some(node.minor),
            access: Some(self.access.clone()),
        };
        Ok((device, rule))
    }
}

/// Looks at a device file of the host.
pub(crate) fn look(path: &Path, lookup: &Lookup<'_>) -> Result<DeviceNode, PolicyError> {
    lookup(path).map_err(|source| PolicyError::Device { path: path.display().to_string(), source })
}

/// One to three different letters of `rwm`.
fn is_access(access: &str) -> bool {
    let once = |letter| access.matches(letter).count() <= 1;
    !access.is_empty() && access.chars().all(|c| "rwm".contains(c)) && ['r', 'w', 'm'].into_iter().all(once)
}

/// Parses one `--device-cgroup-rule`: `TYPE MAJOR:MINOR ACCESS` with the type `a`, `b` or `c`, and `*` for every number.
///
/// # Errors
/// Anything else.
pub fn parse_rule(value: &str) -> Result<DeviceRule, PolicyError> {
    let wrong = |reason| invalid("--device-cgroup-rule", value, reason);
    let parts: Vec<&str> = value.split(' ').collect();
    let [kind, numbers, access] = parts.as_slice() else {
        return Err(wrong("not of the form TYPE MAJOR:MINOR ACCESS"));
    };
    let kind = match *kind {
        "a" => DeviceType::All,
        "b" => DeviceType::Block,
        "c" => DeviceType::Character,
        _ => return Err(wrong("the type must be a, b or c")),
    };
    let number = |text: &str| match text {
        "*" => Some(None),
        text if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<u32>().ok().map(|n| Some(i64::from(n))),
        _ => None,
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(|| wrong("the numbers must be MAJOR:MINOR"))?;
    let (Some(major), Some(minor)) = (number(major), number(minor)) else {
        return Err(wrong("the numbers must be digits or *"));
    };
    if !is_access(access) {
        return Err(wrong("the access must be letters of rwm"));
    }
    Ok(DeviceRule { allow: true, kind: Some(kind), major, minor, access: Some((*access).to_owned()) })
}
