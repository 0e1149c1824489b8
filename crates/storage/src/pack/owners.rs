//! Ids on the disk and ids in a container.

/// Ids that follow each other, in a container and on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first one in the container.
    pub inside: u32,
    /// The first one on the disk.
    pub outside: u32,
    /// How many.
    pub size: u32,
}

/// The ids of a container with a user namespace of its own; without ranges, ids are what they are on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Those of users.
    pub uids: Vec<Range>,
    /// Those of groups.
    pub gids: Vec<Range>,
}

/// Whom the kernel shows for ids that have no name in a namespace (`/proc/sys/kernel/overflowuid`).
const OVERFLOW: u32 = 65534;

impl Owners {
    /// The user that the container knows `uid` on the disk by.
    #[must_use]
    pub fn uid(&self, uid: u32) -> u32 {
        inside(&self.uids, uid)
    }

    /// The same for a group.
    #[must_use]
    pub fn gid(&self, gid: u32) -> u32 {
        inside(&self.gids, gid)
    }

    /// The ids on the disk of a user and a group of the container; `None` if it has no such ids.
    #[must_use]
    pub fn outside(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        outside(&self.uids, uid).zip(outside(&self.gids, gid))
    }

    /// An extended attribute as the container would read it: the ids in access lists (`acl(5)`), and capabilities of a file that
    /// count in the container's user namespace only (`capabilities(7)`, version 3), which in an archive count where it is unpacked.
    pub(super) fn attribute(&self, name: &[u8], value: Vec<u8>) -> Vec<u8> {
        match name {
            b"security.capability" => capability(&self.uids, value),
            b"system.posix_acl_access" | b"system.posix_acl_default" => {
                self.access_list(value, |owners, tag, id| if tag == ACL_USER { owners.uid(id) } else { owners.gid(id) })
            }
            _ => value,
        }
    }

    /// The way back; `None` if an id has none.
    pub(super) fn attribute_outside(&self, name: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        match name {
            b"security.capability" if !self.uids.is_empty() && value.len() == V2 => {
                let root = outside(&self.uids, 0)?;
                let mut value = value;
                value[3] = 3;
                value.extend_from_slice(&root.to_le_bytes());
                Some(value)
            }
            b"system.posix_acl_access" | b"system.posix_acl_default" => {
                let mut all = true;
                let mapped = self.access_list(value, |owners, tag, id| {
                    let ranges = if tag == ACL_USER { &owners.uids } else { &owners.gids };
                    let found = outside(ranges, id);
                    all &= found.is_some();
                    found.unwrap_or(OVERFLOW)
                });
                all.then_some(mapped)
            }
            _ => Some(value),
        }
    }

    /// The list with the ids of its entries for users and groups changed.
    fn access_list(&self, mut value: Vec<u8>, mut change: impl FnMut(&Self, u16, u32) -> u32) -> Vec<u8> {
        if self.uids.is_empty() && self.gids.is_empty() {
            return value;
        }
        // A version of four bytes, then entries: tag, permissions, id (linux/posix_acl_xattr.h).
        for entry in value.get_mut(4..).unwrap_or_default().chunks_exact_mut(8) {
            let tag = u16::from_le_bytes([entry[0], entry[1]]);
            if matches!(tag, ACL_USER | ACL_GROUP) {
                let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
                entry[4..].copy_from_slice(&change(self, tag, id).to_le_bytes());
            }
        }
        value
    }
}

/// The tags of an access list's entries that have an id.
const ACL_USER: u16 = 0x02;
const ACL_GROUP: u16 = 0x08;
/// The sizes of capabilities of a file, without and with the root that they count for (linux/capability.h).
const V2: usize = 20;
const V3: usize = 24;

fn capability(uids: &[Range], mut value: Vec<u8>) -> Vec<u8> {
    if value.len() == V3 && value[3] == 3 {
        let root = u32::from_le_bytes([value[20], value[21], value[22], value[23]]);
        if inside(uids, root) == 0 {
            value.truncate(V2);
            value[3] = 2;
        }
    }
    value
}

fn inside(ranges: &[Range], id: u32) -> u32 {
    if ranges.is_empty() {
        return id;
    }
    let found = ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.outside)?;
        (offset < range.size).then(|| range.inside.saturating_add(offset))
    });
    found.unwrap_or(OVERFLOW)
}

fn outside(ranges: &[Range], id: u32) -> Option<u32> {
    if ranges.is_empty() {
        return Some(id);
    }
    ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.inside)?;
        (offset < range.size).then(|| range.outside.checked_add(offset)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_both_ways() {
        let range = |inside, outside, size| Range { inside, outside, size };
        let owners = Owners { uids: vec![range(0, 100_000, 1000), range(1000, 5, 1)], gids: vec![range(0, 7, 2)] };
        assert_eq!((owners.uid(100_005), owners.uid(5), owners.uid(0)), (5, 1000, OVERFLOW));
        assert_eq!((owners.gid(8), owners.gid(9)), (1, OVERFLOW));
        assert_eq!(owners.outside(1000, 1), Some((5, 8)));
        assert_eq!(owners.outside(1001, 1), None);
        let same = Owners::default();
        assert_eq!((same.uid(7), same.outside(7, 8)), (7, Some((7, 8))));
    }

    #[test]
    fn attributes_with_ids_are_mapped_both_ways() {
        let range = Range { inside: 0, outside: 100_000, size: 1000 };
        let owners = Owners { uids: vec![range], gids: vec![range] };
        let mut stored = vec![1, 0, 0, 3];
        stored.extend_from_slice(&[7; 16]);
        stored.extend_from_slice(&100_000_u32.to_le_bytes());
        let shown = owners.attribute(b"security.capability", stored.clone());
        assert_eq!((shown.len(), shown[3]), (V2, 2));
        assert_eq!(owners.attribute_outside(b"security.capability", shown), Some(stored));
        let list = |id: u32| [&[2, 0, 0, 0, 2, 0, 7, 0][..], &id.to_le_bytes()].concat();
        let name = b"system.posix_acl_access";
        assert_eq!(owners.attribute(name, list(100_005)), list(5));
        assert_eq!(owners.attribute_outside(name, list(5)), Some(list(100_005)));
        assert_eq!(owners.attribute_outside(name, list(5000)), None);
        assert_eq!(Owners::default().attribute(name, list(5)), list(5));
    }
}
