//! `fuse-overlayfs(1)`: a root file system where the kernel does not mount overlays for ordinary users.
//!
//! It reads and writes the same marks as overlayfs does with `userxattr`, so that a container's folders are the same either way.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stockade_kernel::spawn;

use super::{ContainerRoot, MountError, MountedBy};

/// Where it is looked for.
const PLACES: [&str; 3] = ["/usr/bin/fuse-overlayfs", "/usr/local/bin/fuse-overlayfs", "/bin/fuse-overlayfs"];
/// How long it may take until the root is mounted.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// Mounts `root` by it, which the kernel refused for `refused`. It dies with the calling thread's process, and the mount with it.
///
/// # Errors
/// [`MountError::Unprivileged`] if it is not installed, and [`MountError::Fuse`] if it fails; nothing is left mounted.
pub(super) fn mount(root: &ContainerRoot, lowers: &[PathBuf], refused: io::Error) -> Result<MountedBy, MountError> {
    let Some(program) = PLACES.iter().map(PathBuf::from).find(|path| path.is_file()) else {
        return Err(MountError::Unprivileged { source: refused });
    };
    let failed = |how: String| MountError::Fuse { program: program.clone(), how };
    let folders = lowers.iter().chain([&root.upper, &root.work]);
    if let Some(odd) = folders.clone().find(|path| !is_plain(path)) {
        return Err(failed(format!("{} has a colon, a comma or a backslash, which it cannot be told", odd.display())));
    }
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let lowers: Vec<String> = lowers.iter().map(|path| text(path)).collect();
    let options = format!("lowerdir={},upperdir={},workdir={}", lowers.join(":"), text(&root.upper), text(&root.work));
    let before = device(&root.merged).map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(&program);
    command.env_clear().arg("-f").args(["-o", &options]).arg(&root.merged);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    spawn::unblock_signals(spawn::die_with_caller(&mut command));
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let until = Instant::now() + PATIENCE;
    loop {
        match (device(&root.merged), child.try_wait()) {
            (_, Ok(Some(status))) => return Err(failed(said(&mut child, &status.to_string()))),
            (Ok(now), _) if now != before => return Ok(MountedBy::Fuse(program)),
            _ if Instant::now() < until => std::thread::sleep(PAUSE),
            _ => break,
        }
    }
    let stopped = child.kill().and_then(|()| child.wait());
    let how = stopped.map_or_else(|error| error.to_string(), |_| "nothing was mounted in time".to_owned());
    Err(failed(how))
}

/// Which file system `path` is on.
fn device(path: &Path) -> io::Result<u64> {
    Ok(std::fs::symlink_metadata(path)?.dev())
}

/// Whether it means itself in the options.
fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.contains([':', ',', '\\']))
}

/// The last line of what it said, or else how it ended.
fn said(child: &mut Child, status: &str) -> String {
    use io::Read;
    let mut text = Vec::new();
    let read = child.stderr.take().map(|stderr| stderr.take(4096).read_to_end(&mut text));
    let line = String::from_utf8_lossy(&text).trim_end().lines().next_back().map(str::to_owned);
    match (read, line) {
        (Some(Ok(_)), Some(line)) if !line.is_empty() => line.escape_debug().to_string(),
        _ => status.to_owned(),
    }
}
