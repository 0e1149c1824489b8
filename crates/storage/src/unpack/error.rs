//! Why a layer cannot be unpacked.

use std::borrow::Cow;
use std::io;

use serde::{Deserialize, Serialize};

use crate::tar::TarError;

use super::limits;

/// Why a layer cannot be unpacked. Everything that was unpacked of it is removed.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum UnpackError {
    /// The archive.
    #[error("read the layer's archive")]
    Archive(#[from] TarError),
    /// A name that leads out of the layer, or none at all.
    #[error("entry `{entry}` of the layer: the name {reason}")]
    Name {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// The target of a hard link, which must be an earlier entry of the same layer.
    #[error("entry `{entry}` of the layer is a hard link to `{target}`: {reason}")]
    HardLink {
        /// The entry.
        entry: String,
        /// What it links to.
        target: String,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// An owner that this user namespace has no number for.
    #[error(
        "entry `{entry}` of the layer belongs to user {uid} and group {gid}, which are not both mapped in this user namespace: \
         give who runs it more ids in /etc/subuid and /etc/subgid"
    )]
    Owner {
        /// The entry.
        entry: String,
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// An extended attribute that is not an image's to set.
    #[error("entry `{entry}` of the layer sets the extended attribute `{name}`, which images must not set")]
    Attribute {
        /// The entry.
        entry: String,
        /// The attribute.
        name: String,
    },
    /// A character device 0:0, which is how overlayfs writes "removed".
    #[error("entry `{0}` of the layer is the device 0:0, which is a whiteout of overlayfs and not for images to make")]
    WhiteoutDevice(String),
    /// More entries than any image has.
    #[error("the layer has more than {} entries", limits::MOST_ENTRIES)]
    TooManyEntries,
    /// More text in the names of directories than any image has.
    #[error("the layer has more than {} bytes in the names of its directories", limits::MOST_DIRECTORY_NAMES)]
    TooManyNames,
    /// More data than any layer has.
    #[error("the layer has more than {} bytes", limits::LARGEST_LAYER)]
    TooLarge,
    /// The kernel refused a step.
    #[error("entry `{entry}` of the layer: {step}")]
    Entry {
        /// The entry.
        entry: String,
        /// What was done.
        step: Cow<'static, str>,
        /// What the kernel said.
        #[serde(with = "crate::said")]
        source: io::Error,
    },
}
