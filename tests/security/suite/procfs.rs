//! Writes to procfs that land in another file than the kernel's.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;
use stockade_testkit::{Bundle, Call, posture, requires};

/// A fake procfs beside the bundle.
fn fake(bundle: &Bundle) -> String {
    let fake = bundle.folder().join("fake");
    std::fs::create_dir_all(fake.join("self/attr/apparmor")).unwrap();
    for file in ["exec", "current", "apparmor/exec"] {
        std::fs::write(fake.join("self/attr").join(file), "").unwrap();
    }
    fake.to_str().unwrap().to_owned()
}

/// runc, crun: a volume over `/proc` made the label be written to a fake file.
#[test]
fn cve_2019_16884_only_procfs_itself_can_be_proc() {
    requires!(root, runtime, busybox_image);
    let over: [(&str, &str, &[&str]); 5] = [
        ("bind", "FAKE", &["bind"]),
        ("bind", "FAKE", &["rbind", "ro"]),
        ("tmpfs", "tmpfs", &[]),
        // On procfs, and yet not its root: there is no /proc/self in it.
        ("bind", "/proc/sys", &["bind"]),
        ("bind", "/proc/1", &["bind"]),
    ];
    for (kind, source, options) in over {
        for destination in ["/proc", "/proc/", "/x/../proc", "/./proc/."] {
            let bundle = Bundle::busybox();
            let fake = fake(&bundle);
            let source = if source == "FAKE" { &fake } else { source };
            let bundle = bundle.mount(kind, source, destination, options);
            bundle.run().refuses(&["proc"]);
            bundle.assert_gone();
        }
    }
}

/// The label is what was asked for, whatever files the image has where the kernel's are: none of them is written to.
#[test]
fn cve_2019_16884_and_2019_19921_the_label_is_the_kernels() {
    requires!(root, runtime, busybox_image, apparmor, apparmor_parser);
    let name = format!("stockade-test-label-{}", std::process::id());
    let parse = |what: &str| {
        let text = format!("profile {name} flags=(attach_disconnected) {{ file, capability, network, unix, signal, }}");
        Call::new("apparmor_parser").args([what, "--skip-cache"]).stdin(text.as_bytes()).run().ok();
    };
    parse("--replace");
    let bundle = Bundle::busybox().sh("cat /proc/self/attr/current");
    let folder = bundle.rootfs().join("proc/self/attr/apparmor");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(bundle.rootfs().join("proc/thread-self/attr")).unwrap();
    let fakes = ["self/attr/exec", "self/attr/current", "self/attr/apparmor/exec", "thread-self/attr/exec"];
    let fakes = fakes.map(|file| bundle.rootfs().join("proc").join(file));
    fakes.iter().for_each(|fake| std::fs::write(fake, "").unwrap());
    let bundle = bundle.edit(|config| config["process"]["apparmorProfile"] = json!(name));
    let done = bundle.run();
    assert!(fakes.iter().all(|fake| std::fs::read(fake).unwrap().is_empty()), "a file of the image was written to");
    parse("--remove");
    assert_eq!(done.ok().out(), format!("{name} (enforce)"));
    // Now that it is not loaded it is an error, and no container without.
    let bundle = Bundle::busybox().edit(|config| config["process"]["apparmorProfile"] = json!(name));
    bundle.run().refuses(&[&name]);
    bundle.assert_gone();
}

/// The same through a link of the image: the destination leads into procfs without saying so.
#[test]
fn cve_2019_16884_and_2023_28642_nothing_is_mounted_into_proc_through_a_link() {
    requires!(root, runtime, busybox_image);
    for (link, target, destination) in [
        ("p", "/proc", "/p"),
        ("p", "/proc", "/p/self/attr"),
        ("p", "proc/self", "/p/attr/apparmor"),
        ("p", "/proc/sys/kernel", "/p"),
        ("etc/link", "../proc/thread-self", "/etc/link/attr"),
    ] {
        let bundle = Bundle::busybox();
        let fake = fake(&bundle);
        symlink(target, bundle.rootfs().join(link)).unwrap();
        let bundle = bundle.mount("bind", &fake, destination, &["rbind"]);
        bundle.run().refuses(&[destination]);
        let tmpfs = Bundle::busybox();
        symlink(target, tmpfs.rootfs().join(link)).unwrap();
        let tmpfs = tmpfs.mount("tmpfs", "tmpfs", destination, &[]);
        tmpfs.run().refuses(&[destination]);
        bundle.assert_gone();
    }
}

