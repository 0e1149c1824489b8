//! One overlay mount, by descriptors.
//!
//! What a parameter of the kernel's module would decide is said: directories are not renamed by marks that name another place
//! (`redirect_dir`), nor files changed without their data (`metacopy`), and marks of that kind in a layer are not followed; no index of
//! hard links and file handles is kept beside the container's layer (`index`, `nfs_export`).
//!
//! Linux 6.7 takes the layers one by one (`lowerdir+`), so neither their number nor colons in their names matter, and
//! Linux 6.13 takes them as descriptors. Before, they are given to `mount(2)` as one page of text, by the short names
//! that procfs has for our descriptors.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount,
};

use crate::Privilege;

/// The folders of an overlay, opened, topmost layer first.
pub(crate) struct Overlay<'fd> {
    pub(crate) lowers: &'fd [OwnedFd],
    pub(crate) upper: &'fd OwnedFd,
    pub(crate) work: &'fd OwnedFd,
    /// Where it is mounted, in the mount namespace of the caller.
    pub(crate) target: &'fd OwnedFd,
    /// That of the caller.
    pub(crate) privilege: Privilege,
}

/// The step that failed, and how.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: &'static str,
    pub(crate) error: Errno,
}

impl Failure {
    /// Whether overlayfs refused the upper or work folder: it says `EINVAL` of a file system that cannot hold one, once
    /// it has taken the layers below.
    pub(crate) fn is_about_upper(&self) -> bool {
        self.error == Errno::INVAL && matches!(self.step, "upperdir" | "workdir" | "create" | "mount")
    }
}

/// The options against marks that lead elsewhere (`Documentation/filesystems/overlayfs.rst`).
const NO_MARKS: [(&str, &str); 2] = [("redirect_dir", "nofollow"), ("metacopy", "off")];
/// The options against what else a module's parameter would have overlayfs write: an index that binds the upper folder to these lower ones.
const NO_INDEX: [(&str, &str); 2] = [("index", "off"), ("nfs_export", "off")];
/// The option of those who may not set `trusted` attributes.
const USER_MARKS: &str = "userxattr";

fn failed(step: &'static str) -> impl Fn(Errno) -> Failure {
    move |error| Failure { step, error }
}

/// Mounts the overlay.
///
/// # Errors
/// The step that failed; nothing is mounted.
pub(crate) fn attach(overlay: &Overlay<'_>) -> Result<(), Failure> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
    for (index, layer) in overlay.lowers.iter().enumerate() {
        match set(&context, "lowerdir+", layer) {
            // EOPNOTSUPP: before 6.5 overlayfs takes text only, whatever the text is, and judges it at the end.
            Err(Errno::INVAL | Errno::OPNOTSUPP) if index == 0 => return attach_by_names(overlay),
            result => result.map_err(failed("lowerdir+"))?,
        }
    }
    match overlay.privilege {
        Privilege::Host => NO_MARKS.iter().try_for_each(|(key, value)| fsconfig_set_string(&context, *key, *value)),
        // Neither can be had with that.
        Privilege::UserNamespace | Privilege::SingleId => fsconfig_set_flag(&context, USER_MARKS),
    }
    .and_then(|()| NO_INDEX.iter().try_for_each(|(key, value)| fsconfig_set_string(&context, *key, *value)))
    .map_err(failed("options"))?;
    set(&context, "upperdir", overlay.upper).map_err(failed("upperdir"))?;
    set(&context, "workdir", overlay.work).map_err(failed("workdir"))?;
    fsconfig_create(&context).map_err(failed("create"))?;
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map_err(failed("fsmount"))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", overlay.target, "", flags).map_err(failed("move_mount"))
}

/// Gives overlayfs one of its folders, by descriptor where the kernel takes one.
fn set(context: &OwnedFd, key: &str, folder: &OwnedFd) -> Result<(), Errno> {
    match fsconfig_set_fd(context, key, folder) {
        // EBADF: before 6.13 descriptors that are paths alone (`O_PATH`) are none to fsconfig(2), whatever the key.
        Err(Errno::INVAL | Errno::BADF) => fsconfig_set_string(context, key, name(folder)),
        result => result,
    }
}

/// The name that procfs has for our descriptor.
fn name(folder: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}

