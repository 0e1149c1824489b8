//! Who the payload is: user and group ids, supplementary groups, capabilities.

use serde_json::{Value, json};
use stockade_testkit::{Bundle, requires};

use crate::sleeping;

/// moby, runc, crun, podman: ambient and inheritable capabilities were kept, with which files give more.
#[test]
fn cve_2016_8867_2022_29162_and_2022_27650_no_inheritable_or_ambient_capabilities() {
    requires!(root, runtime, busybox_image);
    let look = ["/bin/grep", "-E", "Cap(Inh|Amb)", "/proc/self/status"];
    let none = |text: &str| assert_eq!(text.matches("0000000000000000").count(), 2, "{text}");
    for user in [0, 1000] {
        for added in [&[][..], &["CAP_NET_ADMIN", "CAP_SYS_PTRACE"]] {
            let bundle = Bundle::busybox().args(&look).edit(|config| {
                config["process"]["user"] = json!({ "uid": user, "gid": user });
                for set in ["bounding", "effective", "permitted"] {
                    let list = config["process"]["capabilities"][set].as_array_mut().unwrap();
                    list.extend(added.iter().map(|name| json!(name)));
                }
            });
            none(&bundle.run().ok().stdout);
        }
    }
    let bundle = sleeping();
    for options in [&[][..], &["--user", "1000"], &["--cap", "CAP_NET_ADMIN"]] {
        none(&bundle.exec_call(options, &look).run().ok().stdout);
    }
}

/// podman: a user who is not root had root's capabilities.
#[test]
fn cve_2018_10856_a_user_who_is_not_root_has_no_capabilities() {
    requires!(root, runtime, busybox_image);
    let look = ["/bin/grep", "-E", "Cap(Prm|Eff)", "/proc/self/status"];
    let bundle = Bundle::busybox().args(&look);
    let bundle = bundle.edit(|config| config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 }));
    for text in [bundle.run().ok().stdout, sleeping().exec_call(&["--user", "1000"], &look).run().ok().stdout] {
        assert_eq!(text.matches("0000000000000000").count(), 2, "{text}");
    }
}

/// crun, containerd: a user given as a number was read wrongly, so that some became root.
#[test]
fn cve_2026_30892_and_2024_40635_the_user_is_the_one_that_was_named() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    let good = [("1", "1"), ("0", "0"), ("1:1", "1"), ("2147483647", "2147483647"), ("4294967294", "4294967294")];
    for (user, wanted) in good {
        assert_eq!(bundle.exec_call(&["--user", user], &["/bin/id", "-u"]).run().ok().out(), wanted, "{user}");
    }
    let bad = ["-1", "4294967295", "4294967296", "18446744073709551617", "name", ":5", "1:", "1:-1", "1:4294967296"];
    for user in bad.into_iter().chain(["1 ", " 1", "+1", "0x1", "1e0", " ", "1:1:1", "\u{661}"]) {
        let done = bundle.exec_call(&["--user", user], &["/bin/id", "-u"]).run();
        assert!(done.code() != 0, "{user:?}: {done:?}");
    }
}

/// The same in `config.json` and in the file of `exec --process`.
#[test]
fn cve_2024_40635_ids_of_the_configuration_do_not_wrap_around() {
    requires!(root, runtime, busybox_image);
    let running = sleeping();
    let file = running.folder().join("process.json");
    let process = |user: &Value| json!({ "user": user, "args": ["/bin/id", "-u"], "cwd": "/", "env": ["PATH=/bin"] });
    let in_file = |user: &Value| {
        std::fs::write(&file, process(user).to_string()).unwrap();
        running.call(&["exec", "--process", file.to_str().unwrap(), running.id()]).run()
    };
    let in_config = |user: &Value| {
        Bundle::busybox().args(&["/bin/id", "-u"]).edit(|config| config["process"]["user"] = user.clone()).run()
    };
    for uid in [1u64, 65_536, 1 << 31, (1 << 32) - 2] {
        let user = json!({ "uid": uid, "gid": uid });
        assert_eq!(in_config(&user).ok().out(), uid.to_string());
        assert_eq!(in_file(&user).ok().out(), uid.to_string());
    }
    let bad = [json!(-1), json!(4_294_967_295u64), json!(4_294_967_296u64), json!(u64::MAX), json!(1.5), json!("1000")];
    for id in bad.into_iter().chain([json!("root"), json!(true), json!([0]), json!({}), json!(1e300)]) {
        for user in [json!({ "uid": id, "gid": 1 }), json!({ "uid": 1, "gid": id })] {
            in_config(&user).refuses(&["process.user"]);
            in_file(&user).refuses(&["user"]);
        }
        let user = json!({ "uid": 1, "gid": 1, "additionalGids": [id] });
        in_config(&user).refuses(&["process.user"]);
        in_file(&user).refuses(&["user"]);
    }
}

/// libcontainer, containerd: a numeric user was looked up as a name in the image's passwd.
#[test]
fn cve_2016_3697_and_2026_46680_a_number_is_never_a_name() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().with_inside().args(&["/bin/sleep", "1000"]);
    std::fs::write(bundle.rootfs().join("etc/passwd"), "1000:x:0:0::/:/bin/sh\n1000:x:0:0::/:\n").unwrap();
    std::fs::write(bundle.rootfs().join("etc/group"), "1000:x:0:\nroot:x:0:1000\n").unwrap();
    let bundle = bundle.detached();
    let done = bundle.exec_call(&["--user", "1000:1000"], &["/inside", "status"]).run().ok().json();
    assert_eq!(done["Uid"], "1000\t1000\t1000\t1000");
    assert_eq!(done["Gid"], "1000\t1000\t1000\t1000");
}

/// moby, containerd, podman, buildah: the primary group was missing among the supplementary ones, so that a file that denies
/// the group was open. The runtime sets exactly what the configuration says, and the caller's own are never left.
#[test]
fn cve_2022_36109_and_2023_25173_groups_are_those_of_the_configuration() {
    requires!(root, runtime, busybox_image);
    let groups = |list: Value| {
        let bundle = Bundle::busybox().with_inside().args(&["/inside", "groups"]).edit(|config| {
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": list });
        });
        bundle.run().ok().json()
    };
    for list in [json!([]), json!([1000]), json!([1000, 0, 7]), json!([4_294_967_294u32])] {
        let mut sorted: Vec<_> = list.as_array().unwrap().iter().map(|gid| gid.as_u64().unwrap()).collect();
        sorted.sort_unstable();
        assert_eq!(groups(list), json!(sorted));
    }
    let bundle = Bundle::busybox().sh("! cat /denied").edit(|config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [1000] });
    });
    let denied = bundle.rootfs().join("denied");
    std::fs::write(&denied, "secret").unwrap();
    std::fs::set_permissions(&denied, std::os::unix::fs::PermissionsExt::from_mode(0o604)).unwrap();
    std::os::unix::fs::chown(&denied, Some(0), Some(1000)).unwrap();
    assert_eq!(bundle.run().ok().stdout, "");
}
