//! Whole archives, unpacked in memory beside a folder that must stay as it is. Checksums of headers are made right, or nearly
//! nothing would be an archive.
#![no_main]

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

/// In memory, with the process's number.
static PLACE: OnceLock<std::path::PathBuf> = OnceLock::new();

fn place() -> &'static Path {
    PLACE.get_or_init(|| {
        // What fuzzers that ended have left.
        for entry in std::fs::read_dir("/dev/shm").unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_prefix("stockade-fuzz-");
            if number.is_some_and(|number| !Path::new("/proc").join(number).exists()) {
                std::fs::remove_dir_all(entry.path()).unwrap();
            }
        }
        let place = std::path::Path::new("/dev/shm").join(format!("stockade-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(place.join("outside")).unwrap();
        std::fs::write(place.join("outside/secret"), "secret").unwrap();
        place
    })
}

/// What nobody may change.
fn stamp() -> Vec<(u64, i64, i64, u32)> {
    let stamp = |path: &Path| {
        let data = path.symlink_metadata().unwrap();
        (data.ino(), data.ctime(), data.ctime_nsec(), data.mode())
    };
    let paths = ["outside", "outside/secret"].map(|name| place().join(name));
    paths.iter().map(|path| stamp(path)).collect()
}

/// The archive with the checksum of every block that could be a header.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        if block[148..150] == *b"##" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let before = stamp();
    let root = place().join("layer");
    std::fs::create_dir(&root).unwrap();
    let folder = std::fs::File::open(&root).unwrap();
    // Whether it was an archive does not matter here.
    std::hint::black_box(stockade_storage::fuzz::unpack(&sealed(bytes), folder.as_fd()));
    assert_eq!(before, stamp());
    let here: Vec<_> = std::fs::read_dir(place()).unwrap().collect();
    assert_eq!(here.len(), 2);
    stockade_kernel::resolve::remove_tree(std::fs::File::open(place()).unwrap().as_fd(), "layer").unwrap();
});
