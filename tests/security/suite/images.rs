//! What comes with an image: programs of it that would run on the host, and metadata that would steer.

use std::path::Path;

use serde_json::{Value, json};
use stockade_testkit::{Bundle, requires};

use crate::sleeping;

/// Puts a program at `path` of the image that leaves `mark` behind, which is a path of the host only.
fn plant(rootfs: &Path, path: &str, mark: &Path) {
    let file = rootfs.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::remove_file(&file).unwrap_or_default();
    std::fs::write(&file, format!("#!/bin/sh\necho {path} >> {}\n", mark.display())).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// crun <1.30, podman top (CVE-2022-1227), moby (CVE-2026-41567): programs of the image ran on the host, unconfined.
#[test]
fn cve_2026_84042_2022_1227_and_2026_41567_no_program_of_the_image_runs_outside() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    let mark = bundle.folder().join("mark");
    for folder in ["bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin"] {
        for name in ["ps", "apparmor_parser", "newuidmap", "newgidmap", "nft", "ip", "mount", "xz", "passt", "criu"] {
            plant(&bundle.rootfs(), &format!("{folder}/{name}"), &mark);
        }
    }
    let bundle = bundle.edit(|config| {
        let path = format!("PATH={0}/bin:{0}/usr/bin", config["root"]["path"].as_str().unwrap());
        config["process"]["env"] = json!([path, "PATH=/bin:/usr/bin"]);
        config["annotations"] = json!({ "run.oci.handler": "krun", "krun.use_passt": "1" });
    });
    // Standing in the image's folders, too.
    let within = |call: stockade_testkit::Call| call.within(&bundle.rootfs().join("bin")).run();
    within(bundle.create_call(&[])).ok();
    within(bundle.call(&["start", bundle.id()])).ok();
    within(bundle.exec_call(&[], &["/bin/true"])).ok();
    within(bundle.call(&["ps", bundle.id()])).ok();
    within(bundle.call(&["update", "--pids-limit", "50", bundle.id()])).ok();
    within(bundle.call(&["delete", "--force", bundle.id()])).ok();
    assert!(!mark.exists(), "run on the host: {}", std::fs::read_to_string(&mark).unwrap());
}

/// NVIDIA's toolkit: hooks inherited `LD_PRELOAD` from the image's environment, and so loaded a library of the image.
#[test]
fn cve_2024_0132_and_2025_23266_hooks_have_an_environment_of_their_own() {
    requires!(root, runtime, busybox_image);
    for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let bundle = Bundle::busybox();
        let seen = bundle.folder().join("seen");
        let script = format!("env > {0}; pwd >> {0}; ls -l /proc/self/fd >> {0}", seen.display());
        let bundle = bundle.edit(|config| {
            let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=b"] });
            config["hooks"] = json!({ kind: [hook] });
            let list = config["process"]["env"].as_array_mut().unwrap();
            list.extend(
                ["LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/", "GCONV_PATH=/", "BASH_ENV=/evil"].map(|e| json!(e)),
            );
        });
        bundle.run_call(&[]).env("LD_PRELOAD_OF_CALLER", "x").run().ok();
        let text = std::fs::read_to_string(&seen).unwrap();
        for word in ["LD_", "GCONV", "BASH_ENV", "CALLER", "STOCKADE"] {
            assert!(!text.contains(word), "{kind}: {text}");
        }
        assert!(text.contains("A=b\n"), "{kind}: {text}");
        for word in ["/state", "cgroup", "socket:", bundle.id()] {
            let open = text.lines().find(|line| line.contains(" -> ") && line.contains(word));
            assert!(open.is_none_or(|line| line.contains(&*seen.to_string_lossy())), "{kind}: {text}");
        }
    }
}

/// A hook of the container's own (`startContainer`) is a program of the image: it runs behind the payload's walls.
#[test]
fn a_start_container_hook_has_no_more_than_the_payload() {
    requires!(root, stake, busybox_image);
    let walls = |bundle: &Bundle, file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(bundle.rootfs().join(file)).unwrap();
        let kept = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp:"];
        text.lines().filter(|line| kept.iter().any(|key| line.starts_with(key))).map(str::to_owned).collect()
    };
    for (uid, sealed) in [(0, false), (0, true), (1000, false), (1000, true)] {
        let bundle = Bundle::busybox().sh("cat /proc/self/status > /tmp/payload").edit(|config| {
            config["process"]["user"] = json!({ "uid": uid, "gid": uid });
            config["process"]["noNewPrivileges"] = json!(sealed);
            let script = "cat /proc/self/status > /tmp/hook";
            config["hooks"] = json!({ "startContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", script] }] });
        });
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(bundle.rootfs().join("tmp"), mode).unwrap();
        bundle.run().ok();
        assert_eq!(walls(&bundle, "tmp/hook"), walls(&bundle, "tmp/payload"), "user {uid}, sealed {sealed}");
    }
}

