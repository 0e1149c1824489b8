//! `policy COMMAND`: the organisation's policy of this machine.

pub(crate) mod check;
pub(crate) mod prove;
