//! The attack of CVE-2016-9962: whoever appears in this pid namespace is looked into at once, while it still may be the
//! runtime and not yet the program that it is to become.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The variable that the test gives the runtime and no container.
const MARKER: &[u8] = b"STOCKADE_TEST_HOST=";

/// Looks into every other process until there is a file `/stop`, for `time` at most: how many were met, and what of the runtime
/// could be taken from them.
pub(crate) fn hunt(time: Duration) -> io::Result<Value> {
    let deadline = Instant::now() + time;
    let myself = std::process::id().to_string();
    let (mut met, mut taken) = (BTreeSet::new(), BTreeSet::new());
    while Instant::now() < deadline && !Path::new("/stop").exists() {
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != myself && name != "1" && name.bytes().all(|byte| byte.is_ascii_digit()) {
                look_into(&entry.path(), &mut taken);
                met.insert(name);
            }
        }
    }
    Ok(json!({ "met": met.len(), "taken": taken }))
}

/// Processes come and go while they are looked at: what can not be opened is not there to be taken.
fn look_into(process: &Path, taken: &mut BTreeSet<String>) {
    let is_runtime = || std::fs::read(process.join("comm")).is_ok_and(|name| name.starts_with(b"stake"));
    // The memory is what ptrace(2) would give, by the same check, and stays that of the program that was opened.
    if is_runtime() && std::fs::File::open(process.join("mem")).is_ok() && is_runtime() {
        taken.insert("memory of the runtime".to_owned());
    }
    if std::fs::read(process.join("environ")).is_ok_and(|text| text.windows(MARKER.len()).any(|part| part == MARKER)) {
        taken.insert("environment of the runtime".to_owned());
    }
    for link in ["exe", "cwd", "root"] {
        let Ok(target) = std::fs::read_link(process.join(link)) else { continue };
        let strange = link == "exe" && !target.starts_with("/bin");
        if is_runtime() && (strange || (link != "exe" && target != Path::new("/"))) {
            taken.insert(format!("{link} {}", target.display()));
        }
    }
    let Ok(open) = std::fs::read_dir(process.join("fd")) else { return };
    for fd in open.flatten() {
        let stdio = matches!(fd.file_name().to_str(), Some("0" | "1" | "2"));
        if !stdio && let Ok(target) = std::fs::read_link(fd.path()) {
            taken.insert(format!("descriptor of {}", shape(&target)));
        }
    }
}

/// The target without the numbers that differ from process to process.
fn shape(target: &Path) -> String {
    target.to_string_lossy().chars().filter(|letter| !letter.is_ascii_digit()).collect()
}