/// runc: `/proc` or `/sys` of the image was a symbolic link.
#[test]
fn cve_2019_19921_and_2023_27561_a_linked_proc_is_refused() {
    requires!(root, runtime, busybox_image);
    for name in ["proc", "sys"] {
        let bundle = Bundle::busybox();
        std::fs::remove_dir(bundle.rootfs().join(name)).unwrap();
        symlink("tmp", bundle.rootfs().join(name)).unwrap();
        let done = bundle.run();
        assert_ne!(done.code(), 0, "{name}: {done:?}");
        bundle.assert_gone();
    }
}

/// runc: a write to procfs was redirected by what the configuration, steered by a hostile neighbour, had mounted over it.
#[test]
fn cve_2025_52881_and_2025_62596_no_file_that_steers_can_be_covered() {
    requires!(root, runtime, busybox_image);
    let files = ["attr/exec", "attr/apparmor/exec", "attr/current", "oom_score_adj", "setgroups", "status"];
    let covered = files.iter().flat_map(|file| ["self", "thread-self", "1"].map(|who| format!("/proc/{who}/{file}")));
    let covered = covered.chain(["/proc/sys/kernel/hostname", "/proc/self", "/proc/sys/net"].map(str::to_owned));
    let before = std::fs::read("/proc/sys/kernel/core_pattern").unwrap();
    for destination in covered {
        for source in ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/dev/null"] {
            let bundle = Bundle::empty().mount("bind", source, &destination, &["bind"]);
            bundle.run().refuses(&[&destination]);
            bundle.assert_gone();
        }
    }
    assert_eq!(std::fs::read("/proc/sys/kernel/core_pattern").unwrap(), before);
}

/// The sysctls of the container are written to its own kernel parameters, whatever the image has at `/proc`.
#[test]
fn cve_2025_52881_sysctls_are_written_to_the_kernel() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("cat /proc/sys/kernel/msgmax; cat /proc/sys/net/ipv4/ip_forward");
    let sys = bundle.rootfs().join("proc/sys");
    std::fs::create_dir_all(sys.join("kernel")).unwrap();
    symlink("/victim", sys.join("kernel/msgmax")).unwrap();
    std::fs::write(bundle.rootfs().join("victim"), "untouched").unwrap();
    let bundle = bundle.edit(|config| {
        config["linux"]["sysctl"] = json!({ "kernel.msgmax": "4242", "net.ipv4.ip_forward": "1" });
    });
    assert_eq!(bundle.run().ok().out(), "4242\n1");
    assert_eq!(std::fs::read_to_string(bundle.rootfs().join("victim")).unwrap(), "untouched");
}

/// CRI-O: a sysctl that belongs to no namespace, or a value that holds a second one, changed the host.
#[test]
fn cve_2022_0811_sysctls_of_the_host_are_refused() {
    requires!(root, runtime, busybox_image);
    let before = std::fs::read("/proc/sys/kernel/core_pattern").unwrap();
    for (key, value) in [
        ("kernel.core_pattern", "|/x"),
        ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/x"),
        ("kernel.shm_rmid_forced", "1\nkernel.core_pattern=|/x"),
        ("kernel.shm_rmid_forced", "1\0"),
        ("kernel.shm_rmid_forced+kernel.core_pattern", "1"),
        ("kernel.shm_rmid_forced=1\nkernel.core_pattern", "|/x"),
        ("kernel/core_pattern", "|/x"),
        ("net.ipv4/../../kernel.core_pattern", "|/x"),
        ("net/../kernel/core_pattern", "|/x"),
        ("kernel.shm_rmid_forced kernel.core_pattern", "1"),
        ("kernel.modprobe", "/x"),
        ("kernel.hotplug", "/x"),
        ("fs.binfmt_misc.register", ":x:M::x::/x:"),
        ("vm.swappiness", "1"),
        ("user.max_user_namespaces", "0"),
    ] {
        let bundle = Bundle::busybox().edit(|config| config["linux"]["sysctl"] = json!({ key: value }));
        let done = bundle.run().refuses(&["sysctl", "kernel parameter"]);
        assert_ne!(done.code(), 0, "{key}={value}: {done:?}");
        bundle.assert_gone();
    }
    assert_eq!(std::fs::read("/proc/sys/kernel/core_pattern").unwrap(), before);
}

