//! Limits, and the want of a network.

use stockade_capabilities::Capability;

use super::ways::{Flags, Where};
use super::{Attempt, Certainty, Denial, EAGAIN, EFBIG, EMFILE, ENETUNREACH, ENOMEM, EPERM, Wall, Walls, denial};

/// Names of `RLIMIT_*` as `--ulimit` has them, by number.
const RESOURCES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// Judges what the errors of limits, and of the kernel's answers to raising them, say.
pub(super) fn judge(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    let limit = |certainty| denial(attempt, Wall::Limit, certainty);
    let (name, errno) = (attempt.name(), attempt.errno);
    let asked = |capability| attempt.missed(capability);
    match name {
        "clone" | "clone3" | "fork" | "vfork" if errno == EAGAIN => return processes(walls, attempt),
        "setrlimit" | "prlimit64" if errno == EPERM && asked(Capability::SYS_RESOURCE) => {
            let place = usize::from(name == "prlimit64");
            let resource = *RESOURCES.get(usize::try_from(attempt.arguments[place]).ok()?)?;
            let mut denial = limit(Certainty::Known);
            denial
                .because
                .push(format!("the hard limit {resource} can be raised by CAP_SYS_RESOURCE of the host only"));
            let value = attempt
                .numbers
                .map_or_else(|| "SOFT:HARD".to_owned(), |[soft, hard]| format!("{}:{}", bound(soft), bound(hard)));
            denial.ways.push(Flags::default().limit(format!("--ulimit {resource}={value}")).way());
            return Some(denial);
        }
        "mlock" | "mlock2" | "mlockall" if matches!(errno, ENOMEM | EPERM) && asked(Capability::IPC_LOCK) => {
            let mut denial = limit(Certainty::Known);
            denial.because.push("more memory is locked than the limit memlock lets it".to_owned());
            denial.ways.push(Flags::default().capability(Capability::IPC_LOCK).on(Where::Host, walls.own_users).way());
            return Some(denial);
        }
        _ => {}
    }
    match errno {
        EMFILE => {
            let limits = walls.rlimit("RLIMIT_NOFILE")?;
            let mut denial = limit(Certainty::Inferred);
            denial.because.push(format!("--ulimit nofile is {}", limits.soft));
            let twice = limits.soft.saturating_mul(2);
            denial
                .ways
                .push(Flags::default().limit(format!("--ulimit nofile={twice}:{}", twice.max(limits.hard))).way());
            Some(denial)
        }
        EFBIG => {
            let limits = walls.rlimit("RLIMIT_FSIZE")?;
            let mut denial = limit(Certainty::Inferred);
            denial.because.push(format!("--ulimit fsize is {}", limits.soft));
            denial.ways.push(Flags::default().limit("--ulimit fsize=-1:-1".to_owned()).way());
            Some(denial)
        }
        ENETUNREACH if walls.networkless => {
            let mut denial = denial(attempt, Wall::Network, Certainty::Known);
            denial.because.push("it has a loopback only".to_owned());
            denial.ways.push(Flags::default().network().way());
            Some(denial)
        }
        _ => None,
    }
}

/// A bound as `--ulimit` has it.
fn bound(number: u64) -> String {
    if number == u64::MAX { "-1".to_owned() } else { number.to_string() }
}

/// A process that could not be made.
fn processes(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    if let (true, Some(most)) = (attempt.met_pids_limit != Some(false), walls.pids) {
        let certainty = if attempt.met_pids_limit.is_some() { Certainty::Known } else { Certainty::Inferred };
        let mut denial = denial(attempt, Wall::Pids, certainty);
        denial.because.push(format!("it may have {most} processes and threads"));
        denial.ways.push(Flags::default().limit(format!("--pids-limit {}", most.saturating_mul(2))).way());
        return Some(denial);
    }
    let limits = walls.rlimit("RLIMIT_NPROC")?;
    let mut denial = denial(attempt, Wall::Limit, Certainty::Inferred);
    denial.because.push(format!("--ulimit nproc is {}, of all processes of that user", limits.soft));
    denial.ways.push(Flags::default().limit("--ulimit nproc=-1:-1".to_owned()).way());
    Some(denial)
}

/// A process that the kernel killed for want of memory; `None` if the container has no limit of its own.
pub(crate) fn memory(walls: &Walls) -> Option<Denial> {
    let most = walls.memory?;
    Some(Denial {
        tried: "using memory".to_owned(),
        ended: "ended with a process of it being killed".to_owned(),
        wall: Wall::Memory,
        certainty: Certainty::Known,
        because: vec![format!("it may have {most} bytes")],
        ways: vec![Flags::default().limit(format!("--memory {}", most.saturating_mul(2))).way()],
    })
}
