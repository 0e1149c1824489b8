//! `cargo xtask bench images`: how long it takes until an image of a registry can be run, beside Podman, and skopeo with umoci.
//!
//! The registry is Debian's, on the loopback, with the images put there by skopeo. In every round each contender begins with an
//! empty store (cold), and then does the same once more with all of it there (warm). The files of the registry and all programs
//! are in the page cache. Peak memory is that of the largest process of each contender, as the kernel counted it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stockade_testkit::{Registry, programs};

use crate::command::{folder, metadata, run as run_program};

/// How often everything is done unless the user says otherwise.
pub(crate) const ROUNDS: usize = 5;

/// A way to the image.
struct Contender {
    name: &'static str,
    /// The calls; words in capitals are replaced.
    calls: Vec<Vec<String>>,
}

/// What was measured of one contender.
#[derive(Default)]
struct Sums {
    cold: Vec<Duration>,
    warm: Vec<Duration>,
    /// In KiB.
    memory: u64,
}

/// Measures and prints.
///
/// # Errors
/// If an image cannot be made, or a call fails.
pub(crate) fn run(rounds: usize, names: &[&str]) -> Result<(), String> {
    crate::images::make()?;
    crate::tests::build()?;
    let target = folder(&metadata()?, "target_directory")?;
    let images = target.join("images");
    // Where `TMPDIR` says: the same work takes several times as long in a part of a file system that is nearly full.
    let place = std::env::temp_dir().join(format!("stockade-bench-images-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let names = if names.is_empty() { &["debian", "files"] } else { names };
    let result = names.iter().try_for_each(|name| {
        if !images.join(name).join("oci/index.json").exists() {
            crate::images::make_generated(&images, name)?;
        }
        measure_image(&target, &place, &images.join(name).join("oci"), name, rounds.max(1))
    });
    let removed = std::fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()));
    result.and(removed)
}

fn measure_image(target: &Path, place: &Path, layout: &Path, name: &str, rounds: usize) -> Result<(), String> {
    let registry = Registry::plain();
    let full = registry.put(&format!("oci:{}:latest", layout.display()), &format!("{name}:latest"));
    let archive = place.join(format!("{name}.tar"));
    let (from, to) = (format!("oci:{}:latest", layout.display()), format!("oci-archive:{}:latest", archive.display()));
    run_program("skopeo", &["--insecure-policy", "copy", "--quiet", &from, &to])?;
    let contenders = contenders(target, place, &full, &archive);
    let mut sums: Vec<Sums> = contenders.iter().map(|_| Sums::default()).collect();
    for _ in 0..rounds {
        for (contender, sums) in contenders.iter().zip(&mut sums) {
            let (cold, memory) = contender.measure(place)?;
            let (warm, _) = contender.measure(place)?;
            contender.clear(place)?;
            sums.cold.push(cold);
            sums.warm.push(warm);
            sums.memory = sums.memory.max(memory);
        }
    }
    std::fs::remove_file(&archive).map_err(|error| error.to_string())?;
    report(name, &contenders, &mut sums);
    Ok(())
}

fn contenders(target: &Path, place: &Path, image: &str, archive: &Path) -> Vec<Contender> {
    let words = |line: &str| -> Vec<String> {
        let word = |word: &str| match word {
            "STOCKADE" => target.join(programs::TARGET).join("release/stockade").display().to_string(),
            "IMAGE" => image.to_owned(),
            "DOCKER-IMAGE" => format!("docker://{image}"),
            "ARCHIVE" => archive.display().to_string(),
            word => word.replace("PLACE", &place.display().to_string()),
        };
        line.split(' ').map(word).collect()
    };
    let podman = "podman --root PLACE/store/root --runroot PLACE/store/run --storage-driver overlay";
    let stockade = "STOCKADE --data-root PLACE/store/data --exec-root PLACE/store/exec";
    let all: [(&str, &[String]); 5] = [
        ("stockade pull", &[format!("{stockade} pull -q IMAGE")]),
        ("podman pull", &[format!("{podman} pull -q --tls-verify=false DOCKER-IMAGE")]),
        (
            "skopeo copy and umoci unpack",
            &[
                "skopeo --insecure-policy copy -q --src-tls-verify=false DOCKER-IMAGE oci:PLACE/store/oci:latest"
                    .to_owned(),
                "umoci unpack --image PLACE/store/oci:latest PLACE/store/bundle".to_owned(),
            ],
        ),
        ("stockade load", &[format!("{stockade} load -q -i ARCHIVE")]),
        ("podman load", &[format!("{podman} load -q -i ARCHIVE")]),
    ];
    all.map(|(name, lines)| Contender { name, calls: lines.iter().map(|line| words(line)).collect() }).into()
}

impl Contender {
    /// How long all calls take, and the KiB of the largest process.
    fn measure(&self, place: &Path) -> Result<(Duration, u64), String> {
        let store = place.join("store");
        std::fs::create_dir_all(&store).map_err(|error| error.to_string())?;
        // umoci unpacks into a folder that is not there.
        remove(&store.join("bundle"))?;
        // Who writes through to the disk is not to pay for what others have left to be written.
        let synced = Command::new("sync").status().map_err(|error| format!("sync: {error}"))?;
        if !synced.success() {
            return Err(format!("sync: {synced}"));
        }
        let mut most = 0;
        let start = Instant::now();
        for call in &self.calls {
            most = most.max(measured(call, place)?);
        }
        Ok((start.elapsed(), most))
    }

    /// Removes what the contender made, mounts included.
    fn clear(&self, place: &Path) -> Result<(), String> {
        let overlay = place.join("store/root/overlay");
        if overlay.exists() {
            // Podman leaves its own folder mounted on itself.
            Command::new("umount").arg(&overlay).stderr(Stdio::null()).status().map_err(|error| error.to_string())?;
        }
        remove(&place.join("store"))
    }
}

fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

/// Makes one call under `measure`, which asks the kernel; the KiB that its largest process had.
fn measured(call: &[String], place: &Path) -> Result<u64, String> {
    let (said, counted): (PathBuf, PathBuf) = (place.join("stderr"), place.join("time"));
    let stderr = std::fs::File::create(&said).map_err(|error| error.to_string())?;
    let mut command = Command::new(programs::built("measure"));
    command.arg("peak").arg(&counted).args(call);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).status();
    let status = status.map_err(|error| format!("measure: {error}"))?;
    if !status.success() {
        let said = std::fs::read_to_string(&said).unwrap_or_default();
        return Err(format!("{}: {status}: {}", call.join(" "), said.trim_end()));
    }
    let text = std::fs::read_to_string(&counted).map_err(|error| format!("{}: {error}", counted.display()))?;
    text.trim().parse().map_err(|_not| format!("measure says {text:?}"))
}

/// Medians, and how ours stand to them.
fn report(name: &str, contenders: &[Contender], sums: &mut [Sums]) {
    println!("image {name} (median of {}):", sums[0].cold.len());
    let medians: Vec<[f64; 2]> =
        sums.iter_mut().map(|sums| [super::median(&mut sums.cold), super::median(&mut sums.warm)]).collect();
    for ((contender, sums), [cold, warm]) in contenders.iter().zip(sums).zip(&medians) {
        let ours = if contender.name.ends_with("load") { medians[3] } else { medians[0] };
        println!(
            "  {:30} cold {cold:8.1} ms  warm {warm:7.1} ms  {:4} MiB   ours / {} = {:.2} cold, {:.2} warm",
            contender.name,
            sums.memory.div_ceil(1024),
            contender.name,
            ours[0] / cold,
            ours[1] / warm,
        );
    }
}
