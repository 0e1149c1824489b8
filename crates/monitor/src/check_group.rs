//! The control group of the container's health checks, below its own. Whatever a check has started is in it, also what has left its session and its
//! parents, and is ended by it. The runtime removes it with the container's.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use stockade_monitor::group::{Groups, Place, Version};

/// Its name.
const NAME: &str = "stockade-health";

/// How often it is looked whether all stands still, and how long lies in between.
const LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// The group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckGroup(Place);

impl CheckGroup {
    /// Makes it below that of the container `id`, whose first process is `pid` and has not begun. `None` where the container has no group by which
    /// processes can be ended.
    ///
    /// # Errors
    /// As `mkdir(2)` and reading of `/proc`.
    pub(crate) fn make(pid: i32, id: &str) -> io::Result<Option<Self>> {
        let Some(mut place) = Groups::of(pid)?.apart_from_this_process()?.of_all() else { return Ok(None) };
        // A path that ends with the id, or a scope of systemd's.
        let scope = format!("stockade-{id}.scope");
        if !place.path.components().any(|part| part.as_os_str() == id || part.as_os_str() == scope.as_str()) {
            return Ok(None);
        }
        place.path.push(NAME);
        match std::fs::create_dir(&place.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Some(Self(place))),
        }
    }

    /// What a runtime's `exec --cgroup` takes for it.
    pub(crate) fn word(&self) -> String {
        match self.0.version {
            Version::V1 => format!("freezer:{NAME}"),
            Version::V2 => NAME.to_owned(),
        }
    }

    /// Ends all that is in it.
    ///
    /// # Errors
    /// As writing to the kernel's files; `TimedOut` if something of it could not be made to stand still, and was told to end all the same.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let file = |name: &str| self.0.path.join(name);
        match self.0.version {
            Version::V2 => write(&file("cgroup.kill"), "1"),
            // Who stands still starts nobody, and ends when he goes on.
            Version::V1 => {
                write(&file("freezer.state"), "FROZEN")?;
                let still = self.stands_still();
                let killed = self.kill_each();
                write(&file("freezer.state"), "THAWED")?;
                killed?;
                if still { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
            }
        }
    }

    fn stands_still(&self) -> bool {
        (0..LOOKS).any(|look| {
            if look > 0 {
                std::thread::sleep(PAUSE);
            }
            self.0.text("freezer.state").is_some_and(|state| state.trim() == "FROZEN")
        })
    }

    fn kill_each(&self) -> io::Result<()> {
        for line in std::fs::read_to_string(self.0.path.join("cgroup.procs"))?.lines() {
            let Some(pid) = line.parse().ok().and_then(Pid::from_raw) else { continue };
            match kill_process(pid, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// One write: the kernel takes each as a whole.
fn write(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    std::fs::File::options().write(true).open(path)?.write_all(text.as_bytes())
}
