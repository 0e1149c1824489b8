//! Huge pages, RDMA, network marks and verbatim cgroup v2 values.

use super::{LimitError, Max};

/// A limit on huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugePageLimit {
    size: String,
    bytes: u64,
    /// The most bytes in such pages.
    pub limit: u64,
}

impl HugePageLimit {
    /// A limit in bytes for pages of `size`, for instance `64KB`, `2MB`, `1GB`, written as the kernel does.
    ///
    /// # Errors
    /// [`LimitError::Malformed`] if `size` is not of that form. Whether the kernel has pages of that size shows when it is written.
    pub fn new(size: &str, limit: u64) -> Result<Self, LimitError> {
        let malformed = || LimitError::malformed("huge page size", size, "a power of two with KB, MB or GB, like 2MB");
        let unit = size.len().checked_sub(2).and_then(|at| size.split_at_checked(at)).ok_or_else(malformed)?;
        let (count, shift) = match unit {
            (count, "KB") => (count, 10),
            (count, "MB") => (count, 20),
            (count, "GB") => (count, 30),
            _ => return Err(malformed()),
        };
        let plain = !count.is_empty() && count.len() <= 4 && count.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = count.parse().ok().filter(|_| plain).ok_or_else(malformed)?;
        if !number.is_power_of_two() || count.starts_with('0') {
            return Err(malformed());
        }
        Ok(Self { size: size.to_owned(), bytes: number << shift, limit })
    }

    /// The size as the kernel's files name it.
    #[must_use]
    pub fn size(&self) -> &str {
        &self.size
    }

    /// The size in bytes.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        self.bytes
    }
}

/// A limit on one RDMA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdmaLimit {
    device: String,
    /// The most handles.
    pub handles: Option<Max>,
    /// The most objects.
    pub objects: Option<Max>,
}

impl RdmaLimit {
    /// A limit for `device`, for instance `mlx5_1`.
    ///
    /// # Errors
    /// [`LimitError::Malformed`] for a name with other than letters, digits, `_`, `-` and `.`; [`LimitError::Conflict`]
    /// if nothing is limited.
    pub fn new(device: &str, handles: Option<Max>, objects: Option<Max>) -> Result<Self, LimitError> {
        if !is_name(device, 64) {
            return Err(LimitError::malformed("rdma device", device, "a device name like mlx5_1"));
        }
        if handles.is_none() && objects.is_none() {
            let why = "at least one of the two must be given";
            return Err(LimitError::Conflict { first: "rdma handles", second: "rdma objects", why });
        }
        Ok(Self { device: device.to_owned(), handles, objects })
    }

    /// The device's name.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }
}

/// Marks on the packets of the group; cgroup v1 only, refused on v2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The class id for `tc` and netfilter: `0xAAAABBBB`, major and minor.
    pub class_id: Option<u32>,
    /// Priorities, per interface.
    pub priorities: Vec<InterfacePriority>,
}

/// The priority of packets over one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfacePriority {
    interface: String,
    /// The priority.
    pub priority: u32,
}

impl InterfacePriority {
    /// A priority for the interface named `interface` in the network namespace of the writer.
    ///
    /// # Errors
    /// [`LimitError::Malformed`] for what can not be an interface's name.
    pub fn new(interface: &str, priority: u32) -> Result<Self, LimitError> {
        let bad = |byte: u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || byte == b'/';
        if interface.is_empty() || interface.len() > 15 || interface.bytes().any(bad) {
            return Err(LimitError::malformed("network interface", interface, "an interface name of 1 to 15 bytes"));
        }
        Ok(Self { interface: interface.to_owned(), priority })
    }

    /// The interface's name.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }
}

/// A file of cgroup v2 and what to write to it, as the runtime specification's `unified`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnifiedValue {
    file: String,
    value: String,
}

impl UnifiedValue {
    /// The controllers whose files may be named.
    pub const CONTROLLERS: [&'static str; 9] =
        ["cpu", "cpuset", "dmem", "hugetlb", "io", "memory", "misc", "pids", "rdma"];

    /// A value for `file`, which is `CONTROLLER.name`, `cgroup.max.depth` or `cgroup.max.descendants`.
    ///
    /// # Errors
    /// [`LimitError::Malformed`] for any other file (those that move, kill or freeze processes among them) and for a
    /// value with NUL.
    pub fn new(file: &str, value: &str) -> Result<Self, LimitError> {
        let controller = file.split_once('.').map_or("", |(controller, _)| controller);
        let group_wide = matches!(file, "cgroup.max.depth" | "cgroup.max.descendants");
        if !is_name(file, 128) || !(group_wide || Self::CONTROLLERS.contains(&controller)) {
            let form = "a file of a cgroup v2 controller, like memory.high";
            return Err(LimitError::malformed("unified key", file, form));
        }
        if value.is_empty() || value.contains('\0') {
            return Err(LimitError::malformed("unified value", value, "a text without NUL"));
        }
        Ok(Self { file: file.to_owned(), value: value.to_owned() })
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The controller's name, `cgroup` for the two files of the group itself.
    #[must_use]
    pub fn controller(&self) -> &str {
        self.file.split_once('.').map_or(&self.file, |(controller, _)| controller)
    }
}

/// Letters, digits, `_`, `-` and `.`, not beginning with a dot.
fn is_name(text: &str, longest: usize) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !text.is_empty() && text.len() <= longest && !text.starts_with('.') && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_page_sizes() {
        assert_eq!(HugePageLimit::new("2MB", 0).unwrap().page_bytes(), 2 << 20);
        assert_eq!(HugePageLimit::new("1GB", 0).unwrap().page_bytes(), 1 << 30);
        for size in ["", "MB", "3MB", "2mb", "2M", "-2MB", "02MB", "2MB/..", "99999MB", "\u{20ac}", "2\u{e4}"] {
            assert!(HugePageLimit::new(size, 0).is_err(), "{size}");
        }
    }

    #[test]
    fn unified_keys() {
        assert_eq!(UnifiedValue::new("memory.high", "1").unwrap().controller(), "memory");
        assert!(UnifiedValue::new("cgroup.max.depth", "3").is_ok());
        for key in
            ["", "memory", "../memory.max", "memory.max/x", "cgroup.procs", "cgroup.kill", "cgroup.freeze", "x.y"]
        {
            assert!(UnifiedValue::new(key, "1").is_err(), "{key}");
        }
    }
}
