//! Configurations that name paths, users and programs, or would steer the confinement.

use serde_json::{Value, json};

use super::Expected::{Contained, Harmless, Refused, Says};
use super::{Kind, kind};
use crate::tarball::{Member, Tarball};

const USERS: &str = "users that become root (2016-3697, 2026-46680, 2024-40635)";
const STEER: &str = "metadata that steers the confinement (2026-94603, 2024-3154, 2026-53488)";
const FOLDERS: &str = "2024-21626";
const FORMS: &str = "properties out of their form";

/// Labels and annotations that some engine or runtime obeys.
const STEERING: &[(&str, &str)] = &[
    ("run.oci.handler", "krun"),
    ("run.oci.seccomp.receiver", "/tmp/socket"),
    ("run.oci.seccomp.plugins", "/tmp/plugin.so"),
    ("run.oci.keep_original_groups", "1"),
    ("run.oci.delegate-cgroup", "/"),
    ("run.oci.hooks.stderr", "/tmp/hook"),
    ("krun.use_passt", "1"),
    ("org.systemd.property.DeviceAllow", "'a rwm'"),
    ("org.criu.config", "/tmp/criu.conf"),
    ("io.containers.trace-syscall", "of:/tmp/trace.json"),
    ("io.containers.autoupdate", "registry"),
    ("io.podman.annotations.privileged", "TRUE"),
    ("io.podman.annotations.seccomp", "unconfined"),
    ("io.podman.annotations.label", "disable"),
    ("io.podman.annotations.apparmor", "unconfined"),
    ("io.podman.annotations.userns", "host"),
    ("io.podman.annotations.checkpoint.sandbox", "false"),
    ("io.podman.annotations.init", "TRUE"),
    ("io.podman.annotations.volumes-from", "all"),
    ("io.kubernetes.cri-o.Privileged", "true"),
    ("io.kubernetes.cri-o.userns-mode", "host"),
    ("io.kubernetes.cri-o.Devices", "/dev/kmsg"),
    ("io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw", "true"),
    ("io.kubernetes.cri-o.seccompNotifierAction", "stop"),
    ("seccomp-profile.kubernetes.cri-o.io", "unconfined"),
    ("container.apparmor.security.beta.kubernetes.io/x", "unconfined"),
    ("seccomp.security.alpha.kubernetes.io/pod", "unconfined"),
    ("io.kubernetes.cri.container-type", "sandbox"),
    ("io.katacontainers.config.hypervisor.path", "/tmp/qemu"),
    ("io.containerd.runc.v2.group", "x"),
    ("containerd.io/restart.loguri", "binary:///bin/sh?-c=id"),
    ("containerd.io/restart.policy", "always"),
    ("nerdctl/log-uri", "binary:///bin/sh?-c=id"),
    ("nerdctl/security-opt", "seccomp=unconfined"),
    ("nerdctl/mounts", "[{\"Type\":\"bind\",\"Source\":\"/\",\"Destination\":\"/h\"}]"),
    ("com.docker.security.no-new-privileges", "false"),
    ("com.docker.compose.project.config_files", "/etc/shadow"),
    ("desktop.docker.io/binds/0/Source", "/"),
    ("cdi.k8s.io/x", "vendor.com/device=all"),
    ("nvidia.cdi.k8s.io/x", "all"),
    ("com.nvidia.volumes.needed", "nvidia_driver"),
    ("dev.gvisor.flag.network", "host"),
    ("dev.gvisor.spec.mount.x.source", "/"),
    ("youki.seccomp", "off"),
    ("io.stockade.privileged", "true"),
    ("RUN", "podman run --privileged -v /:/host IMAGE"),
    ("io.projectatomic.run", "docker run --privileged -v /:/host IMAGE"),
];

/// The same as an object.
fn steering() -> Value {
    STEERING.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect()
}

/// An account file in which numbers are names of root.
fn numbers_as_names() -> Tarball {
    let honest = "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n";
    let lines = format!("1000:x:0:0::/:/bin/sh\n2000:x:0:0::/:/bin/sh\n{honest}");
    let groups = "1000:x:0:1000\n2000:x:0:2000\nroot:x:0:\nuser:x:1000:\nextra:x:2000:user\n";
    Tarball::of([Member::file("etc/passwd", lines), Member::file("etc/group", groups)])
}

