//! How answers look: tables, relative times, and Go's templates as far as Docker's users need them.

pub(crate) mod ago;
pub(crate) mod list;
pub(crate) mod progress;
pub(crate) mod size;
pub(crate) mod table;
pub(crate) mod template;
