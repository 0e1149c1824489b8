//! The test images: made once from what Debian ships, never fetched.
//!
//! `target/images/busybox/rootfs` is a root file system around Debian's static busybox; beside it, where skopeo and
//! umoci are, the same as an OCI layout (`oci`), an OCI archive (`oci.tar`) and a Docker archive (`docker.tar`).

use std::fs::{create_dir, create_dir_all, set_permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use stockade_testkit::programs::on_path;

use crate::command::{folder, metadata, run};

/// Changes when the recipe does, so that images of an older one are made anew.
const RECIPE: &str = "1";

/// Makes what is missing or was made by an older recipe.
///
/// # Errors
/// If busybox is not installed, or an image cannot be made.
pub(crate) fn make() -> Result<(), String> {
    let images = folder(&metadata()?, "target_directory")?.join("images");
    busybox(&images.join("busybox")).map_err(|error| format!("the busybox image: {error}"))
}

fn busybox(image: &Path) -> Result<(), String> {
    let stamp = image.join("recipe");
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == RECIPE) {
        return Ok(());
    }
    let say = |error: std::io::Error| error.to_string();
    if image.exists() {
        std::fs::remove_dir_all(image).map_err(say)?;
    }
    let rootfs = image.join("rootfs");
    create_dir_all(&rootfs).map_err(say)?;
    skeleton(&rootfs).map_err(say)?;
    let program = on_path("busybox").ok_or("busybox is not installed (package busybox-static)")?;
    std::fs::copy(&program, rootfs.join("bin/busybox")).map_err(say)?;
    let list = Command::new(&program).arg("--list").output().map_err(say)?;
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet)).map_err(say)?;
    }
    if on_path("umoci").is_some() && on_path("skopeo").is_some() {
        pack(image)?;
    } else {
        eprintln!("xtask: without umoci and skopeo the image is made as a folder only");
    }
    std::fs::write(&stamp, RECIPE).map_err(say)
}

/// The folders and the few files that a program expects.
fn skeleton(rootfs: &Path) -> std::io::Result<()> {
    for name in ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"] {
        create_dir(rootfs.join(name))?;
        set_permissions(rootfs.join(name), PermissionsExt::from_mode(0o755))?;
    }
    set_permissions(rootfs, PermissionsExt::from_mode(0o755))?;
    set_permissions(rootfs.join("tmp"), PermissionsExt::from_mode(0o1777))?;
    symlink("../bin", rootfs.join("usr/bin"))?;
    std::fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n")?;
    std::fs::write(rootfs.join("etc/group"), "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n")
}

/// Packs `rootfs` with the tools that others use, so that our reader is tested on images that are not our own.
fn pack(image: &Path) -> Result<(), String> {
    let path = |name: &str| image.join(name).display().to_string();
    let (layout, bundle) = (format!("{}:latest", path("oci")), path("unpacked"));
    run("umoci", &["init", "--layout", &path("oci")])?;
    run("umoci", &["new", "--image", &layout])?;
    run("umoci", &["unpack", "--image", &layout, &bundle])?;
    run("cp", &["-a", &format!("{}/.", path("rootfs")), &format!("{bundle}/rootfs")])?;
    run("umoci", &["repack", "--image", &layout, &bundle])?;
    run("umoci", &["config", "--image", &layout, "--config.cmd", "sh", "--config.env", "PATH=/bin:/usr/bin"])?;
    std::fs::remove_dir_all(image.join("unpacked")).map_err(|error| error.to_string())?;
    let source = format!("oci:{layout}");
    for target in [
        format!("oci-archive:{}:latest", path("oci.tar")),
        format!("docker-archive:{}:busybox:latest", path("docker.tar")),
    ] {
        run("skopeo", &["--insecure-policy", "copy", "--quiet", &source, &target])?;
    }
    Ok(())
}
