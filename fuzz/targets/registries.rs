//! What registries ask for, and what Docker's `config.json` says.
#![no_main]

use std::sync::OnceLock;

static FOLDER: OnceLock<std::path::PathBuf> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|text: &str| {
    let folder = FOLDER.get_or_init(|| {
        let folder = std::path::Path::new("/dev/shm").join(format!("stockade-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    });
    stockade_images::fuzz::registries(text, folder);
});
