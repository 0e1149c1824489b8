//! Which namespaces a container gets: decided without touching anything.

use std::path::PathBuf;

use stockade_kernel::namespace::Namespaces;

use crate::maps::IdMap;

/// One namespace that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its kind: exactly one.
    pub kind: Namespaces,
    /// An existing one to join, absolute; `None`: a new one.
    pub path: Option<PathBuf>,
}

/// The maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// Of users.
    pub users: IdMap,
    /// Of groups.
    pub groups: IdMap,
}

/// An amount that a clock of a time namespace is ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds, under a thousand million.
    pub nanoseconds: u32,
}

/// The offsets of a time namespace (`time_namespaces(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeOffsets {
    /// Of CLOCK_MONOTONIC.
    pub monotonic: Clock,
    /// Of CLOCK_BOOTTIME.
    pub boottime: Clock,
}

/// A container's namespaces; those in neither `new` nor `joined` are the runtime's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    new: Namespaces,
    joined: Vec<(Namespaces, PathBuf)>,
    maps: Option<IdMaps>,
    offsets: Option<TimeOffsets>,
}

/// Requests that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No kind or several in one request.
    #[error("a request names exactly one kind of namespace, not {0:?}")]
    NotOneKind(Namespaces),
    /// The same kind twice.
    #[error("the namespace {0:?} was asked for twice")]
    Twice(Namespaces),
    /// A path that depends on the working directory.
    #[error("the path {} of the namespace {kind:?} is not absolute", path.display())]
    Relative {
        /// The kind.
        kind: Namespaces,
        /// The path.
        path: PathBuf,
    },
    /// Maps, and no user namespace that could take them.
    #[error("id maps were given without a new user namespace")]
    MapsWithoutUserNamespace,
    /// A new user namespace in which no id exists.
    #[error("a new user namespace needs a map of users and one of groups")]
    UserNamespaceWithoutMaps,
    /// Offsets, and no time namespace that could take them.
    #[error("clock offsets were given without a new time namespace")]
    OffsetsWithoutTimeNamespace,
    /// Nanoseconds that are a second or more.
    #[error("{0} nanoseconds are a second or more")]
    Nanoseconds(u32),
}

impl Plan {
    /// Decides.
    ///
    /// # Errors
    /// [`PlanError`] for requests that contradict each other.
    pub fn new(
        requests: impl IntoIterator<Item = Request>,
        maps: IdMaps,
        offsets: Option<TimeOffsets>,
    ) -> Result<Self, PlanError> {
        let mut plan = Self { offsets, ..Self::default() };
        for request in requests {
            plan.take(request)?;
        }
        let new_user = plan.new.contains(Namespaces::USER);
        let mapped = [&maps.users, &maps.groups].map(|map| !map.ranges().is_empty());
        match (new_user, mapped) {
            (false, [false, false]) => {}
            (false, _) => return Err(PlanError::MapsWithoutUserNamespace),
            (true, [true, true]) => plan.maps = Some(maps),
            (true, _) => return Err(PlanError::UserNamespaceWithoutMaps),
        }
        if let Some(offsets) = offsets {
            if !plan.new.contains(Namespaces::TIME) {
                return Err(PlanError::OffsetsWithoutTimeNamespace);
            }
            let clocks = [offsets.monotonic, offsets.boottime];
            if let Some(clock) = clocks.iter().find(|clock| clock.nanoseconds >= 1_000_000_000) {
                return Err(PlanError::Nanoseconds(clock.nanoseconds));
            }
        }
        Ok(plan)
    }

    fn take(&mut self, request: Request) -> Result<(), PlanError> {
        let kind = request.kind;
        if kind.bits().count_ones() != 1 || !Namespaces::all().contains(kind) {
            return Err(PlanError::NotOneKind(kind));
        }
        if self.new.contains(kind) || self.joined.iter().any(|(joined, _)| *joined == kind) {
            return Err(PlanError::Twice(kind));
        }
        match request.path {
            None => self.new |= kind,
            Some(path) if path.is_absolute() => self.joined.push((kind, path)),
            Some(path) => return Err(PlanError::Relative { kind, path }),
        }
        Ok(())
    }

