//! A small Debian: for tests that need a real C library, real tools and thousands of files.

use std::path::Path;
use std::process::Command;

use stockade_testkit::programs::on_path;

use crate::command::run;

/// The release, whatever this machine runs.
const SUITE: &str = "bookworm";
/// What is added to the smallest set of packages.
const PACKAGES: &str = "--include=libcap2-bin,util-linux,procps";
/// The same for a server of web pages.
const NGINX: &str = "--include=nginx-light";
/// The same for the programs that are recorded.
const SERVERS: &str = "--include=nginx-light,redis-server,postgresql-15,python3,libpython3.11-testsuite,openssh-server,openssh-client,git,curl,busybox";

/// Makes `rootfs` below `image` from the mirror that apt is configured to use.
///
/// # Errors
/// If debootstrap or a mirror of the release is missing, or it fails.
pub(super) fn make(image: &Path) -> Result<(), String> {
    bootstrap(image, PACKAGES)
}

/// The same with nginx.
///
/// # Errors
/// As [`make`].
pub(super) fn make_nginx(image: &Path) -> Result<(), String> {
    bootstrap(image, NGINX)
}

/// The same with the programs that are recorded.
///
/// # Errors
/// As [`make`].
pub(super) fn make_servers(image: &Path) -> Result<(), String> {
    bootstrap(image, SERVERS)
}

fn bootstrap(image: &Path, packages: &str) -> Result<(), String> {
    if on_path("debootstrap").is_none() {
        return Err("debootstrap is not installed".to_owned());
    }
    let rootfs = image.join("rootfs");
    let target = rootfs.display().to_string();
    let mirror = mirror()?;
    let mut arguments = vec!["--variant=minbase", packages];
    if mirror.trusted {
        arguments.push("--no-check-gpg");
    }
    arguments.extend([SUITE, &target, &mirror.uri]);
    run("debootstrap", &arguments)?;
    clean(&rootfs).map_err(|error| error.to_string())
}

/// Where packages come from.
struct Mirror {
    uri: String,
    /// Whether this machine's administrator vouches for it (`[trusted=yes]`), so that it may lack signatures.
    trusted: bool,
}

/// The first mirror of the release that apt itself would use.
fn mirror() -> Result<Mirror, String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(TRUSTED) $(REPO_URI)", "Created-By: Packages", "Component: main"]);
    let output = command.arg(format!("Codename: {SUITE}")).output().map_err(|error| format!("apt-get: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().and_then(|line| line.split_once(' '));
    let (trusted, uri) = line.ok_or_else(|| format!("apt is configured for no mirror of {SUITE}"))?;
    Ok(Mirror { uri: uri.to_owned(), trusted: trusted == "yes" })
}

/// Removes what the installation left: packages, lists, and the mirror's name, which is this machine's business.
fn clean(rootfs: &Path) -> std::io::Result<()> {
    for file in ["etc/apt/sources.list", "etc/resolv.conf", "etc/hostname", "var/log/bootstrap.log"] {
        if rootfs.join(file).symlink_metadata().is_ok() {
            std::fs::remove_file(rootfs.join(file))?;
        }
    }
    for folder in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        if rootfs.join(folder).is_dir() {
            std::fs::remove_dir_all(rootfs.join(folder))?;
            std::fs::create_dir(rootfs.join(folder))?;
        }
    }
    Ok(())
}
