//! `system COMMAND`: about everything that is kept.

pub(crate) mod check;
