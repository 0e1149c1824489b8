//! What `docs/kubernetes.md` tells to write into the engines' configurations, read by the engines themselves.

use std::path::Path;

use serde_json::Value;
use stockade_testkit::{Call, programs, requires};

use crate::cell::Cell;

/// Where the page says that the runtime is.
pub(crate) const INSTALLED: &str = "/usr/local/bin/stake";

/// The fenced block of `language` that has `word` in it.
pub(crate) fn block(language: &str, word: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kubernetes.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let start = format!("```{language}\n");
    let blocks = text.split(&start).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.contains(word)).unwrap_or_else(|| panic!("no block with {word}")).to_owned()
}

/// `text` in a file of its own.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn containerd_reads_its_part() {
    requires!(containerd);
    let known = Call::new("containerd").args(["config", "default"]).run().ok().stdout;
    let (version, plugin) = if known.contains("version = 3") {
        ("version = 3", "io.containerd.cri.v1.runtime")
    } else {
        ("version = 2", "io.containerd.grpc.v1.cri")
    };
    let config = file(&block("toml", version));
    let dump = Call::new("containerd").arg("--config").arg(config.path()).args(["config", "dump"]).run().ok().stdout;
    // What it does not know it leaves out of its dump, or puts it where nobody reads it.
    let dump = dump.replace('\'', "\"");
    let section = format!("[plugins.\"{plugin}\".containerd.runtimes.stake.options]");
    let (_, options) = dump.split_once(&section).unwrap_or_else(|| panic!("no {section} in {dump}"));
    let options = options.split("\n\n").next().unwrap();
    assert!(options.contains(&format!("BinaryName = \"{INSTALLED}\"")), "{options}");
    assert!(options.contains("SystemdCgroup = true"), "{options}");
    let (_, runtime) = dump.split_once(&format!("[plugins.\"{plugin}\".containerd.runtimes.stake]")).unwrap();
    assert!(runtime.split("\n\n").next().unwrap().contains("runtime_type = \"io.containerd.runc.v2\""), "{dump}");
}

#[test]
fn podman_reads_its_part() {
    requires!(root, runtime, podman, nsenter);
    let runtime = programs::runtime();
    let text = block("toml", "[engine.runtimes]").replace(INSTALLED, runtime.to_str().unwrap());
    let config = file(&text);
    let cell = Cell::start("registration");
    let within = |name: &str, part: &str| format!("--{name}={}", cell.folder().join(part).display());
    let folders = [within("root", "data"), within("runroot", "run"), within("tmpdir", "tmp")];
    let template = "{{.Host.OCIRuntime.Path}} {{.Host.CgroupManager}}";
    let podman = cell.call("podman").env("CONTAINERS_CONF", config.path()).args(folders).arg("--storage-driver=vfs");
    let shown = podman.args(["info", "--format", template]).run().ok();
    assert_eq!(shown.out(), format!("{} systemd", runtime.display()));
}

#[test]
fn docker_would_read_its_part() {
    // dockerd 20.10 has no way to check a file without serving; `engine.rs` starts it with the same keys.
    let config: Value = serde_json::from_str(&block("json", "runtimes")).unwrap();
    assert_eq!(config["runtimes"]["stake"]["path"], INSTALLED);
    assert_eq!(config["default-runtime"], "stake");
    assert_eq!(config["exec-opts"][0], "native.cgroupdriver=systemd");
}
