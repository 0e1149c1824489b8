//! Which addresses the host reaches already.

use ipnet::IpNet;
use stockade_kernel::netlink::socket::Socket;

use crate::{KernelError, link};

/// The ranges that the routes of the main table lead to, without the way out of everything else.
///
/// # Errors
/// [`KernelError`].
pub fn used_subnets() -> Result<Vec<IpNet>, KernelError> {
    link::routes(&mut Socket::open()?)
}
