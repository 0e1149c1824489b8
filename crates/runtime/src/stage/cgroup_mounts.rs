//! The container's cgroups as it sees them: `mounts[]` of the type `cgroup`.
//!
//! Every hierarchy is a bind mount of the container's own group, so that nothing above it can be reached, whether the
//! container has a cgroup namespace or not, and in a user namespace too.

use std::path::{Path, PathBuf};

use stockade_cgroups::Place;
use stockade_kernel::mount::Attributes;

use crate::plan::model::{AttributeChange, MountPlan, MountSource};
use crate::rootfs::{Root, RootfsError};

/// Mounts the groups at `places` as `mount` says: on a pure cgroup2 machine the group itself, otherwise a small file system
/// with a folder for each hierarchy and the customary links to those of several controllers.
pub(super) fn mount(root: &Root, mount: &MountPlan, places: &[Place], readonly: bool) -> Result<(), RootfsError> {
    if let [only] = places
        && only.hierarchy == "unified"
    {
        return root.mount(&bind(mount, only, mount.destination.clone(), readonly), None);
    }
    let folder = MountPlan {
        source: MountSource::New {
            kind: "tmpfs".to_owned(),
            source: "cgroup".into(),
            options: vec![("mode".to_owned(), Some("755".to_owned())), ("size".to_owned(), Some("64k".to_owned()))],
            readonly: false,
        },
        attributes: AttributeChange {
            set: mount.attributes.set - Attributes::READ_ONLY,
            clear: mount.attributes.clear,
            access_times: None,
        },
        recursive_attributes: AttributeChange::default(),
        propagation: Vec::new(),
        ..mount.clone()
    };
    root.mount(&folder, None)?;
    for place in places {
        let name = name_of(place);
        root.mount(&bind(mount, place, mount.destination.join(&name), readonly), None)?;
        for controller in place.hierarchy.split(',').filter(|controller| Path::new(controller) != name) {
            if !controller.contains('=') && *controller != *"unified" {
                root.make_link(&mount.destination.join(controller), &name)?;
            }
        }
    }
    if readonly { root.remount_read_only(&mount.destination) } else { Ok(()) }
}

/// The folder's name: the one that the host uses, for programs look for `cpu,cpuacct` as well as for `cpu`.
fn name_of(place: &Place) -> PathBuf {
    place.mount.file_name().map_or_else(|| PathBuf::from(&place.hierarchy), PathBuf::from)
}

/// A bind mount of the group at `place`.
fn bind(mount: &MountPlan, place: &Place, destination: PathBuf, readonly: bool) -> MountPlan {
    let mut attributes = mount.attributes;
    if readonly {
        attributes.set |= Attributes::READ_ONLY;
    }
    MountPlan {
        destination,
        source: MountSource::Bind { path: place.directory(), recursive: false },
        attributes,
        ..mount.clone()
    }
}
