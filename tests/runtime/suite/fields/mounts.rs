//! `mounts`.

use serde_json::{Value, json};
use stockade_testkit::requires;

use super::{Case, Prints, Refused, case, try_all};

/// Adds a mount to the configuration.
fn mount(config: &mut Value, kind: &str, source: &str, options: &[&str]) {
    let one = json!({ "type": kind, "source": source, "destination": "/mnt", "options": options });
    config["mounts"].as_array_mut().unwrap().push(one);
}

/// Options of the mount on `/mnt`, then those of its file system, then its propagation.
const MOUNT: &str = "grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6";
// Some kernels number a tmpfs' files with 64 bits, and say so.
const SUPER: &str = "grep ' /mnt ' /proc/mounts | cut -d' ' -f4 | sed s/,inode64//";
const PROPAGATION: &str = "grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f7 | cut -d: -f1";

pub(super) const MOUNTS: &[Case] = &[
    case(
        "mounts.destination",
        |c| {
            mount(c, "tmpfs", "tmpfs", &[]);
            c["mounts"][7]["destination"] = json!("relative/../mnt");
        },
        Prints("grep ' /mnt ' /proc/mounts | cut -d' ' -f3", "tmpfs"),
    ),
    case("mounts.destination", |c| c["mounts"][1]["destination"] = json!("/x/.."), Refused("mounts[1].destination")),
    case("mounts.type", |c| mount(c, "no-such-fs", "x", &[]), Refused("no-such-fs")),
    case("mounts.source", |c| mount(c, "bind", "rootfs/bin", &["bind"]), Prints("ls /mnt/busybox", "/mnt/busybox")),
    case("mounts.source", |c| mount(c, "bind", "/no/source", &["bind"]), Refused("/no/source")),
    case("mounts.options", |c| mount(c, "bind", "rootfs/bin", &["bind", "x"]), Refused("mounts[7].options")),
    case("mounts.options", |c| mount(c, "tmpfs", "tmpfs", &["x=y"]), Refused("tmpfs")),
    case("mounts.options", |c| mount(c, "tmpfs", "tmpfs", &["remount"]), Refused("mounts[7].options")),
    case("mounts.options", |c| mount(c, "bind", "rootfs/bin", &["bind", "ro"]), Prints(MOUNT, "ro,relatime")),
    case("mounts.options", |c| mount(c, "bind", "rootfs/bin", &["bind", "ro", "rw"]), Prints(MOUNT, "rw,relatime")),
    case(
        "mounts.options",
        |c| mount(c, "bind", "rootfs/bin", &["bind", "nosuid", "nodev", "noexec", "nosymfollow"]),
        Prints(MOUNT, "rw,nosuid,nodev,noexec,relatime,nosymfollow"),
    ),
    case(
        "mounts.options",
        |c| mount(c, "bind", "rootfs/bin", &["bind", "noexec", "exec", "nodev", "dev", "nosymfollow", "symfollow"]),
        Prints(MOUNT, "rw,relatime"),
    ),
    case(
        "mounts.options",
        |c| mount(c, "tmpfs", "x", &["noatime", "nodiratime"]),
        Prints(MOUNT, "rw,noatime,nodiratime"),
    ),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["strictatime"]), Prints(MOUNT, "rw")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["noatime", "relatime"]), Prints(MOUNT, "rw,relatime")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["ro"]), Prints(SUPER, "ro,relatime")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["sync", "dirsync"]), Prints(SUPER, "rw,sync,dirsync,relatime")),
    case(
        "mounts.options",
        |c| mount(c, "tmpfs", "x", &["sync", "async", "mode=700"]),
        Prints(SUPER, "rw,relatime,mode=700"),
    ),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["shared"]), Prints(PROPAGATION, "shared")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["rshared", "rprivate"]), Prints(PROPAGATION, "-")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["unbindable"]), Prints(PROPAGATION, "unbindable")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["shared", "slave"]), Prints(PROPAGATION, "-")),
    case("mounts.options", |c| mount(c, "bind", "/sys", &["rbind", "rro", "rnosuid"]), Prints(BELOW, "ro ro")),
    case("mounts.options", |c| mount(c, "bind", "/sys", &["bind", "rro"]), Prints(BELOW, "ro")),
    case("mounts.options", |c| mount(c, "bind", "/sys", &["rbind", "rro", "rrw"]), Prints(BELOW, "rw rw")),
    case(
        "mounts.options",
        |c| {
            mount(c, "tmpfs", "x", &["tmpcopyup"]);
            c["mounts"][7]["destination"] = json!("/bin");
        },
        Prints("test -L /bin/ls && grep -o '/bin tmpfs' /proc/mounts", "/bin tmpfs"),
    ),
    case("mounts.options", |c| mount(c, "proc", "x", &["tmpcopyup"]), Refused("mounts[7]")),
    case("mounts.uidMappings", |c| mapped(c, &["bind"]), Prints("stat -c '%u %g' /mnt /mnt/busybox", "70 80\n70 80")),
    case("mounts.gidMappings", |c| mapped(c, &["rbind", "ridmap"]), Prints("stat -c '%u %g' /mnt", "70 80")),
    case("mounts.options", |c| mount(c, "bind", "rootfs/bin", &["bind", "idmap"]), Refused("mounts[7].uidMappings")),
    case(
        "mounts.uidMappings",
        |c| {
            mount(c, "bind", "rootfs/bin", &["bind"]);
            c["mounts"][7]["uidMappings"] = json!([{ "containerID": 0, "hostID": 70, "size": 1 }]);
        },
        Refused("mounts[7].gidMappings"),
    ),
];

/// Whether the mount on `/mnt` is read-only, then what is found below it.
const BELOW: &str = "for place in '/mnt ' /mnt/; do \
    grep \" $place\" /proc/self/mountinfo | cut -d' ' -f6 | cut -c1-2 | sort -u; done | tr '\\n' ' '";

/// The image's `/bin`, which root owns, at `/mnt` with other ids.
fn mapped(config: &mut Value, options: &[&str]) {
    mount(config, "bind", "rootfs/bin", options);
    config["mounts"][7]["uidMappings"] = json!([{ "containerID": 0, "hostID": 70, "size": 1 }]);
    config["mounts"][7]["gidMappings"] = json!([{ "containerID": 0, "hostID": 80, "size": 1 }]);
}

#[test]
fn mount_properties() {
    requires!(root, stake, busybox_image);
    try_all(MOUNTS);
}
