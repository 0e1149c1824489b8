//! A container in a folder of its own, from its bundle to the proof that nothing of it is left.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::{Call, Finished, Running};
use crate::leftovers::Search;

/// A bundle and the container that may run from it.
///
/// The configuration is written anew before every verb that reads it. Dropping it deletes the container by force and
/// fails the test if a process, cgroup, mount or state is left after that.
pub struct Bundle {
    folder: tempfile::TempDir,
    runtime: PathBuf,
    state: PathBuf,
    id: String,
    config: Value,
    raw: Option<String>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Bundle {
    /// Docker's posture on a copy of the busybox image, running `true`.
    #[must_use]
    pub fn busybox() -> Self {
        Self::of("busybox")
    }

    /// Docker's posture on a copy of the test image `name`, running `true`.
    ///
    /// # Panics
    /// If the image was not made, or the copy fails.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let image = crate::programs::image(name);
        assert!(image.is_dir(), "{} is missing: run `cargo xtask images`", image.display());
        let bundle = Self::empty();
        std::fs::remove_dir(bundle.rootfs()).expect("an empty folder can be removed");
        crate::tree::copy(&image, &bundle.rootfs()).expect("an image can be copied");
        bundle
    }

    /// Docker's posture on an empty root file system.
    ///
    /// # Panics
    /// If no folder can be made.
    #[must_use]
    pub fn empty() -> Self {
        let folder = tempfile::Builder::new().prefix("stockade-test-").tempdir().expect("a folder can be made");
        // A user namespace's root must be able to walk to the root file system.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(folder.path(), mode).expect("modes can be set");
        std::fs::create_dir(folder.path().join("rootfs")).expect("a folder can be made");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("stockade-test-{}-{number}", std::process::id());
        let config = crate::posture::docker(&format!("/{id}"), &["/bin/true"]);
        let state = folder.path().join("state");
        Self { runtime: crate::programs::runtime(), folder, state, id, config, raw: None }
    }

