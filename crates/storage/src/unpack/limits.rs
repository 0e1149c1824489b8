//! The bounds of what a layer may hold: each far above the largest honest image known, so that what hits one is an
//! attack or a mistake.

/// The most entries. A layer with a million files is the largest seen (scientific and monorepo images); every entry costs
/// an inode of the host's file system, of which ext4 makes one per 16 KiB by default.
pub(crate) const MOST_ENTRIES: u64 = 2 << 20;

/// The most bytes of the names of a layer's opaque directories together, which are told to another process.
pub(crate) const MOST_OPAQUE_NAMES: usize = 1 << 20;

/// The most bytes that the names of a layer's directories take together, which are kept until its end. A million files are in
/// some hundred thousand directories with names of some sixty bytes.
pub(crate) const MOST_DIRECTORY_NAMES: usize = 64 << 20;

/// The most bytes of a layer's archive: registries take layers of some 10 GB compressed; images with machine learning
/// models and CUDA reach 30 GB uncompressed.
pub(crate) const LARGEST_LAYER: u64 = 128 << 30;

/// The longest name of an entry: the kernel's PATH_MAX without its zero byte.
pub(crate) const LONGEST_PATH: usize = 4095;

/// The most components of a name: the deepest honest trees (nested dependencies of Node programs) have some fifty.
pub(crate) const DEEPEST_PATH: usize = 256;
