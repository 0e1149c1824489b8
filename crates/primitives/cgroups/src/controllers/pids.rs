//! The number of tasks: `pids.max` in both worlds.

use crate::controller::Controllers;
use crate::model::Max;
use crate::plan::{Draft, PlanError};
use crate::write::{Expect, Write};

/// Plans the limit. Zero becomes one (see [`Limits::pids`](crate::model::Limits::pids)).
pub(super) fn write(draft: &mut Draft<'_>, limit: Option<Max>) -> Result<(), PlanError> {
    let Some(limit) = limit else { return Ok(()) };
    draft.version(Controllers::PIDS, "the limit on processes")?;
    let limit = if limit == Max::At(0) { Max::At(1) } else { limit };
    let write = Write::new("pids.max", limit.unified()).expecting(Expect::Bound(limit, 1));
    draft.write(Controllers::PIDS, write);
    Ok(())
}
