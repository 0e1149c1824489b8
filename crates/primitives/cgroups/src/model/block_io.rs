//! Block input and output.

use super::LimitError;

/// What can be asked of block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// The weight against sibling groups.
    pub weight: Option<IoWeight>,
    /// The weight of the group's own tasks against its child groups; only kernels with CFQ (before 5.0), v1.
    pub leaf_weight: Option<IoWeight>,
    /// Weights for single devices.
    pub device_weights: Vec<DeviceWeight>,
    /// Bytes read per second.
    pub read_bps: Vec<DeviceRate>,
    /// Bytes written per second.
    pub write_bps: Vec<DeviceRate>,
    /// Reads per second.
    pub read_iops: Vec<DeviceRate>,
    /// Writes per second.
    pub write_iops: Vec<DeviceRate>,
}

/// A block device by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

impl std::fmt::Display for BlockDevice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.major, self.minor)
    }
}

/// A relative weight: 10 to 1000, 500 being usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoWeight(u16);

impl IoWeight {
    /// # Errors
    /// [`LimitError::OutOfRange`] outside of 10..=1000. Zero is for callers "not asked".
    pub fn new(value: u16) -> Result<Self, LimitError> {
        match value {
            10..=1000 => Ok(Self(value)),
            _ => Err(LimitError::out_of_range("block io weight", value, "10 to 1000")),
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

/// A weight for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceWeight {
    /// The device.
    pub device: BlockDevice,
    /// The weight.
    pub weight: Option<IoWeight>,
    /// As [`BlockIo::leaf_weight`].
    pub leaf_weight: Option<IoWeight>,
}

/// A rate for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRate {
    /// The device. The kernel answers `ENODEV` if there is none of this number, or if it is a partition.
    pub device: BlockDevice,
    /// Bytes or operations per second; 0 removes the limit.
    pub rate: u64,
}