    /// Sets `process.args`.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.config["process"]["args"] = json!(arguments);
        self
    }

    /// Runs `script` by the image's shell.
    #[must_use]
    pub fn sh(self, script: &str) -> Self {
        self.args(&["/bin/sh", "-c", script])
    }

    /// Changes the configuration.
    #[must_use]
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }

    /// Writes `text` for a `config.json` instead of the configuration.
    #[must_use]
    pub fn raw(mut self, text: &str) -> Self {
        self.raw = Some(text.to_owned());
        self
    }

    /// Appends a mount.
    ///
    /// # Panics
    /// If the configuration has no list of mounts.
    #[must_use]
    pub fn mount(mut self, kind: &str, source: &str, destination: &str, options: &[&str]) -> Self {
        let one = json!({ "type": kind, "source": source, "destination": destination, "options": options });
        self.config["mounts"].as_array_mut().expect("mounts is a list").push(one);
        self
    }

    /// Removes the mount on `destination`.
    ///
    /// # Panics
    /// If the configuration has no list of mounts.
    #[must_use]
    pub fn without_mount(mut self, destination: &str) -> Self {
        self.config["mounts"].as_array_mut().expect("mounts is a list").retain(|one| one["destination"] != destination);
        self
    }

    /// Removes the namespace `kind`.
    ///
    /// # Panics
    /// If the configuration has no list of namespaces.
    #[must_use]
    pub fn without_namespace(mut self, kind: &str) -> Self {
        self.config["linux"]["namespaces"].as_array_mut().expect("a list").retain(|one| one["type"] != kind);
        self
    }

    /// Adds a namespace, for instance `json!({"type": "user"})`.
    ///
    /// # Panics
    /// If the configuration has no list of namespaces.
    #[must_use]
    pub fn namespace(mut self, one: Value) -> Self {
        self.config["linux"]["namespaces"].as_array_mut().expect("a list").push(one);
        self
    }

    /// Puts the probe at `/inside` of the root file system.
    ///
    /// # Panics
    /// If it is not built.
    #[must_use]
    pub fn with_inside(self) -> Self {
        std::fs::copy(crate::programs::built("inside"), self.rootfs().join("inside")).expect("the probe can be copied");
        self
    }

    /// Uses this runtime instead of the one under test.
    #[must_use]
    pub fn runtime(mut self, program: &Path) -> Self {
        self.runtime = program.to_owned();
        self
    }

    /// Shares the runtime's state folder with other bundles.
    #[must_use]
    pub fn state_in(mut self, folder: &Path) -> Self {
        self.state = folder.to_owned();
        self
    }

    /// The container's id; also the last part of its cgroup's path.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `linux.cgroupsPath`.
    ///
    /// # Panics
    /// If the configuration has none.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        self.config["linux"]["cgroupsPath"].as_str().expect("a path")
    }

    /// The configuration as it would be written.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The bundle's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The runtime's state folder.
    #[must_use]
    pub fn state_folder(&self) -> &Path {
        &self.state
    }

    /// The root file system on the host.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    /// Writes `config.json`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self) {
        let text = self.raw.clone().unwrap_or_else(|| self.config.to_string());
        std::fs::write(self.folder().join("config.json"), text).expect("config.json can be written");
    }

    /// The runtime with its `--root`, then `arguments`.
    #[must_use]
    pub fn call(&self, arguments: &[&str]) -> Call {
        Call::new(&self.runtime).arg("--root").arg(&self.state).args(arguments)
    }

    /// The same through a shell that first runs `prelude`, for instance `exec 5</etc/passwd`.
    #[must_use]
    pub fn call_after(&self, prelude: &str, arguments: &[&str]) -> Call {
        let script = format!("{prelude}; exec \"$0\" \"$@\"");
        let shell = Call::new("bash").args(["-c", &script]).arg(&self.runtime);
        shell.arg("--root").arg(&self.state).args(arguments)
    }

    /// `run` with more options, not yet started.
    #[must_use]
    pub fn run_call(&self, options: &[&str]) -> Call {
        self.write();
        let mut arguments = vec!["run"];
        arguments.extend(options);
        self.call(&arguments).arg("--bundle").arg(self.folder()).arg(&self.id)
    }

    /// `run` to the end.
    #[must_use]
    pub fn run(&self) -> Finished {
        self.run_call(&[]).run()
    }

    /// `run` in the foreground, not waited for.
    #[must_use]
    pub fn run_started(&self) -> Running {
        self.run_call(&[]).start()
    }

    /// `create`, not yet started.
    #[must_use]
    pub fn create_call(&self, options: &[&str]) -> Call {
        self.write();
        let mut arguments = vec!["create"];
        arguments.extend(options);
        self.call(&arguments).arg("--bundle").arg(self.folder()).arg(&self.id)
    }

    /// `create`.
    #[must_use]
    pub fn create(&self) -> Finished {
        self.create_call(&[]).run()
    }

    /// `start`.
    #[must_use]
    pub fn start(&self) -> Finished {
        self.call(&["start", &self.id]).run()
    }

    /// `run --detach`, which must succeed.
    #[must_use]
    #[track_caller]
    pub fn detached(self) -> Self {
        self.run_call(&["--detach"]).run().ok();
        self
    }

    /// `exec` of `arguments` in the container.
    #[must_use]
    pub fn exec(&self, arguments: &[&str]) -> Finished {
        self.exec_call(&[], arguments).run()
    }

    /// `exec` with options, not yet started.
    #[must_use]
    pub fn exec_call(&self, options: &[&str], arguments: &[&str]) -> Call {
        let mut whole = vec!["exec"];
        whole.extend(options);
        whole.push(&self.id);
        whole.extend(arguments);
        self.call(&whole)
    }

    /// `kill` with `signal`.
    #[must_use]
    pub fn kill(&self, signal: &str) -> Finished {
        self.call(&["kill", &self.id, signal]).run()
    }

    /// `delete`.
    #[must_use]
    pub fn delete(&self) -> Finished {
        self.call(&["delete", &self.id]).run()
    }

    /// `delete --force`.
    #[must_use]
    pub fn delete_by_force(&self) -> Finished {
        self.call(&["delete", "--force", &self.id]).run()
    }

    /// `state`, parsed.
    #[must_use]
    #[track_caller]
    pub fn state(&self) -> Value {
        self.call(&["state", &self.id]).run().ok().json()
    }

    /// The container's status by `state`.
    ///
    /// # Panics
    /// If there is no such container.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    /// The host's pid of the container's first process.
    ///
    /// # Panics
    /// If there is no such container.
    #[must_use]
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.state()["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid")
    }

    /// Waits until `state` says `status`.
    #[track_caller]
    pub fn until(&self, status: &str) {
        let what = format!("{} to be {status}", self.id);
        crate::call::eventually(&what, Duration::from_secs(20), || self.status() == status);
    }

    /// What is left of the container now, with three seconds for the kernel.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        self.search().settle()
    }

    /// Asserts that nothing of the container is left, without any deletion by the kit.
    ///
    /// # Panics
    /// If something is.
    #[track_caller]
    pub fn assert_gone(&self) {
        let found = self.leftovers();
        assert!(found.is_empty(), "left behind: {found:#?}");
    }

    fn search(&self) -> Search<'_> {
        Search { id: &self.id, folder: self.folder.path(), state: &self.state }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if self.search().look().is_empty() {
            return;
        }
        let deleted = self.call(&["delete", "--force", &self.id]).limit(Duration::from_secs(20)).start();
        let message = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| deleted.wait()));
        let found = self.search().settle();
        if found.is_empty() {
            return;
        }
        self.search().clean();
        let text = format!("left behind after `delete --force` ({:?}): {found:#?}", message.ok());
        if std::thread::panicking() { eprintln!("{text}") } else { panic!("{text}") }
    }
}