/// Annotations that steer some engine or runtime, with values that would weaken a container there.
const ANNOTATIONS: &[(&str, &str)] = &[
    ("run.oci.handler", "krun"),
    ("run.oci.seccomp.receiver", "/tmp/socket"),
    ("run.oci.seccomp_fail_unknown_syscall", "0"),
    ("run.oci.seccomp.plugins", "/tmp/plugin.so"),
    ("run.oci.keep_original_groups", "1"),
    ("run.oci.pidfd_receiver", "/tmp/socket"),
    ("run.oci.systemd.force_cgroup_v1", "/sys/fs/cgroup"),
    ("run.oci.systemd.subgroup", ".."),
    ("run.oci.delegate-cgroup", "/"),
    ("run.oci.hooks.stderr", "/tmp/hook"),
    ("run.oci.hooks.stdout", "/tmp/hook"),
    ("run.oci.mount_context_type", "rootcontext"),
    ("run.oci.timens_offset", "x"),
    ("module.wasm.image/variant", "compat"),
    ("krun.cpus", "9"),
    ("krun.ram_mib", "1"),
    ("org.systemd.property.DeviceAllow", "'a rwm'"),
    ("org.systemd.property.TasksMax", "uint64 1"),
    ("org.systemd.property.CollectMode", "'inactive-or-failed'"),
    ("org.criu.config", "/tmp/criu.conf"),
    ("io.containers.trace-syscall", "of:/tmp/trace.json"),
    ("io.podman.annotations.privileged", "TRUE"),
    ("io.podman.annotations.seccomp", "unconfined"),
    ("io.podman.annotations.label", "disable"),
    ("io.podman.annotations.apparmor", "unconfined"),
    ("io.podman.annotations.checkpoint.sandbox", "false"),
    ("io.podman.annotations.userns", "host"),
    ("io.podman.annotations.cgroups", "disabled"),
    ("io.podman.annotations.pids-limit", "0"),
    ("io.kubernetes.cri-o.userns-mode", "host"),
    ("io.kubernetes.cri-o.Devices", "/dev/kmsg"),
    ("io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw", "true"),
    ("io.kubernetes.cri-o.UnifiedCgroup.x", "memory.max=1"),
    ("io.kubernetes.cri-o.TrySkipVolumeSELinuxLabel", "true"),
    ("io.kubernetes.cri-o.umask", "0"),
    ("io.kubernetes.cri-o.ShmSize", "1"),
    ("seccomp-profile.kubernetes.cri-o.io", "unconfined"),
    ("irq-load-balancing.crio.io", "disable"),
    ("cpu-quota.crio.io", "disable"),
    ("container.apparmor.security.beta.kubernetes.io/x", "unconfined"),
    ("container.seccomp.security.alpha.kubernetes.io/x", "unconfined"),
    ("seccomp.security.alpha.kubernetes.io/pod", "unconfined"),
    ("io.kubernetes.cri.container-type", "sandbox"),
    ("io.katacontainers.config.hypervisor.path", "/tmp/qemu"),
    ("io.katacontainers.config_path", "/tmp/config"),
    ("com.docker.security.no-new-privileges", "false"),
    ("cdi.k8s.io/x", "vendor.com/device=all"),
    ("nvidia.cdi.k8s.io/x", "all"),
    ("dev.gvisor.flag.network", "host"),
    ("dev.gvisor.spec.mount.x.source", "/"),
    ("nerdctl/security-opt", "seccomp=unconfined"),
    ("youki.seccomp", "off"),
    ("oci.runtime.stake.seccomp", "off"),
];

/// podman <6.1.3, CRI-O (CVE-2024-3154), containerd (CVE-2026-53488): an annotation turned walls off.
#[test]
fn cve_2026_94603_2024_3154_and_2026_53488_annotations_steer_nothing() {
    requires!(root, runtime, busybox_image);
    let census = |annotations: Value| {
        let bundle = Bundle::busybox().with_inside().args(&["/inside", "census"]);
        let bundle = bundle.edit(|config| config["annotations"] = annotations);
        // The group's name is the container's.
        let mut found = bundle.run().ok().json();
        found["cgroup"] = json!(found["cgroup"].as_str().unwrap().replace(bundle.id(), "ID"));
        found
    };
    let plain = census(json!({}));
    let with = census(ANNOTATIONS.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect());
    assert_eq!(plain, with);
    for path in ["/tmp/hook", "/tmp/trace.json", "/tmp/socket"] {
        assert!(!Path::new(path).exists(), "{path} was made on the host");
    }
}

/// What an image says ends up in messages: it can not forge a line of the log, or steer the terminal of who reads it.
#[test]
fn messages_can_not_be_forged_by_what_an_image_says() {
    requires!(root, stake, busybox_image);
    let evil = "/no/such\nstake: container started\r\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m";
    let running = sleeping();
    let bundle = Bundle::busybox().args(&[evil]);
    let folder = Bundle::busybox().edit(|config| config["process"]["cwd"] = json!("/bin/busybox\n\u{1b}[2J/x"));
    let mount = Bundle::busybox().mount("bind", "/no/such\n\u{1b}[2J", "/x\n\u{1b}[2J", &["bind"]);
    let annotated = Bundle::busybox().edit(|config| config["linux"]["evil\n\u{1b}[2J"] = json!(1));
    for done in [bundle.run(), running.exec(&[evil]), folder.run(), mount.run(), annotated.run()] {
        assert!(done.stderr.lines().count() <= 1, "more than one line: {done:?}");
        let bad = |letter: char| letter.is_control() && letter != '\n';
        assert!(!done.stderr.contains(bad), "{:?}", done.stderr);
    }
    for format in ["text", "json"] {
        let log = bundle.folder().join(format);
        bundle.write();
        let (file, folder) = (log.to_str().unwrap(), bundle.folder().to_str().unwrap());
        let options = ["--log", file, "--log-format", format, "run", "--bundle", folder, bundle.id()];
        assert_ne!(bundle.call(&options).run().code(), 0);
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
    }
}
