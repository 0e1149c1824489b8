//! `cargo xtask bench record`: what recording costs the program that is recorded.
//!
//! The same work with and without `--record`, one after the other in every round. What a container costs by itself, and what recording costs at its
//! start and end, is measured by `true` and taken off, so that what is told is what a program feels that runs for long.

use std::path::Path;
use std::time::Instant;

use super::engine::{Contender, stockade, within};
use super::milliseconds;

/// How often everything is done unless the user says otherwise.
pub(crate) const ROUNDS: usize = 5;

/// What is done, and in which image.
struct Work {
    name: &'static str,
    image: &'static str,
    script: &'static str,
}

const WORKS: [Work; 3] = [
    Work {
        name: "reads and writes of a byte",
        image: "busybox",
        script: "dd if=/dev/zero of=/dev/null bs=1 count=3000000 2> /dev/null",
    },
    Work {
        name: "nginx, 20,000 requests",
        image: "servers",
        script: "/usr/sbin/nginx -g 'daemon off;' & sleep 1; /usr/bin/curl -sf -o /dev/null 'http://127.0.0.1/?[1-20000]' && kill -QUIT $!; wait",
    },
    Work {
        name: "redis, 200,000 requests of 20 clients",
        image: "servers",
        script: "/usr/bin/redis-server --save '' --dir /tmp > /dev/null & sleep 1; \
                 /usr/bin/redis-benchmark -q -n 100000 -c 20 -t set,get > /dev/null && /usr/bin/redis-cli shutdown nosave; wait",
    },
];

/// Measures and prints.
///
/// # Errors
/// If an image is missing, or a call fails: a failed call measures nothing. Recordings that lost something are failed calls.
pub(crate) fn run(rounds: usize) -> Result<(), String> {
    within("record", |target, place| {
        println!("{}", super::report::machine());
        let ours = stockade(place);
        WORKS.iter().try_for_each(|work| measure(&ours, work, target, place, rounds.max(1)))
    })
}

/// How long one call takes, in milliseconds.
fn took(ours: &Contender, image: &str, script: &str, record: Option<&Path>, place: &Path) -> Result<f64, String> {
    let folder = record.map(|path| path.display().to_string());
    let flags: Vec<&str> = folder.iter().flat_map(|folder| ["--record", folder.as_str()]).collect();
    let words = [&["run", "--rm", "--network", "none"], &flags[..], &[image, "sh", "-c", script]].concat();
    let start = Instant::now();
    ours.call(&words, place)?;
    let took = milliseconds(start.elapsed());
    if let Some(path) = record {
        std::fs::remove_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(took)
}

fn measure(ours: &Contender, work: &Work, target: &Path, place: &Path, rounds: usize) -> Result<(), String> {
    let image = format!("rootfs:{}", target.join("images").join(work.image).join("rootfs").display());
    let folder = place.join("recorded");
    let mut times = [Vec::new(), Vec::new()];
    // The first round fills caches.
    for round in 0..=rounds {
        for (record, times) in [None, Some(folder.as_path())].into_iter().zip(&mut times) {
            let whole = took(ours, &image, work.script, record, place)?;
            let around = took(ours, &image, "true", record, place)?;
            times.extend((round > 0).then_some(whole - around));
        }
    }
    let [mut plain, mut recorded] = times;
    let mut ratios: Vec<f64> = plain.iter().zip(&recorded).map(|(plain, recorded)| recorded / plain).collect();
    let middle = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (plain, recorded, ratio) = (middle(&mut plain), middle(&mut recorded), middle(&mut ratios));
    println!(
        "{} (median of {rounds}): {plain:.0} ms, recorded {recorded:.0} ms: {:+.1} %",
        work.name,
        (ratio - 1.0) * 100.0
    );
    Ok(())
}
