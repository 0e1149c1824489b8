//! Device nodes: the six that every container has, then `linux.devices`.

use std::path::PathBuf;

use rustix::fs::FileType;
use stockade_spec::{Device, DeviceType};

use super::PlanError;
use super::error::absolute;
use super::model::DeviceNode;
use super::mounts::clean;

/// `config-linux.md`, "Default Devices": all characters, readable and writable for everyone.
pub(super) const STANDARD: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;
/// The bits of a mode that say what kind of file it is; engines written in C leave them in.
const KIND: u32 = 0o170_000;

/// Plans the nodes. A configured one takes the place of the standard one of its path.
pub(super) fn plan(devices: &[Device]) -> Result<Vec<DeviceNode>, PlanError> {
    let mut configured: Vec<DeviceNode> = Vec::new();
    for (index, device) in devices.iter().enumerate() {
        let node = node(&format!("linux.devices[{index}]"), device)?;
        match configured.iter().position(|other| other.path == node.path) {
            Some(first) if configured[first] == node => {}
            Some(_) => {
                let why = "the same path is given twice, for different devices";
                let path = format!("linux.devices[{index}].path");
                return Err(PlanError::conflict(path, node.path.display(), "linux.devices", why));
            }
            // The link that the specification demands is made there.
            None if node.path.as_os_str() == "/dev/ptmx" => {}
            None => configured.push(node),
        }
    }
    let standard = STANDARD.map(|(name, major, minor)| DeviceNode {
        path: PathBuf::from("/dev").join(name),
        kind: FileType::CharacterDevice,
        major,
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    });
    let mut nodes: Vec<_> =
        standard.into_iter().filter(|node| configured.iter().all(|c| c.path != node.path)).collect();
    nodes.append(&mut configured);
    Ok(nodes)
}

/// One configured node.
fn node(path: &str, device: &Device) -> Result<DeviceNode, PlanError> {
    let kind = match device.kind {
        DeviceType::Character | DeviceType::Unbuffered => FileType::CharacterDevice,
        DeviceType::Block => FileType::BlockDevice,
        DeviceType::Fifo => FileType::Fifo,
        DeviceType::All => return Err(PlanError::invalid(format!("{path}.type"), "a", "c, u, b or p")),
    };
    absolute(&format!("{path}.path"), &device.path)?;
    let file = clean(&format!("{path}.path"), &device.path)?;
    let (major, minor) = if kind == FileType::Fifo {
        (0, 0)
    } else {
        (
            number(&format!("{path}.major"), device.major, 4095)?,
            number(&format!("{path}.minor"), device.minor, 1_048_575)?,
        )
    };
    let mode = device.file_mode.unwrap_or(0o666);
    let of_kind = mode & KIND == 0 || mode & KIND == kind.as_raw_mode();
    if mode & !(PERMISSIONS | KIND) != 0 || !of_kind {
        let allowed = "permission bits, alone or with the type bits of the device's type";
        return Err(PlanError::invalid(format!("{path}.fileMode"), format!("{mode:#o}"), allowed));
    }
    let id = |name: &str, id: Option<u32>| match id {
        Some(u32::MAX) => Err(PlanError::invalid(format!("{path}.{name}"), u32::MAX, "at most 4294967294")),
        id => Ok(id.unwrap_or(0)),
    };
    let (uid, gid) = (id("uid", device.uid)?, id("gid", device.gid)?);
    Ok(DeviceNode { path: file, kind, major, minor, mode: mode & PERMISSIONS, uid, gid })
}

/// A device number.
fn number(path: &str, number: Option<i64>, highest: u32) -> Result<u32, PlanError> {
    let missing = || PlanError::Missing { path: path.to_owned(), why: "a device node has two numbers" };
    let number = number.ok_or_else(missing)?;
    let fits = u32::try_from(number).ok().filter(|number| *number <= highest);
    fits.ok_or_else(|| PlanError::invalid(path, number, format!("0 to {highest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(path: &str, kind: DeviceType, major: i64, minor: i64) -> Device {
        let path = PathBuf::from(path);
        Device { path, kind, major: Some(major), minor: Some(minor), file_mode: None, uid: None, gid: None }
    }

    #[test]
    fn configured_nodes_follow_the_standard_ones() {
        let fuse = Device { file_mode: Some(0o20_640), ..device("/dev/../dev/fuse", DeviceType::Character, 10, 229) };
        let nodes = plan(&[fuse.clone(), fuse, device("/dev/ptmx", DeviceType::Character, 5, 2)]).unwrap();
        assert_eq!(nodes.len(), 7);
        assert_eq!((nodes[6].path.to_str(), nodes[6].mode), (Some("/dev/fuse"), 0o640));
        let nodes = plan(&[device("/dev/null", DeviceType::Unbuffered, 1, 3)]).unwrap();
        assert_eq!(nodes.len(), 6);
        assert_eq!(nodes[5].path.to_str(), Some("/dev/null"));
    }

    #[test]
    fn what_is_no_node_is_refused() {
        let good = device("/dev/x", DeviceType::Block, 8, 0);
        for (wrong, field) in [
            (device("dev/x", DeviceType::Block, 8, 0), "path"),
            (device("/dev/..", DeviceType::Block, 8, 0), "path"),
            (device("/dev/x", DeviceType::All, 8, 0), "type"),
            (device("/dev/x", DeviceType::Block, -1, 0), "major"),
            (device("/dev/x", DeviceType::Block, 4096, 0), "major"),
            (device("/dev/x", DeviceType::Block, 1, 1 << 20), "minor"),
            (Device { minor: None, ..good.clone() }, "minor"),
            (Device { file_mode: Some(0o20_666), ..good.clone() }, "fileMode"),
            (Device { file_mode: Some(1 << 26), ..good.clone() }, "fileMode"),
            (Device { gid: Some(u32::MAX), ..good.clone() }, "gid"),
        ] {
            assert_eq!(plan(&[wrong]).unwrap_err().path(), format!("linux.devices[0].{field}"));
        }
        let other = device("/dev/x", DeviceType::Block, 8, 1);
        assert_eq!(plan(&[good, other]).unwrap_err().path(), "linux.devices[1].path");
    }
}
