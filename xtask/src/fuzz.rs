//! `cargo xtask fuzz`: what reads a stranger's bytes, fed with bytes that look for every branch of it.
//!
//! The fuzzers (`fuzz/targets`) are built with libFuzzer and the compiler's coverage counters, which takes no nightly compiler. Each begins
//! with what long runs have found (`fuzz/kept/NAME.tar.zst`) and with the seeds of `fuzz/seeds/NAME`, which are made of the hostile images.
//! What is new goes to `fuzz/corpus/NAME`; a finding is left in `fuzz/artifacts`.

use std::path::Path;
use std::process::Command;

use stockade_testkit::{hostile, programs};

use crate::command::{folder, metadata, run as run_program};

/// Every fuzzer.
const TARGETS: [&str; 8] = ["references", "registries", "documents", "entries", "names", "unpack", "templates", "dns"];

/// The counters that libFuzzer follows.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// How long each runs unless the user says otherwise, in seconds.
pub(crate) const SECONDS: &str = "60";

/// The largest input, in bytes.
const LARGEST: usize = 16 << 10;

/// What the readers of text begin with.
const TEXTS: [(&str, &[&str]); 3] = [
    (
        "references",
        &[
            "alpine",
            "docker.io/library/alpine:3.20",
            "localhost:5000/a/b-c__d.e:tag@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "[::1]:5000/a",
            "oci:/folder:tag",
            "docker-archive:/file.tar:a/b:c",
            "linux/arm64/v8",
            "windows(10.0.17763)/amd64",
        ],
    ),
    (
        "registries",
        &[
            "Basic realm=\"x\", Bearer realm=\"https://a/token\",service=\"b\",scope=\"repository:c:pull,push\"",
            "Bearer realm=\"a\\\"b\" , error=invalid_token,Negotiate abc==",
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"},"localhost:5000":{"username":"a","password":"b"}}}"#,
            r#"{"auths":{"registry.example":{"identitytoken":"t","registrytoken":"r"}},"credHelpers":{}}"#,
        ],
    ),
    (
        "templates",
        &[
            "{{.ID}}\\t{{json .State}}\\n",
            "table {{.Names | join \",\" | upper}}",
            "{{range $i, $m := .Mounts}}{{if eq $i 0}}{{- $m -}}{{else}}{{break}}{{end}}{{end}}",
            "{{with .State}}{{printf \"%-10s|%05d|%q\" .Status .Pid $}}{{end}}{{/* x */}}",
            "{{index .Names 0}}{{len .Names}}{{slice .ID 0 1}}{{not (and .ID (or .X (lt 1 2)))}}",
        ],
    ),
];

/// Builds all, and runs those of `names` (all, if there are none) for `seconds` each, one after the other.
///
/// # Errors
/// If one cannot be built, finds something, or is none.
pub(crate) fn run(seconds: &str, names: &[&str]) -> Result<(), String> {
    if let Some(unknown) = names.iter().find(|name| !TARGETS.contains(name)) {
        return Err(format!("no fuzzer is called {unknown}; there are {}", TARGETS.join(", ")));
    }
    let root = folder(&metadata()?, "workspace_root")?.join("fuzz");
    let built = build(&root)?;
    seed(&root)?;
    let names = if names.is_empty() { &TARGETS[..] } else { names };
    let mut failed = Vec::new();
    for name in names {
        if let Err(message) = one(&root, &built, name, seconds) {
            failed.push(message);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// The folder of the built fuzzers.
fn build(root: &Path) -> Result<std::path::PathBuf, String> {
    let triple = programs::TARGET;
    let mut command = Command::new("cargo");
    crate::command::quiet_about_us(&mut command);
    // With a target the flags are for the fuzzers alone, and not for procedural macros.
    command.args(["build", "--release", "--target", triple]).current_dir(root).env("RUSTFLAGS", FLAGS);
    let status = command.status().map_err(|error| format!("cargo build: {error}"))?;
    if status.success() {
        Ok(root.join("target").join(triple).join("release"))
    } else {
        Err("fuzz: no build".to_owned())
    }
}

/// Puts what every corpus begins with into `seeds`.
fn seed(root: &Path) -> Result<(), String> {
    for (target, texts) in TEXTS {
        write(&root.join("seeds").join(target), texts.iter().map(|text| text.as_bytes().to_vec()))?;
    }
    if !programs::images().join("busybox/oci/index.json").exists() {
        return Ok(());
    }
    let scratch = root.join("target/seeds");
    let (archives, documents) = hostile::samples(&scratch, LARGEST);
    std::fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    write(&root.join("seeds/documents"), documents.into_iter())?;
    write(&root.join("seeds/entries"), archives.iter().cloned())?;
    // The fuzzer makes the checksums right where it finds these marks.
    let marked = archives.into_iter().map(|mut archive| {
        for block in archive.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
            block[148..150].copy_from_slice(b"##");
        }
        archive
    });
    write(&root.join("seeds/unpack"), marked)
}

fn write(folder: &Path, contents: impl Iterator<Item = Vec<u8>>) -> Result<(), String> {
    let say = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(say)?;
    contents
        .enumerate()
        .try_for_each(|(number, content)| std::fs::write(folder.join(number.to_string()), content).map_err(say))
}

fn one(root: &Path, built: &Path, name: &str, seconds: &str) -> Result<(), String> {
    let at = |kind: &str| root.join(kind).join(name);
    for kind in ["corpus", "artifacts"] {
        std::fs::create_dir_all(at(kind)).map_err(|error| format!("{}: {error}", at(kind).display()))?;
    }
    let mut arguments = vec![at("corpus").display().to_string()];
    let kept = root.join("kept").join(format!("{name}.tar.zst"));
    if kept.exists() {
        let folder = root.join("target/kept");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        run_program("tar", &["--zstd", "-C", &folder.display().to_string(), "-xf", &kept.display().to_string()])?;
        arguments.push(folder.join(name).display().to_string());
    }
    if at("seeds").is_dir() {
        arguments.push(at("seeds").display().to_string());
    }
    arguments.push(format!("-max_len={LARGEST}"));
    arguments.push(format!("-max_total_time={seconds}"));
    arguments.push(format!("-artifact_prefix={}/", at("artifacts").display()));
    arguments.extend(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"].map(str::to_owned));
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run_program(&built.join(name).display().to_string(), &words)
}
