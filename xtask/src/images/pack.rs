//! Packing a root file system with the tools that others use, so that our reader is tested on images that are not our own.

use std::path::Path;

use serde_json::{Value, json};
use stockade_testkit::programs::on_path;

use crate::command::run;

/// Makes `oci`, `oci.tar` (gzip), `oci-zstd.tar`, `docker.tar` and `docker-layout.tar`, the form of newer Docker, of `rootfs`
/// beside it. Without the tools it says so and makes none.
///
/// # Errors
/// If a tool fails.
pub(super) fn pack(image: &Path, name: &str, path: &str) -> Result<(), String> {
    if ["umoci", "skopeo"].iter().any(|tool| on_path(tool).is_none()) {
        eprintln!("xtask: without umoci and skopeo {name} is made as a folder only");
        return Ok(());
    }
    let at = |file: &str| image.join(file).display().to_string();
    let (layout, bundle, env) = (format!("{}:latest", at("oci")), at("unpacked"), format!("PATH={path}"));
    run("umoci", &["init", "--layout", &at("oci")])?;
    run("umoci", &["new", "--image", &layout])?;
    run("umoci", &["unpack", "--image", &layout, &bundle])?;
    run("cp", &["-a", &format!("{}/.", at("rootfs")), &format!("{bundle}/rootfs")])?;
    run("umoci", &["repack", "--image", &layout, &bundle])?;
    run("umoci", &["config", "--image", &layout, "--config.cmd", "sh", "--config.env", &env])?;
    run("umoci", &["gc", "--layout", &at("oci")])?;
    std::fs::remove_dir_all(image.join("unpacked")).map_err(|error| error.to_string())?;
    let docker = format!("docker-archive:{}:{name}:latest", at("docker.tar"));
    copy(&[&format!("oci:{layout}"), &format!("oci-archive:{}:latest", at("oci.tar"))])?;
    copy(&[&format!("oci:{layout}"), &docker])?;
    // From the archive, whose layers are plain, so that they are compressed anew.
    let zstd = format!("oci-archive:{}:latest", at("oci-zstd.tar"));
    copy(&["--dest-compress-format", "zstd", &format!("docker-archive:{}", at("docker.tar")), &zstd])?;
    docker_layout(image, name)
}

fn copy(arguments: &[&str]) -> Result<(), String> {
    run("skopeo", &[&["--insecure-policy", "copy", "--quiet"], arguments].concat())
}

/// What `docker save` writes since Docker 25: an OCI layout with a `manifest.json` that names the blobs.
fn docker_layout(image: &Path, name: &str) -> Result<(), String> {
    let layout = image.join("oci");
    let read = |path: &Path| -> Result<Value, String> {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let blob = |descriptor: &Value| format!("blobs/sha256/{}", &descriptor["digest"].as_str().unwrap_or_default()[7..]);
    let index = read(&layout.join("index.json"))?;
    let manifest = read(&layout.join(blob(&index["manifests"][0])))?;
    let layers: Vec<_> = manifest["layers"].as_array().into_iter().flatten().map(blob).collect();
    let saved =
        json!([{ "Config": blob(&manifest["config"]), "RepoTags": [format!("{name}:latest")], "Layers": layers }]);
    let beside = image.join("docker-layout");
    std::fs::create_dir(&beside)
        .and_then(|()| std::fs::write(beside.join("manifest.json"), saved.to_string()))
        .map_err(|error| error.to_string())?;
    let (from, with) = (layout.display().to_string(), beside.display().to_string());
    let archive = image.join("docker-layout.tar").display().to_string();
    let names = ["blobs", "index.json", "oci-layout"];
    run("tar", &[&["-cf", &archive, "-C", &from][..], &names, &["-C", &with, "manifest.json"]].concat())?;
    std::fs::remove_dir_all(&beside).map_err(|error| error.to_string())
}
