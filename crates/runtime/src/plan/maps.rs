//! Id maps: of the user namespace and of id-mapped mounts.

use stockade_namespaces::{IdMap, IdRange};
use stockade_spec::IdMapping;

use super::PlanError;

/// The maps of a container's user namespace.
#[derive(Clone, Copy, Debug)]
pub struct IdMaps<'a> {
    /// User ids.
    pub uids: &'a [IdMapping],
    /// Group ids.
    pub gids: &'a [IdMapping],
}

/// Whether `id` of the container stands for an id of the host.
pub(super) fn holds(maps: &[IdMapping], id: u32) -> bool {
    maps.iter().any(|map| id.checked_sub(map.container_id).is_some_and(|offset| offset < map.size))
}

/// The map in the namespaces room's words, which takes what the kernel takes.
pub(super) fn to_room(path: &str, maps: &[IdMapping]) -> Result<IdMap, PlanError> {
    let range = |map: &IdMapping| IdRange { inside: map.container_id, outside: map.host_id, count: map.size };
    IdMap::new(maps.iter().map(range).collect()).map_err(|source| PlanError::Map { path: path.to_owned(), source })
}

/// The map as text: container, host, size of each entry.
pub(super) fn show(maps: &[IdMapping]) -> String {
    let lines: Vec<_> = maps.iter().map(|map| format!("{} {} {}", map.container_id, map.host_id, map.size)).collect();
    lines.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    #[test]
    fn only_what_the_kernel_takes() {
        assert!(to_room("m", &[map(0, 1000, 1), map(1, 100_000, 65536)]).is_ok());
        assert!(to_room("m", &[map(0, 0, u32::MAX)]).is_ok());
        let cases: [&[IdMapping]; 5] = [
            &[map(0, 0, 0)],
            &[map(1, 0, u32::MAX)],
            &[map(0, u32::MAX, 1)],
            &[map(0, 100, 10), map(9, 200, 1)],
            &[map(0, 100, 10), map(20, 109, 1)],
        ];
        for wrong in cases {
            assert_eq!(to_room("m", wrong).unwrap_err().path(), "m", "{wrong:?}");
        }
        let many: Vec<_> = (0..=340).map(|id| map(id, id, 1)).collect();
        assert_eq!(to_room("m", &many).unwrap_err().path(), "m");
    }

    #[test]
    fn mapped_ids() {
        let maps = [map(0, 1000, 1), map(100, 0, 10)];
        assert!(holds(&maps, 0) && holds(&maps, 109) && !holds(&maps, 110) && !holds(&maps, 1));
    }
}
