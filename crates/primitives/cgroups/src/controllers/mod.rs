//! What each controller writes in either world, one file per controller.

mod block_io;
mod cpu;
mod cpuset;
pub(crate) mod devices;
mod memory;
mod pids;
mod special;

use crate::model::Limits;
use crate::plan::{Draft, PlanError};

/// Plans every limit, in the order in which they are written.
pub(crate) fn write_all(draft: &mut Draft<'_>, limits: &Limits) -> Result<(), PlanError> {
    cpuset::write(draft, &limits.cpuset)?;
    devices::write(draft, limits.devices.as_ref())?;
    memory::write(draft, &limits.memory)?;
    cpu::write(draft, &limits.cpu)?;
    pids::write(draft, limits.pids)?;
    block_io::write(draft, &limits.block_io)?;
    special::write_huge_pages(draft, &limits.huge_pages)?;
    special::write_rdma(draft, &limits.rdma)?;
    special::write_network(draft, &limits.network)?;
    special::write_unified(draft, &limits.unified)
}