pub(super) const KINDS: &[Kind] = &[
    kind("a number that is a name of root", USERS, Says("id -u; id -g", "1000\n1000"), |image| {
        image.layer(numbers_as_names());
        image.config["config"]["User"] = json!("1000");
    }),
    kind("a number that is a name of root, by a flag", USERS, Says("id -u; id -g", "2000\n2000"), |image| {
        image.layer(numbers_as_names());
    })
    .with(&["-u", "2000:2000"]),
    kind("user 2^31", USERS, Refused(&["2147483647"]), |image| image.config["config"]["User"] = json!("2147483648")),
    kind("user 2^32 - 1", USERS, Refused(&["2147483647"]), |image| {
        image.config["config"]["User"] = json!("4294967295")
    }),
    kind("user 2^32, which wraps to root", USERS, Refused(&["2147483647"]), |image| {
        image.config["config"]["User"] = json!("4294967296");
    }),
    kind("user -1", USERS, Refused(&["2147483647", "/etc/passwd"]), |image| {
        image.config["config"]["User"] = json!("-1")
    }),
    kind("user 0x0", USERS, Refused(&["/etc/passwd"]), |image| image.config["config"]["User"] = json!("0x0")),
    kind("user with two colons", USERS, Refused(&["user[:group]"]), |image| {
        image.config["config"]["User"] = json!("1000:1000:0");
    }),
    kind("accounts with numbers that wrap", USERS, Refused(&["/etc/passwd"]), |image| {
        image.layer(Tarball::of([Member::file("etc/passwd", "evil:x:4294967296:4294967296::/:/bin/sh\n")]));
        image.config["config"]["User"] = json!("evil");
    }),
    kind("a group file of 9 MiB", "2022-31030, 2026-47262", Refused(&["larger than"]), |image| {
        image.layer(Tarball::of([Member::file("etc/group", vec![b'\n'; 9 << 20])]));
        image.config["config"]["User"] = json!("user");
    }),
    kind("accounts that a link leads to", "2024-9676", Refused(&["/etc/passwd"]), |image| {
        let target = image.outside("secret");
        image.layer(Tarball::of([Member::symlink("etc/passwd", target)]));
        image.config["config"]["User"] = json!("secret-user");
    }),
    kind("accounts that are a folder", "2024-9676", Refused(&["not a regular file"]), |image| {
        image.layer(Tarball::of([Member::directory("etc/passwd")]));
        image.config["config"]["User"] = json!("user");
    }),
    kind("volumes that climb", "2022-23648", Refused(&["`..`", "absolute"]), |image| {
        image.config["config"]["Volumes"] = json!({ "/../../../../etc": {} });
    }),
    kind("volumes without a root", "2022-23648", Refused(&["absolute"]), |image| {
        image.config["config"]["Volumes"] = json!({ "../../etc": {} });
    }),
    kind("the root as a volume", "2022-23648", Refused(&["root directory"]), |image| {
        image.config["config"]["Volumes"] = json!({ "/.//": {} });
    }),
    kind(
        "a working folder that is a descriptor",
        FOLDERS,
        Refused(&["working", "directory", "folder", "cwd"]),
        |image| {
            image.config["config"]["WorkingDir"] = json!("/proc/self/fd/7");
        },
    ),
    kind(
        "a working folder that a link to a descriptor leads to",
        FOLDERS,
        Refused(&["working", "directory", "folder"]),
        |image| {
            image.layer(Tarball::of([Member::symlink("w", "/proc/self/fd/8/../../..")]));
            image.config["config"]["WorkingDir"] = json!("/w");
        },
    ),
    kind("a working folder that climbs", FOLDERS, Says("pwd; ls -d /host* 2>/dev/null", "/"), |image| {
        image.config["config"]["WorkingDir"] = json!("../../../../../../..");
    }),
    kind("a working folder outside", FOLDERS, Says("ls | wc -l", "0"), |image| {
        image.config["config"]["WorkingDir"] = json!(image.outside(""));
    }),
    kind(
        "a working folder that a link leads out to",
        FOLDERS,
        Refused(&["directory", "folder", "no such file"]),
        |image| {
            let target = image.outside("");
            image.layer(Tarball::of([Member::symlink("w", target)]));
            image.config["config"]["WorkingDir"] = json!("/w");
        },
    ),
    kind("labels that steer engines", STEER, Harmless, |image| image.config["config"]["Labels"] = steering()),
    kind("annotations that steer engines", STEER, Harmless, |image| {
        image.edit_manifest(|manifest| {
            manifest["annotations"] = steering();
            manifest["config"]["annotations"] = steering();
            manifest["layers"][0]["annotations"] = steering();
        });
        image.edit_index(|index| {
            index["annotations"] = steering();
            let own = index["manifests"][0]["annotations"].as_object_mut().expect("an object");
            own.extend(steering().as_object().expect("an object").clone());
        });
    }),
    kind("hooks", STEER, Harmless, |image| {
        let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("touch {}", image.outside("hooked"))] }]);
        let hooks = json!({ "prestart": hook, "createRuntime": hook, "createContainer": hook, "poststop": hook });
        image.config["hooks"] = hooks.clone();
        image.config["config"]["Hooks"] = hooks.clone();
        image.config["config"]["OnBuild"] = json!([format!("RUN touch {}", image.outside("built"))]);
        image.edit_manifest(move |manifest| manifest["hooks"] = hooks.clone());
    }),
    kind("a host's configuration", STEER, Harmless, |image| {
        let host = json!({ "Privileged": true, "Binds": ["/:/host"], "NetworkMode": "host", "PidMode": "host",
            "UsernsMode": "host", "CapAdd": ["ALL"], "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            "Devices": [{ "PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/kmsg", "CgroupPermissions": "rwm" }] });
        image.config["HostConfig"] = host.clone();
        image.config["config"]["HostConfig"] = host;
        image.config["container_config"] = json!({ "Privileged": true });
        image.config["config"]["Privileged"] = json!(true);
        image.config["linux"] = json!({ "seccomp": null, "maskedPaths": [], "namespaces": [] });
        image.config["process"] =
            json!({ "capabilities": { "bounding": ["CAP_SYS_ADMIN"] }, "noNewPrivileges": false });
    }),
    kind("a health check and a shell of the host", STEER, Harmless, |image| {
        let mark = image.outside("checked");
        image.config["config"]["Healthcheck"] =
            json!({ "Test": ["CMD-SHELL", format!("touch {mark}")], "Interval": 1 });
        image.config["config"]["Shell"] = json!(["/bin/sh", "-c", format!("touch {mark}")]);
    }),
    kind("libraries for the host's programs", "2025-23266", Harmless, |image| {
        let library = Member::file("evil.so", "\x7fELFevil").mode(0o755);
        image.layer(Tarball::of([library, Member::file("etc/ld.so.preload", "/evil.so\n")]));
        image.config["config"]["Env"] = json!([
            "PATH=/evil:/bin",
            "LD_PRELOAD=/evil.so",
            "LD_LIBRARY_PATH=/",
            "LD_AUDIT=/evil.so",
            "GCONV_PATH=/",
            "BASH_ENV=/evil",
            "ENV=/evil",
            "RUST_BACKTRACE=full",
            "TMPDIR=/evil",
            "XDG_RUNTIME_DIR=/evil",
            "NOTIFY_SOCKET=/evil",
            "LISTEN_FDS=9",
            "_STOCKADE=1"
        ]);
    }),
    kind("variables without a value", FORMS, Refused(&["name=value"]), |image| {
        image.config["config"]["Env"] = json!(["PATH=/bin", "NOVALUE"]);
    }),
    kind("variables without a name", FORMS, Refused(&["name=value"]), |image| {
        image.config["config"]["Env"] = json!(["PATH=/bin", "=value"]);
    }),
    kind("variables with a zero byte", FORMS, Refused(&["zero byte"]), |image| {
        image.config["config"]["Env"] = json!(["PATH=/bin", "A=b\0LD_PRELOAD=/evil.so"]);
    }),
    kind("variables of 4 MiB", "unbounded", Refused(&["too long", "argument list"]), |image| {
        image.config["config"]["Env"] = json!(["PATH=/bin", format!("A={}", "x".repeat(4 << 20))]);
    }),
    kind("an entry point with a zero byte", FORMS, Refused(&["zero byte"]), |image| {
        image.config["config"]["Entrypoint"] = json!(["/bin/sh\0/x"]);
    }),
    kind("an entry point that is the runtime", "2019-5736", Contained, |image| {
        image.layer(Tarball::of([Member::file("own", "#!/proc/self/exe\n").mode(0o755)]));
        image.config["config"]["Entrypoint"] = json!(["/own"]);
    }),
    kind("an entry point that is a link to the runtime", "2019-5736", Contained, |image| {
        image.layer(Tarball::of([Member::symlink("own", "/proc/self/exe")]));
        image.config["config"]["Entrypoint"] = json!(["/own"]);
    }),
    kind("an entry point outside", "2019-5736", Refused(&["no such file", "not found"]), |image| {
        image.config["config"]["Entrypoint"] = json!([image.outside("program")]);
    }),
    kind("rubbish for a signal", FORMS, Harmless, |image| {
        image.config["config"]["StopSignal"] = json!("SIGEVIL; rm -rf /");
    }),
    kind("signal 4294967305, which wraps to 9", FORMS, Harmless, |image| {
        image.config["config"]["StopSignal"] = json!("4294967305");
    }),
    kind("rubbish for ports", FORMS, Refused(&["exposedports"]), |image| {
        image.config["config"]["ExposedPorts"] = json!({ "80;rm -rf /": {} });
    }),
    kind("words of the wrong type", FORMS, Refused(&["image configuration", "invalid type"]), |image| {
        image.config["config"]["Cmd"] = json!({ "0": "sh" });
    }),
    kind("no configuration at all", FORMS, Harmless, |image| image.config["config"] = Value::Null),
    kind("another system", FORMS, Refused(&["windows"]), |image| image.config["os"] = json!("windows")),
    kind("another machine", FORMS, Refused(&["s390x"]), |image| image.config["architecture"] = json!("s390x")),
    kind("a machine with escapes", "terminal injection", Refused(&["platform"]), |image| {
        image.config["architecture"] = json!("\u{1b}[2J\nstockade: fine\r\u{9b}31m");
    }),
    kind("layers of an unknown kind", FORMS, Refused(&["rootfs.type"]), |image| {
        image.config["rootfs"]["type"] = json!("layers+base");
    }),
    kind("a digest of a layer that is a path", "digests as paths", Refused(&["digest", "diff_ids"]), |image| {
        image.config["rootfs"]["diff_ids"][0] = json!(format!("sha256:{}", image.climb("folder")));
    }),
];
