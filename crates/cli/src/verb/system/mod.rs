//! The commands about all that is kept.

pub(crate) mod check;
pub(crate) mod df;
pub(crate) mod prune;
pub(crate) mod resume;
