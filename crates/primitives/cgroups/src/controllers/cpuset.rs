//! Processors and memory nodes: `cpuset.cpus` and `cpuset.mems` in both worlds.
//!
//! On v1 a new group has none and can not be joined: what is not asked is copied down from the parent when the
//! group is made (see `group::create`).

use crate::controller::Controllers;
use crate::model::Cpuset;
use crate::plan::{Draft, PlanError};
use crate::write::{Expect, Write};

/// Plans the sets.
pub(super) fn write(draft: &mut Draft<'_>, cpuset: &Cpuset) -> Result<(), PlanError> {
    for (file, list, asked) in [
        ("cpuset.cpus", &cpuset.cpus, "the set of processors"),
        ("cpuset.mems", &cpuset.mems, "the set of memory nodes"),
    ] {
        if let Some(list) = list {
            draft.version(Controllers::CPUSET, asked)?;
            let write = Write::new(file, list).expecting(Expect::Ids(list.clone()));
            draft.write(Controllers::CPUSET, write);
        }
    }
    Ok(())
}