/// The way of kernels before 6.7: at most some two hundred layers, for which one page of text is enough.
fn attach_by_names(overlay: &Overlay<'_>) -> Result<(), Failure> {
    let lowers: Vec<String> = overlay.lowers.iter().map(name).collect();
    let text = |options: [(&str, &str); 2]| options.map(|(key, value)| format!("{key}={value}")).join(",");
    let marks = match overlay.privilege {
        Privilege::Host => text(NO_MARKS),
        Privilege::UserNamespace | Privilege::SingleId => USER_MARKS.to_owned(),
    };
    let [upper, work] = [overlay.upper, overlay.work].map(name);
    let index = text(NO_INDEX);
    let options = format!("{marks},{index},lowerdir={},upperdir={upper},workdir={work}", lowers.join(":"));
    if options.len() >= 4096 {
        return Err(Failure { step: "options of more than one page", error: Errno::TOOBIG });
    }
    let options = CString::new(options).map_err(|_nul| Failure { step: "options", error: Errno::INVAL })?;
    mount("overlay", name(overlay.target), "overlay", MountFlags::empty(), options.as_c_str()).map_err(failed("mount"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};
    use std::path::Path;
    use stockade_testkit::requires;

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    /// Mounts three layers by `how` and tells what is seen.
    fn seen(how: fn(&Overlay<'_>) -> Result<(), Failure>) -> String {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for name in ["one", "two", "three", "upper", "work", "target"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        for (layer, name) in [("one", "a"), ("two", "a"), ("two", "b"), ("three", "c"), ("three", "b")] {
            std::fs::write(path(layer).join(name), layer).unwrap();
        }
        let lowers = ["one", "two", "three"].map(|name| open(&path(name)));
        let [upper, work, target] = ["upper", "work", "target"].map(|name| open(&path(name)));
        let privilege = Privilege::Host;
        how(&Overlay { lowers: &lowers, upper: &upper, work: &work, target: &target, privilege }).unwrap();
        std::fs::write(path("target/d"), "written").unwrap();
        assert_eq!(std::fs::read_to_string(path("upper/d")).unwrap(), "written");
        let read = |name| std::fs::read_to_string(path("target").join(name)).unwrap();
        ["a", "b", "c"].map(read).join(" ")
    }

    #[test]
    fn both_ways_stack_the_layers() {
        requires!(root, unshare);
        if crate::tests::in_own_mounts("overlay::tests::both_ways_stack_the_layers") {
            assert_eq!(seen(attach), "one two three");
            assert_eq!(seen(attach_by_names), "one two three");
        }
    }

    /// An overlay that an attacker would like: it follows the marks.
    fn credulous(overlay: &Overlay<'_>) -> Result<(), Failure> {
        let lowers: Vec<String> = overlay.lowers.iter().map(name).collect();
        let [upper, work] = [overlay.upper, overlay.work].map(name);
        let follow = "redirect_dir=on,metacopy=on";
        let options = format!("{follow},lowerdir={},upperdir={upper},workdir={work}", lowers.join(":"));
        let options = CString::new(options).unwrap();
        mount("overlay", name(overlay.target), "overlay", MountFlags::empty(), options.as_c_str())
            .map_err(failed("mount"))
    }

    /// What a directory and a file whose marks in the upper layer of two lead to what the lower one keeps from all but root show by `how`.
    fn led(how: fn(&Overlay<'_>) -> Result<(), Failure>) -> [Option<String>; 2] {
        use rustix::fs::{XattrFlags, setxattr};
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for name in ["top/d", "bottom/kept", "upper", "work", "target"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::fs::write(path("bottom/kept/key"), "secret").unwrap();
        std::fs::write(path("top/f"), "").unwrap();
        std::fs::File::options().write(true).open(path("top/f")).unwrap().set_len(6).unwrap();
        for (node, mark, value) in [("d", "redirect", "/kept"), ("f", "metacopy", ""), ("f", "redirect", "/kept/key")] {
            let mark = format!("trusted.overlay.{mark}");
            setxattr(path("top").join(node), mark, value.as_bytes(), XattrFlags::empty()).unwrap();
        }
        let lowers = ["top", "bottom"].map(|name| open(&path(name)));
        let [upper, work, target] = ["upper", "work", "target"].map(|name| open(&path(name)));
        how(&Overlay { lowers: &lowers, upper: &upper, work: &work, target: &target, privilege: Privilege::Host })
            .unwrap();
        ["d/key", "f"].map(|name| std::fs::read_to_string(path("target").join(name)).ok())
    }

    #[test]
    fn marks_in_layers_lead_nowhere() {
        requires!(root, unshare);
        if crate::tests::in_own_mounts("overlay::tests::marks_in_layers_lead_nowhere") {
            let secret = Some("secret".to_owned());
            assert_eq!(led(credulous), [secret.clone(), secret], "the attack is one");
            assert_eq!(led(attach), [None, None]);
            assert_eq!(led(attach_by_names), [None, None]);
        }
    }
}
