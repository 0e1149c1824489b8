//! The engine under test, with folders of its own, and the proof that nothing of its containers is left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::call::{Call, Finished, Running};
use crate::leftovers::{Found, Search};

/// `stockade` with a data root and an exec root in a folder that is its own.
///
/// Dropping it removes all containers by force and fails the test if a process, cgroup, mount or folder of any container
/// that it ever saw is left after that.
pub struct Stockade {
    folder: tempfile::TempDir,
    image: String,
    seen: Mutex<BTreeSet<String>>,
    default_network: Option<&'static str>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Stockade {
    /// Without containers, and with the busybox image, as an OCI layout, for its image.
    ///
    /// # Panics
    /// If no folder can be made.
    #[must_use]
    pub fn new() -> Self {
        Self::with_image(&reference("oci"))
    }

    /// The same with another image.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn with_image(image: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("stockade-test-cli-").tempdir().expect("a folder can be made");
        // A user namespace's root must be able to walk to the root file system.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(folder.path(), mode).expect("modes can be set");
        Self { folder, image: image.to_owned(), seen: Mutex::default(), default_network: Some("none") }
    }

    /// The same with Debian's image, whose layers, which are large, are unpacked already.
    ///
    /// # Panics
    /// As [`Self::new`], and if no container of it runs.
    #[must_use]
    pub fn with_debian() -> Self {
        let stockade = Self::with_image(&named_reference("debian", "oci"));
        stockade.run_call(&[], &["true"]).limit(Duration::from_secs(600)).run().ok();
        stockade
    }

    /// The same with Docker's default network, for a test that runs `stockade` in a network namespace of its own only.
    #[must_use]
    pub fn in_own_namespace() -> Self {
        let mut own = Self::new();
        own.default_network = None;
        own
    }

    /// The image that [`Self::run`] and its like use.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The folder that holds both roots, and what the test puts there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data root.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// `stockade` with its roots, then `arguments`.
    #[must_use]
    pub fn call(&self, arguments: &[&str]) -> Call {
        let call = Call::new(crate::programs::built("stockade"));
        call.args(self.roots()).args(arguments)
    }

    /// The program and the options before its command, for who starts it in another way than by [`Call`].
    #[must_use]
    pub fn command_line(&self) -> Vec<String> {
        let program = crate::programs::built("stockade").display().to_string();
        std::iter::once(program).chain(self.roots()).collect()
    }

    /// The folders, and no network for containers that ask for none: a test must not make any in the machine's network namespace.
    fn roots(&self) -> Vec<String> {
        let (data, exec) = (self.data().display().to_string(), self.folder().join("exec").display().to_string());
        let mut all = vec!["--data-root".to_owned(), data, "--exec-root".to_owned(), exec];
        all.extend(self.default_network.iter().flat_map(|name| ["--default-network".to_owned(), (*name).to_owned()]));
        all
    }

    /// A command to its end.
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Finished {
        self.call(arguments).run()
    }

    /// `run --rm FLAGS IMAGE COMMAND`, not yet started. Its id is kept for the search for what is left.
    #[must_use]
    pub fn run_call(&self, flags: &[&str], command: &[&str]) -> Call {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let cidfile = self.folder().join(format!("cid-{number}")).display().to_string();
        self.call(&["run", "--rm", "--cidfile", &cidfile]).args(flags).arg(&self.image).args(command)
    }

    /// `run --rm FLAGS IMAGE COMMAND` to its end.
    #[must_use]
    pub fn run(&self, flags: &[&str], command: &[&str]) -> Finished {
        self.run_call(flags, command).run()
    }

    /// The same for a script of the image's shell.
    #[must_use]
    pub fn sh(&self, flags: &[&str], script: &str) -> Finished {
        self.run(flags, &["sh", "-c", script])
    }

    /// `run --rm` in the foreground, not waited for.
    #[must_use]
    pub fn run_started(&self, flags: &[&str], command: &[&str]) -> Running {
        self.run_call(flags, command).start()
    }

    /// `run -d FLAGS IMAGE COMMAND`, which must succeed: the container's id.
    #[must_use]
    #[track_caller]
    pub fn detached(&self, flags: &[&str], command: &[&str]) -> String {
        let done = self.call(&["run", "-d"]).args(flags).arg(&self.image).args(command).run().ok();
        self.know(done.out())
    }

    /// Keeps `id` for the search for what is left.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn know(&self, id: &str) -> String {
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "not an id: {id:?}");
        self.seen.lock().expect("no test panicked here").insert(id.to_owned());
        id.to_owned()
    }

    /// One answer of `inspect --format`.
    #[must_use]
    #[track_caller]
    pub fn inspect(&self, container: &str, template: &str) -> String {
        self.ask(&["inspect", "--format", template, container]).ok().out().to_owned()
    }

    /// The host's id of the container's first process.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    #[track_caller]
    pub fn pid(&self, container: &str) -> i32 {
        let pid = self.inspect(container, "{{.State.Pid}}").parse().expect("a pid");
        assert_ne!(pid, 0, "{container} does not run");
        pid
    }

    /// Waits until `inspect` says `status`.
    #[track_caller]
    pub fn until(&self, container: &str, status: &str) {
        let what = format!("{container} to be {status}");
        crate::call::eventually(&what, Duration::from_secs(30), || {
            self.inspect(container, "{{.State.Status}}") == status
        });
    }

    /// The names of all volumes.
    #[must_use]
    #[track_caller]
    pub fn volumes(&self) -> Vec<String> {
        self.ask(&["volume", "ls", "-q"]).ok().out().lines().map(str::to_owned).collect()
    }

    /// Where the content of a volume is.
    #[must_use]
    pub fn volume(&self, name: &str) -> PathBuf {
        self.data().join("volumes").join(name).join("_data")
    }

    /// The whole ids of all containers.
    #[must_use]
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        self.ask(&["ps", "-aq", "--no-trunc"]).ok().out().lines().map(str::to_owned).collect()
    }

    /// What is left of containers that are no more: of every one that was ever seen and is not listed now.
    ///
    /// # Panics
    /// If the containers cannot be listed.
    #[must_use]
    pub fn leftovers(&self) -> Found {
        let listed = self.ids();
        self.everything().iter().filter(|id| !listed.contains(id)).flat_map(|id| self.search(id).settle()).collect()
    }

    /// Asserts that no container is there, and nothing of one.
    ///
    /// # Panics
    /// If something is.
    #[track_caller]
    pub fn assert_gone(&self) {
        assert_eq!(self.ids(), Vec::<String>::new());
        let found = self.leftovers();
        assert!(found.is_empty(), "left behind: {found:#?}");
    }

    fn search<'a>(&'a self, id: &'a str) -> Search<'a> {
        Search { id, folder: self.folder.path(), state: self.folder.path() }
    }

    /// Every id: those that were kept, those in files of `--cidfile`, and those that folders are named by.
    fn everything(&self) -> BTreeSet<String> {
        let mut all = self.seen.lock().map(|seen| seen.clone()).unwrap_or_default();
        for entry in std::fs::read_dir(self.folder()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("cid-") {
                all.extend(std::fs::read_to_string(entry.path()).ok().filter(|id| id.len() == 64));
            }
        }
        named_by_ids(self.folder(), 4, &mut all);
        all
    }
}

