//! Settings of the network namespace that the caller is in, below `/proc/sys/net`.

use std::path::PathBuf;

use stockade_kernel::procfs::Procfs;

use crate::KernelError;

/// Sets `name`, a path below `/proc/sys/net`.
pub(crate) fn set(name: &str, value: &str) -> Result<(), KernelError> {
    let failed = |source| KernelError::Setting { path: PathBuf::from(format!("/proc/sys/net/{name}")), source };
    let procfs = Procfs::host().map_err(failed)?;
    procfs.write_at(&format!("sys/net/{name}"), value.as_bytes()).map_err(failed)
}

/// What `name` is set to; `None` if the kernel has no such setting.
pub(crate) fn get(name: &str) -> Result<Option<String>, KernelError> {
    let failed = |source| KernelError::Setting { path: PathBuf::from(format!("/proc/sys/net/{name}")), source };
    match Procfs::host().and_then(|procfs| procfs.read_at(&format!("sys/net/{name}"))) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// What an interface does with IPv6: nothing at all, or no more than it was told, never what a router on its network advertises. A
/// kernel without IPv6 has nothing to set.
pub(crate) fn ipv6(interface: &str, enabled: bool) -> Result<(), KernelError> {
    let setting = |name: &str| format!("ipv6/conf/{interface}/{name}");
    if get(&setting("disable_ipv6"))?.is_none() {
        return Ok(());
    }
    set(&setting("accept_ra"), "0")?;
    // Addresses of the link are made of the hardware address, as the rules about senders expect ([`crate::firewall`]).
    set(&setting("addr_gen_mode"), "0")?;
    set(&setting("disable_ipv6"), if enabled { "0" } else { "1" })
}
