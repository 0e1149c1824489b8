//! Where the programs under test and the images are.

use std::path::{Path, PathBuf};

/// The folder of the programs under test.
pub const BIN_DIR: &str = "STOCKADE_BIN_DIR";

/// The folder that `cargo xtask images` fills.
pub const IMAGES: &str = "STOCKADE_IMAGES";

/// A runtime that takes the place of `stake` in the runtime suite: the test of the tests.
pub const RUNTIME: &str = "STOCKADE_TEST_RUNTIME";

/// The target triple: the folder in cargo's target folder that holds the programs.
pub const TARGET: &str = env!("STOCKADE_TARGET");

/// Cargo's target folder, of which the running test (or `xtask`) is a part.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows its own path");
    // Cargo marks the folder of the target triple too: the outermost one is meant.
    let found = program.ancestors().filter(|folder| folder.join("CACHEDIR.TAG").is_file()).last();
    found.unwrap_or_else(|| panic!("{} is not in cargo's target folder", program.display())).to_owned()
}

/// The built program `name`: in `STOCKADE_BIN_DIR`, or in the release or the debug folder of this build, whichever
/// was built last.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os(BIN_DIR) {
        return Path::new(&folder).join(name);
    }
    let triple = target().join(TARGET);
    let candidates = ["release", "debug"].map(|profile| triple.join(profile).join(name));
    let newest = candidates.iter().filter(|path| path.is_file()).max_by_key(|path| modified(path));
    newest.unwrap_or_else(|| panic!("{name} is not built: run `cargo xtask test`, or `cargo build --release`")).clone()
}

/// The folder of the built programs, as far as they are built: `STOCKADE_BIN_DIR`, or the release or the debug folder of this
/// build, in whichever `stockade-unpack` was built last.
#[must_use]
pub fn folder() -> PathBuf {
    let name = "stockade-unpack";
    let program = if is_built(name) { built(name) } else { target().join(TARGET).join("release").join(name) };
    program.parent().unwrap_or(Path::new("/")).to_owned()
}

/// Whether [`built`] finds `name`.
#[must_use]
pub fn is_built(name: &str) -> bool {
    match std::env::var_os(BIN_DIR) {
        Some(folder) => Path::new(&folder).join(name).is_file(),
        None => ["release", "debug"].iter().any(|profile| target().join(TARGET).join(profile).join(name).is_file()),
    }
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// The OCI runtime under test: `STOCKADE_TEST_RUNTIME`, or `stake`.
#[must_use]
pub fn runtime() -> PathBuf {
    std::env::var_os(RUNTIME).map_or_else(|| built("stake"), PathBuf::from)
}

/// The same with our programs in `folder`.
#[must_use]
pub fn runtime_in(folder: &Path) -> PathBuf {
    std::env::var_os(RUNTIME).map_or_else(|| folder.join("stake"), PathBuf::from)
}

/// Whether the runtime under test is our own, of which more is expected.
#[must_use]
pub fn runtime_is_ours() -> bool {
    std::env::var_os(RUNTIME).is_none()
}

/// The unpacked root file system of the test image `name` (`busybox` or `debian`); read it, never write it.
#[must_use]
pub fn image(name: &str) -> PathBuf {
    images().join(name).join("rootfs")
}

/// The folder of all images: `NAME/rootfs`, `NAME/oci`, `NAME/oci.tar`, `NAME/docker.tar`.
#[must_use]
pub fn images() -> PathBuf {
    std::env::var_os(IMAGES).map_or_else(|| target().join("images"), PathBuf::from)
}

/// The program `name` of the host, by `PATH`.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}