impl Default for Stockade {
    fn default() -> Self {
        Self::new()
    }
}

/// The busybox image in one of its forms: `rootfs`, `oci`, `oci-archive` or `docker-archive`.
///
/// # Panics
/// For another form.
#[must_use]
pub fn reference(form: &str) -> String {
    named_reference("busybox", form)
}

/// The test image `name` in one of its forms.
///
/// # Panics
/// For another form.
#[must_use]
pub fn named_reference(name: &str, form: &str) -> String {
    let rootfs = crate::programs::image(name);
    let folder = rootfs.parent().expect("an image is in a folder").display().to_string();
    match form {
        "rootfs" => format!("rootfs:{}", rootfs.display()),
        "oci" => format!("oci:{folder}/oci:latest"),
        "oci-archive" => format!("oci-archive:{folder}/oci.tar:latest"),
        "docker-archive" => format!("docker-archive:{folder}/docker.tar:{name}:latest"),
        other => panic!("no image has the form {other}"),
    }
}

fn named_by_ids(folder: &Path, depth: u32, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // A digest is as long as an id, but stands for a layer, or for a compiled filter, which is a file; so are the names of volumes and networks.
        let others = ["layers", "volumes", "networks"];
        let layer = entry.path().components().any(|part| others.iter().any(|other| part.as_os_str() == *other));
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if folder && name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) && !layer {
            found.insert(name);
        } else if depth > 1 && folder {
            named_by_ids(&entry.path(), depth - 1, found);
        }
    }
}

impl Drop for Stockade {
    fn drop(&mut self) {
        let all = self.everything();
        let removed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let ids = self.ids();
            if ids.is_empty() {
                return String::new();
            }
            format!("{:?}", self.call(&["rm", "-f"]).args(&ids).run())
        }));
        let found: Found = all.iter().flat_map(|id| self.search(id).settle()).collect();
        if found.is_empty() {
            return;
        }
        all.iter().for_each(|id| self.search(id).clean());
        let text = format!("left behind after `rm -f` ({removed:?}): {found:#?}");
        if std::thread::panicking() { eprintln!("{text}") } else { panic!("{text}") }
    }
}