/// Sysctls of a namespace that is the host's change the host too.
#[test]
fn cve_2022_0811_nor_through_a_namespace_that_is_the_hosts() {
    requires!(root, runtime, busybox_image);
    for (namespace, key) in [("network", "net.ipv4.ip_forward"), ("ipc", "kernel.shmmax"), ("uts", "kernel.domainname")]
    {
        let bundle = Bundle::busybox().without_namespace(namespace).edit(|config| {
            config["hostname"] = json!("");
            config["linux"]["sysctl"] = json!({ key: "7" });
        });
        bundle.run().refuses(&[key]);
        // By its path it is no less the host's.
        let kind = if namespace == "network" { "net" } else { namespace };
        let path = format!("/proc/self/ns/{kind}");
        bundle
            .edit(|config| {
                let list = config["linux"]["namespaces"].as_array_mut().unwrap();
                list.push(json!({ "type": namespace, "path": path }));
            })
            .run()
            .refuses(&[key]);
    }
}

/// Docker: `/proc/scsi` and `/proc/acpi` were not masked. Every path that is listed and that this kernel has is empty, or the null
/// device, and can not be written; and every read-only path can not be written either.
#[test]
fn cve_2017_16539_and_2018_10892_listed_paths_are_masked_or_read_only() {
    requires!(root, runtime, busybox_image);
    let masked = posture::MASKED.join(" ");
    let readonly = posture::READONLY.join(" ");
    let script = format!(
        "for p in {masked}; do test -e $p || continue; echo masked; \
         if test -d $p; then test -z \"$(ls -A $p)\" || echo open $p; (> $p/x) 2>/dev/null && echo written $p; \
         else test \"$(stat -c %t:%T $p)\" = 1:3 || echo open $p; test -s $p && echo full $p; fi; done; \
         for p in {readonly}; do for f in $(find $p -type f 2>/dev/null | head -300); do echo fixed; \
         (: >> $f) 2>/dev/null && echo written $f; done; done; \
         touch /proc/sysrq-trigger 2>/dev/null && echo touched; exit 0"
    );
    let text = Bundle::busybox().sh(&script).run().ok().stdout;
    let count = |word: &str| text.lines().filter(|line| *line == word).count();
    assert!(count("masked") > 2 && count("fixed") > 100, "{text}");
    let bad: Vec<_> = text.lines().filter(|line| !["masked", "fixed"].contains(line)).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

/// A mask can be made writable with `CAP_SYS_ADMIN`: the null device behind it is then the container's own, of which the mode may be
/// changed, and not the host's. The bit that is set here hurts nobody.
#[test]
fn what_masks_a_file_is_not_the_hosts_null_device() {
    requires!(root, runtime, busybox_image);
    let mode = || std::fs::metadata("/dev/null").unwrap().permissions().mode() & 0o7777;
    let before = mode();
    assert_eq!(before & 0o1000, 0);
    let bundle = Bundle::busybox()
        .edit(|config| {
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_ADMIN"));
            }
            config["linux"].as_object_mut().unwrap().remove("seccomp");
        })
        .sh("mount -o remount,rw,bind /proc/interrupts /proc/interrupts && chmod 1666 /proc/interrupts && stat -c %a /proc/interrupts /dev/null");
    let done = bundle.run();
    assert_eq!(mode(), before, "{done:?}");
    assert_eq!(done.ok().stdout, "1666\n1666\n");
}
