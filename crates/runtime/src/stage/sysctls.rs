//! Kernel parameters of the container's namespaces: `linux.sysctl`.

use std::io;

use rustix::io::Errno;
use stockade_kernel::procfs::Procfs;

use crate::plan::model::Sysctl;

/// A kernel parameter that is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("{path} is {found:?} after {value:?} was written")]
struct SysctlDiffers {
    path: String,
    value: String,
    found: String,
}

/// Writes the parameters through a procfs that the container can not have mounted anything over, and reads them back.
pub(super) fn write(procfs: &Procfs, sysctls: &[Sysctl]) -> io::Result<()> {
    let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for Sysctl { path, value } in sysctls {
        let file = format!("sys/{path}");
        let name = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
        procfs.write_at(&file, value.as_bytes()).map_err(name)?;
        let found = match procfs.read_at(&file) {
            // Some parameters are commands, which can only be written.
            Err(error) if error.raw_os_error() == Some(Errno::ACCESS.raw_os_error()) => continue,
            result => result.map_err(name)?,
        };
        let found = String::from_utf8_lossy(&found).trim_end().to_owned();
        if words(&found) != words(value) {
            return Err(io::Error::other(SysctlDiffers { path: path.clone(), value: value.clone(), found }));
        }
    }
    Ok(())
}