    /// All that are new.
    #[must_use]
    pub fn new_ones(&self) -> Namespaces {
        self.new
    }

    /// Those joined by path. A user namespace comes first, for it gives the right to join the others; a mount namespace
    /// comes last, for it takes the paths away.
    #[must_use]
    pub fn joined(&self) -> Vec<(Namespaces, &std::path::Path)> {
        let mut joined: Vec<_> = self.joined.iter().map(|(kind, path)| (*kind, path.as_path())).collect();
        joined.sort_by_key(|(kind, _)| (*kind != Namespaces::USER, *kind == Namespaces::MOUNT));
        joined
    }

    /// Those that the container's `clone3(2)` makes.
    #[must_use]
    pub fn clone_flags(&self) -> Namespaces {
        self.new - Namespaces::CGROUP - Namespaces::TIME
    }

    /// Those that the child makes after it joined its cgroups.
    #[must_use]
    pub fn unshared_by_child(&self) -> Namespaces {
        self.new & Namespaces::CGROUP
    }

    /// Those that the parent makes for its children before it clones.
    #[must_use]
    pub fn unshared_by_parent(&self) -> Namespaces {
        self.new & Namespaces::TIME
    }

    /// The maps of the new user namespace.
    #[must_use]
    pub fn maps(&self) -> Option<&IdMaps> {
        self.maps.as_ref()
    }

    /// The offsets of the new time namespace.
    #[must_use]
    pub fn offsets(&self) -> Option<TimeOffsets> {
        self.offsets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::IdRange;

    fn new(kind: Namespaces) -> Request {
        Request { kind, path: None }
    }

    fn joined(kind: Namespaces, path: &str) -> Request {
        Request { kind, path: Some(path.into()) }
    }

    fn maps() -> IdMaps {
        let map = IdMap::new(vec![IdRange { inside: 0, outside: 100_000, count: 10 }]).unwrap();
        IdMaps { users: map.clone(), groups: map }
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |requests: &[Request], maps, offsets| Plan::new(requests.to_vec(), maps, offsets).unwrap_err();
        let (pid, user, none) = (Namespaces::PID, Namespaces::USER, IdMaps::default());
        assert_eq!(refused(&[new(pid), joined(pid, "/x")], none.clone(), None), PlanError::Twice(pid));
        assert_eq!(refused(&[new(pid | user)], none.clone(), None), PlanError::NotOneKind(pid | user));
        assert!(matches!(refused(&[joined(pid, "x")], none.clone(), None), PlanError::Relative { .. }));
        assert_eq!(refused(&[new(pid)], maps(), None), PlanError::MapsWithoutUserNamespace);
        assert_eq!(refused(&[joined(user, "/x")], maps(), None), PlanError::MapsWithoutUserNamespace);
        assert_eq!(refused(&[new(user)], none.clone(), None), PlanError::UserNamespaceWithoutMaps);
        let offsets = TimeOffsets::default();
        assert_eq!(refused(&[new(pid)], none.clone(), Some(offsets)), PlanError::OffsetsWithoutTimeNamespace);
        let clock = Clock { seconds: 0, nanoseconds: 1_000_000_000 };
        let offsets = Some(TimeOffsets { boottime: clock, ..offsets });
        assert_eq!(refused(&[new(Namespaces::TIME)], none, offsets), PlanError::Nanoseconds(1_000_000_000));
    }

    #[test]
    fn each_is_made_by_whom_it_must_be() {
        let all = Namespaces::all().iter().map(new);
        let plan = Plan::new(all, maps(), None).unwrap();
        let parts = [plan.clone_flags(), plan.unshared_by_child(), plan.unshared_by_parent()];
        assert_eq!(parts[0] | parts[1] | parts[2], Namespaces::all());
        assert_eq!(parts[1..], [Namespaces::CGROUP, Namespaces::TIME]);
        let paths = [Namespaces::MOUNT, Namespaces::NET, Namespaces::USER].map(|kind| joined(kind, "/x"));
        let order: Vec<_> = Plan::new(paths, IdMaps::default(), None).unwrap().joined().iter().map(|j| j.0).collect();
        assert_eq!(order, [Namespaces::USER, Namespaces::NET, Namespaces::MOUNT]);
    }
}
