//! The built-in image: enough of a machine, and nothing that says which.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use stockade_testkit::requires;

use super::*;

/// A machine with secrets in every place that is looked at.
fn machine(merged: bool) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    for folder in
        ["usr/bin", "usr/lib", "etc/ld.so.conf.d", "etc/alternatives", "etc/ssl/certs", "etc/ssl/private", "root/.ssh"]
    {
        std::fs::create_dir_all(path(folder)).unwrap();
    }
    for name in ["bin", "lib"] {
        if merged {
            symlink(format!("usr/{name}"), path(name)).unwrap();
        } else {
            std::fs::create_dir(path(name)).unwrap();
        }
    }
    let secret = "SECRET";
    for name in [
        "etc/shadow",
        "etc/machine-id",
        "etc/resolv.conf",
        "etc/hostname",
        "etc/hosts",
        "etc/passwd",
        "etc/group",
        "etc/environment",
        "etc/profile",
        "etc/ssl/private/key.pem",
        "root/.ssh/id",
        "etc/ld.so.conf.d/secret",
        "etc/alternatives/README",
        "etc/ssl/certs/own.pem",
    ] {
        std::fs::write(path(name), secret).unwrap();
    }
    std::fs::write(path("etc/ld.so.cache"), "cache").unwrap();
    std::fs::write(path("etc/ld.so.conf.d/a.conf"), "/usr/lib/a").unwrap();
    std::fs::write(path("etc/ld.so.conf.d/private.conf"), secret).unwrap();
    std::fs::set_permissions(path("etc/ld.so.conf.d/private.conf"), PermissionsExt::from_mode(0o600)).unwrap();
    symlink("/usr/bin/mawk", path("etc/alternatives/awk")).unwrap();
    symlink("/usr/share/man/awk.1.gz", path("etc/alternatives/awk.1.gz")).unwrap();
    symlink("/root/.ssh/id", path("etc/alternatives/secret")).unwrap();
    symlink("/usr/../etc/shadow", path("etc/alternatives/dots")).unwrap();
    std::fs::write(path("etc/ssl/certs/ca-certificates.crt"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    std::fs::write(path("usr/lib/os-release"), "ID=x\n").unwrap();
    root
}

#[test]
fn nothing_of_the_machine_but_public_facts() {
    for merged in [true, false] {
        let root = machine(merged);
        let (tree, binds) = gather(root.path()).unwrap();
        for (path, node) in &tree.0 {
            assert!(
                !format!("{}{node:?}", path.display()).to_lowercase().contains("secret"),
                "{} {node:?}",
                path.display()
            );
        }
        let archive = tree.pack().unwrap();
        assert!(!archive.windows(6).any(|window| window == b"SECRET"));
        assert_eq!(archive, gather(root.path()).unwrap().0.pack().unwrap(), "the same machine makes the same layer");
        let node = |name: &str| tree.0.get(Path::new(name));
        assert_eq!(node("etc/alternatives/awk"), Some(&Node::Link("/usr/bin/mawk".into())));
        assert_eq!((node("etc/alternatives/awk.1.gz"), node("etc/alternatives/dots")), (None, None));
        assert_eq!(node("etc/ld.so.cache"), Some(&Node::File(b"cache".to_vec())));
        assert_eq!(node("etc/ld.so.conf.d/a.conf"), Some(&Node::File(b"/usr/lib/a".to_vec())));
        assert_eq!(
            node("etc/ssl/certs/ca-certificates.crt"),
            Some(&Node::File(b"-----BEGIN CERTIFICATE-----\n".to_vec()))
        );
        assert_eq!((node("etc/shadow"), node("etc/machine-id"), node("etc/ssl/private")), (None, None, None));
        let bound: Vec<_> = binds.iter().map(|bind| bind.target.to_str().unwrap()).collect();
        if merged {
            assert_eq!(node("bin"), Some(&Node::Link("usr/bin".into())));
            assert_eq!(bound, ["/usr"]);
        } else {
            assert_eq!(node("bin"), Some(&Node::Folder(0o755)));
            assert_eq!(bound, ["/usr", "/bin", "/lib"]);
        }
        assert_eq!(binds[0].source, root.path().join("usr"));
    }
}

#[test]
fn a_machine_that_is_arranged_otherwise_is_refused() {
    let root = machine(true);
    std::fs::remove_file(root.path().join("bin")).unwrap();
    for target in ["/opt/bin", "../bin", "etc", "usr/../root"] {
        symlink(target, root.path().join("bin")).unwrap();
        assert!(matches!(gather(root.path()), Err(HostError::Link { .. })), "{target}");
        std::fs::remove_file(root.path().join("bin")).unwrap();
    }
    std::fs::write(
        root.path().join("etc/ssl/certs/ca-certificates.crt"),
        "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY",
    )
    .unwrap();
    assert!(!gather(root.path()).unwrap().0.0.contains_key(Path::new("etc/ssl/certs/ca-certificates.crt")));
    std::fs::File::create(root.path().join("etc/ld.so.cache")).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(gather(root.path()), Err(HostError::TooLarge { .. })));
    assert!(matches!(gather(&root.path().join("missing")), Err(HostError::NoFolder(_))));
}

