//! The test images: made once from what Debian ships.
//!
//! `target/images/busybox/rootfs` is a root file system around Debian's static busybox, `target/images/debian/rootfs` the
//! smallest Debian with a few tools; beside them, where skopeo and umoci are, the same as an OCI layout (`oci`), OCI archives
//! with gzip (`oci.tar`) and zstd (`oci-zstd.tar`), and Docker archives of the old (`docker.tar`) and the new form
//! (`docker-layout.tar`). `nginx` is that Debian with Debian's nginx, `servers` one with
//! eight programs that are recorded, root file systems only. Images that are made by a rule (`layers`, `files`, `large`) are layouts only, and made when a bench asks
//! for them.

mod debian;
mod generated;
mod pack;

use std::fs::{create_dir, create_dir_all, set_permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use stockade_testkit::programs::on_path;

use crate::command::{folder, metadata};

pub(crate) use generated::make as make_generated;

/// Changes when a recipe does, so that images of an older one are made anew.
const RECIPE: &str = "2";

/// The forms that an image is made in.
#[derive(Clone, Copy)]
enum Forms {
    /// `rootfs` only.
    Folder,
    /// That, and packed in every form, with this search path.
    Packed(&'static str),
}

/// An image: its name, its forms, and what makes its `rootfs`.
type Image = (&'static str, Forms, fn(&Path) -> Result<(), String>);

const IMAGES: [Image; 4] = [
    ("busybox", Forms::Packed("/bin:/usr/bin"), busybox),
    ("debian", Forms::Packed("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), debian::make),
    ("nginx", Forms::Folder, debian::make_nginx),
    ("servers", Forms::Folder, debian::make_servers),
];

/// Makes what is missing or was made by an older recipe. An image that cannot be made does not keep the others away.
///
/// # Errors
/// If an image cannot be made: its program or mirror is missing, or a tool fails. What there is of it is no image.
pub(crate) fn make() -> Result<(), String> {
    let images = folder(&metadata()?, "target_directory")?.join("images");
    let mut failures = Vec::new();
    for (name, forms, recipe) in IMAGES {
        if let Err(error) = one(&images.join(name), name, forms, recipe) {
            failures.push(format!("the {name} image: {error}"));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// Makes the image beside its place and renames it when it is whole: a folder with the right name is an image.
fn one(image: &Path, name: &str, forms: Forms, recipe: fn(&Path) -> Result<(), String>) -> Result<(), String> {
    if std::fs::read_to_string(image.join("recipe")).is_ok_and(|made| made == RECIPE) {
        return Ok(());
    }
    let say = |error: std::io::Error| error.to_string();
    let new = image.with_extension("new");
    for old in [image, &new] {
        if old.exists() {
            std::fs::remove_dir_all(old).map_err(say)?;
        }
    }
    create_dir_all(&new).map_err(say)?;
    recipe(&new)?;
    if let Forms::Packed(path) = forms {
        pack::pack(&new, name, path)?;
    }
    std::fs::write(new.join("recipe"), RECIPE).map_err(say)?;
    std::fs::rename(&new, image).map_err(say)
}

/// Debian's static busybox with a link for each of its programs.
fn busybox(image: &Path) -> Result<(), String> {
    let say = |error: std::io::Error| error.to_string();
    let rootfs = image.join("rootfs");
    create_dir(&rootfs).map_err(say)?;
    skeleton(&rootfs).map_err(say)?;
    let program = on_path("busybox").ok_or("busybox is not installed (package busybox-static)")?;
    std::fs::copy(&program, rootfs.join("bin/busybox")).map_err(say)?;
    let list = Command::new(&program).arg("--list").output().map_err(say)?;
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet)).map_err(say)?;
    }
    Ok(())
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
