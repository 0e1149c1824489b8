//! `process.rlimits`.

use rustix::process::Resource;
use stockade_spec::Rlimit;

use super::PlanError;
use super::model::ResourceLimit;

/// The resources of `getrlimit(2)`.
const NAMES: [(&str, Resource); 16] = [
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_STACK", Resource::Stack),
];

/// Plans the limits: which, soft, hard.
pub(super) fn plan(limits: &[Rlimit]) -> Result<Vec<ResourceLimit>, PlanError> {
    let mut planned = Vec::with_capacity(limits.len());
    for (index, limit) in limits.iter().enumerate() {
        let path = |field| format!("process.rlimits[{index}].{field}");
        let Some((_, resource)) = NAMES.iter().find(|(name, _)| *name == limit.kind) else {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            return Err(PlanError::invalid(path("type"), &limit.kind, format!("one of {}", names.join(", "))));
        };
        if let Some(first) = limits.iter().take(index).position(|other| other.kind == limit.kind) {
            let other = format!("process.rlimits[{first}]");
            return Err(PlanError::conflict(path("type"), &limit.kind, other, "each resource has one limit"));
        }
        if limit.soft > limit.hard {
            let hard = format!("{} ({})", path("hard"), limit.hard);
            let soft = format!("{} of {}", limit.soft, limit.kind);
            return Err(PlanError::conflict(path("soft"), soft, hard, "soft can not exceed hard"));
        }
        let finite = |value: u64| (value != u64::MAX).then_some(value);
        planned.push((*resource, finite(limit.soft), finite(limit.hard)));
    }
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(kind: &str, soft: u64, hard: u64) -> Rlimit {
        Rlimit { kind: kind.to_owned(), soft, hard }
    }

    #[test]
    fn sixteen_names() {
        for (name, resource) in NAMES {
            assert_eq!(plan(&[limit(name, 1, u64::MAX)]).unwrap(), [(resource, Some(1), None)]);
        }
        for name in ["RLIMIT_FOO", "NOFILE", "rlimit_nofile", ""] {
            assert_eq!(plan(&[limit(name, 1, 1)]).unwrap_err().path(), "process.rlimits[0].type");
        }
        assert_eq!(plan(&[limit("RLIMIT_CPU", 2, 1)]).unwrap_err().path(), "process.rlimits[0].soft");
        let twice = [limit("RLIMIT_CPU", 1, 1), limit("RLIMIT_CPU", 1, 1)];
        assert_eq!(plan(&twice).unwrap_err().path(), "process.rlimits[1].type");
    }
}