#[test]
fn this_machine_s_layer_is_made_once_and_holds_no_secret() {
    requires!(root, unpacker);
    let data = tempfile::tempdir().unwrap();
    let layers = Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap();
    let image = load(&layers).unwrap();
    assert_eq!(load(&layers).unwrap().lowers, image.lowers);
    assert_eq!((image.config.env.len(), image.config.cmd.len(), image.config.working_dir.as_str()), (1, 1, "/"));
    let layer = &image.lowers[0];
    let mode = |name: &str| layer.join(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!(
        (mode(""), mode("root"), mode("tmp"), mode("var/tmp"), mode("etc/passwd")),
        (0o755, 0o700, 0o1777, 0o1777, 0o644)
    );
    for bind in &image.binds {
        assert!(layer.join(bind.target.strip_prefix("/").unwrap()).is_dir(), "{bind:?}");
    }
    for name in
        ["etc/shadow", "etc/gshadow", "etc/machine-id", "etc/ssh", "etc/ssl/private", "etc/sudoers", "etc/fstab"]
    {
        assert!(layer.join(name).symlink_metadata().is_err(), "{name}");
    }
    // What says which machine this is: none of it stands anywhere in the layer.
    let mut secrets = vec![rustix::system::uname().nodename().to_string_lossy().into_owned()];
    for file in ["/etc/machine-id", "/etc/hostname", "/etc/resolv.conf", "/etc/shadow"] {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        secrets.extend(text.lines().map(|line| line.trim().to_owned()));
    }
    let tells =
        |secret: &String| secret.len() >= 8 && !"localhost".contains(secret.as_str()) && !secret.starts_with('#');
    let grep = Command::new("grep")
        .args(["-rlF"])
        .arg(secrets.into_iter().filter(tells).collect::<Vec<_>>().join("\n"))
        .arg(layer)
        .output();
    let grep = grep.unwrap();
    assert_eq!(String::from_utf8_lossy(&grep.stdout), "");
}

#[test]
fn programs_run_in_it() {
    requires!(root, unpacker, unshare);
    let data = tempfile::tempdir().unwrap();
    let image = load(&Layers::open(data.path(), &stockade_testkit::programs::folder()).unwrap()).unwrap();
    let run = |program: &[&str]| {
        let mut script = format!("set -e; cd {};", image.lowers[0].display());
        for bind in &image.binds {
            script += &format!("mount --rbind {} .{};", bind.source.display(), bind.target.display());
        }
        script += "exec chroot . \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]).args(program);
        let output = command.env_clear().env("PATH", PATH).output().unwrap();
        assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(run(&["sh", "-c", "echo $((6 * 7))"]), "42");
    assert_eq!(run(&[&image.config.cmd[0], "-c", "id -un; ls /root /home"]), "root\n/home:\n\n/root:");
    let here = |name: &str| stockade_testkit::programs::on_path(name).is_some();
    for (name, arguments, expected) in [
        ("awk", &["BEGIN { print 6 * 7 }"][..], "42"),
        ("python3", &["-c", "import ssl, json, ctypes; print(6 * 7)"], "42"),
        ("vi", &["--version"], ""),
    ] {
        if here(name) {
            let shown = run(&[&[name], arguments].concat());
            assert!(shown.ends_with(expected) || name == "vi", "{name}: {shown}");
        }
    }
}
