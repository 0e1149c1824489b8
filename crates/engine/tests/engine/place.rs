//! A machine's folders for one test, and the search for what is left in and outside of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use stockade_engine::images::Reference;
use stockade_engine::{ContainerId, Engine, Force, OwnVolumes, Places, Request, Summary, Which, list, remove};
use stockade_testkit::programs;

/// Folders of one test's own.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) engine: Engine,
}

impl Place {
    pub(crate) fn new() -> Self {
        // Below /var/lib, where containers are by default: the file system must hold upper layers. Longer than a socket's name may be.
        let folder = tempfile::tempdir_in("/var/lib").unwrap();
        let deep = folder.path().join("a-folder-with-a-long-name".repeat(4));
        let programs = deep.join("programs");
        std::fs::create_dir_all(&programs).unwrap();
        for name in ["stake", "stockade-dns", "stockade-monitor", "stockade-init", "stockade-unpack"] {
            std::os::unix::fs::symlink(programs::built(name), programs.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), programs.join("stockade")).unwrap();
        let engine = Engine::open(Places {
            data: deep.join("data"),
            exec: deep.join("exec"),
            programs,
            runtime: None,
            cgroups: Default::default(),
        })
        .unwrap();
        Self { folder, engine }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A request for `command` in the busybox image.
    pub(crate) fn request(&self, command: &[&str]) -> Request {
        request(command)
    }

    /// The command line, about to be run with these words.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let places = self.engine.places();
        let mut command = Command::new(places.programs.join("stockade"));
        command.arg("--data-root").arg(&places.data).arg("--exec-root").arg(&places.exec).args(words);
        command.stdin(Stdio::null());
        command
    }

    /// What the command line says and does.
    pub(crate) fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub(crate) fn all(&self) -> Vec<Summary> {
        list(&self.engine, Which::All).unwrap()
    }

    pub(crate) fn one(&self, id: &ContainerId) -> Summary {
        self.all().into_iter().find(|summary| summary.id == *id).unwrap()
    }

    pub(crate) fn folder(&self, id: &ContainerId) -> PathBuf {
        self.engine.places().data.join("containers").join(id.as_str())
    }

    /// Removes every container by force and tells what is left.
    pub(crate) fn clear(&self) -> Vec<String> {
        let mut left = Vec::new();
        // Opened anew, as the next command would.
        let engine = Engine::open(self.engine.places().clone()).unwrap();
        let ids: Vec<ContainerId> = self.all().into_iter().map(|summary| summary.id).collect();
        for id in &ids {
            if let Err(error) = remove(&engine, id, Force::Kill, OwnVolumes::Keep) {
                left.push(format!("container {id}: {error} {:?}", std::error::Error::source(&error)));
            }
        }
        let places = self.engine.places();
        for folder in ["containers", "names", "unfinished"].map(|name| places.data.join(name)) {
            left.extend(entries(&folder));
        }
        // The cache of filters stays.
        left.extend(entries(&places.exec.join("runtime")).into_iter().filter(|path| !path.ends_with(".seccomp")));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(self.path().to_str().unwrap())).map(str::to_owned));
        for id in ids {
            let groups = stockade_testkit::cgroup::named(id.as_str());
            left.extend(groups.into_iter().map(|path| path.display().to_string()));
        }
        left
    }
}

pub(crate) fn entries(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect()
}

/// A request for `command` in the busybox image.
pub(crate) fn request(command: &[&str]) -> Request {
    Request {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        detached: true,
        ..Request::new(Reference::RootFs(programs::image("busybox")))
    }
}
