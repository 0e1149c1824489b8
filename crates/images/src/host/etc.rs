//! `/etc` of the built-in image: what is the same on every machine, and what the machine's programs need of its own.
//!
//! Copied is a closed list of public facts: where libraries are, which program an alternative is, whose certificates are
//! trusted. Nothing else is looked at, so nothing that says who this machine is can slip in.

use std::io::Read;
use std::path::Path;

use super::HostError;
use super::layer::{Node, Tree};
use super::leads_to_programs;

/// The largest file that is copied, in bytes: bundles of certificates have some 250 000.
const LARGEST: u64 = 8 << 20;

/// What is the same everywhere.
const FILES: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
    ("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"),
    ("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"),
    ("etc/hostname", "localhost\n"),
    ("etc/resolv.conf", ""),
    ("etc/environment", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"),
    ("etc/profile", "umask 022\n"),
];

/// Where systems keep the bundle of public certificates (Debian and Arch, Fedora, openSUSE, Alpine).
const BUNDLES: &[&str] = &[
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
];

/// Where programs look for it, whichever system they are from.
const BUNDLE_NAMES: &[&str] =
    &["etc/ssl/certs/ca-certificates.crt", "etc/ssl/cert.pem", "etc/pki/tls/certs/ca-bundle.crt"];

/// Adds `/etc` to the layer.
///
/// # Errors
/// If a file that is there cannot be read, or is too large.
pub(super) fn add(root: &Path, tree: &mut Tree) -> Result<(), HostError> {
    for (path, content) in FILES {
        tree.add(path, Node::File(content.as_bytes().to_vec()));
    }
    for path in ["etc/ld.so.cache", "etc/ld.so.conf"] {
        if let Some(content) = public_file(root, path)? {
            tree.add(path, Node::File(content));
        }
    }
    if root.join("usr/lib/os-release").is_file() {
        tree.add("etc/os-release", Node::Link("../usr/lib/os-release".into()));
    }
    library_paths(root, tree)?;
    alternatives(root, tree)?;
    certificates(root, tree)
}

/// `ld.so.conf.d/*.conf`, which name folders of libraries.
fn library_paths(root: &Path, tree: &mut Tree) -> Result<(), HostError> {
    tree.add("etc/ld.so.conf.d", Node::Folder(0o755));
    for name in names(root, "etc/ld.so.conf.d")? {
        let path = format!("etc/ld.so.conf.d/{name}");
        if name.ends_with(".conf")
            && let Some(content) = public_file(root, &path)?
        {
            tree.add(path, Node::File(content));
        }
    }
    Ok(())
}

/// The links of update-alternatives(1) that lead to programs, those to manual pages left out.
fn alternatives(root: &Path, tree: &mut Tree) -> Result<(), HostError> {
    tree.add("etc/alternatives", Node::Folder(0o755));
    for name in names(root, "etc/alternatives")? {
        let path = format!("etc/alternatives/{name}");
        // What is no link is no alternative (there is a README).
        let Ok(target) = std::fs::read_link(root.join(&path)) else { continue };
        if target.is_absolute() && leads_to_programs(&target) && !name.ends_with(".gz") {
            tree.add(path, Node::Link(target));
        }
    }
    Ok(())
}

/// The bundle of the certificates that everyone may know. A file with a private key in it is none.
fn certificates(root: &Path, tree: &mut Tree) -> Result<(), HostError> {
    for path in BUNDLES {
        let Some(content) = public_file(root, path)? else { continue };
        let has = |words: &[u8]| content.windows(words.len()).any(|window| window == words);
        if !has(b"-----BEGIN CERTIFICATE-----") || has(b"PRIVATE KEY") {
            continue;
        }
        for folder in ["etc/ssl", "etc/ssl/certs", "etc/pki", "etc/pki/tls", "etc/pki/tls/certs"] {
            tree.add(folder, Node::Folder(0o755));
        }
        let (first, others) = (BUNDLE_NAMES[0], &BUNDLE_NAMES[1..]);
        for name in others {
            tree.add(name, Node::Link(Path::new("/").join(first)));
        }
        tree.add(first, Node::File(content));
        break;
    }
    Ok(())
}

/// The names in a folder that are text, in order; none if there is no such folder.
fn names(root: &Path, folder: &str) -> Result<Vec<String>, HostError> {
    let path = root.join(folder);
    let failed = |source| HostError::Read { path: path.clone(), source };
    let entries = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// A regular file that everyone on this machine may read; `None` if it is missing, something else, or not for everyone.
fn public_file(root: &Path, name: &str) -> Result<Option<Vec<u8>>, HostError> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let path = root.join(name);
    let failed = |source| HostError::Read { path: path.clone(), source };
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits().cast_signed();
    let file = match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let data = file.metadata().map_err(failed)?;
    if !data.is_file() || data.mode() & 0o004 == 0 {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > LARGEST {
        return Err(HostError::TooLarge { path, most: LARGEST });
    }
    Ok(Some(content))
}
