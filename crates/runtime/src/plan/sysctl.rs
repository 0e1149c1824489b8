//! `linux.sysctl`: only parameters that belong to a namespace of the container, never one of the whole machine.

use std::collections::BTreeMap;

use super::PlanError;
use super::model::Sysctl;
use super::namespaces::Own;
use stockade_spec::NamespaceType;

/// The parameters of an IPC namespace in `kernel/` (`ipc/ipc_sysctl.c`).
const IPC: [&str; 12] = [
    "auto_msgmni",
    "msg_next_id",
    "msgmax",
    "msgmnb",
    "msgmni",
    "sem",
    "sem_next_id",
    "shm_next_id",
    "shm_rmid_forced",
    "shmall",
    "shmmax",
    "shmmni",
];

/// Plans the parameters; `own` tells which namespaces are not the host's.
pub(super) fn plan(
    sysctls: &BTreeMap<String, String>,
    own: &Own,
    hostname: &str,
    domainname: &str,
) -> Result<Vec<Sysctl>, PlanError> {
    let mut planned: Vec<Sysctl> = Vec::new();
    for (name, value) in sysctls {
        let path = format!("linux.sysctl[{name:?}]");
        let file = file(&path, name)?;
        let namespace = namespace(&path, name, &file)?;
        if !own.has(namespace) {
            let kind = namespace.word();
            let why = format!("it would change the host; it needs a {kind} namespace of the container's own");
            return Err(PlanError::conflict(path, value, "linux.namespaces", why));
        }
        if value.contains(['\n', '\0']) {
            return Err(PlanError::invalid(path, value, "one line without NUL"));
        }
        for (parameter, property, set) in
            [("kernel/hostname", "hostname", hostname), ("kernel/domainname", "domainname", domainname)]
        {
            if file == parameter && !set.is_empty() {
                return Err(PlanError::conflict(path, value, property, "both set the same name"));
            }
        }
        if planned.iter().any(|other| other.path == file) {
            return Err(PlanError::conflict(
                path,
                value,
                "linux.sysctl",
                "the same parameter is given in two spellings",
            ));
        }
        planned.push(Sysctl { path: file, value: value.clone() });
    }
    Ok(planned)
}

/// The parameter's file below `/proc/sys`, as sysctl(8) finds it: the first separator, `.` or `/`, is the separator,
/// and the other one is part of a name (`net.ipv4.conf.eth0/1.forwarding`).
///
/// CVE-2022-0811: nothing that another program could take for a second parameter is let through.
fn file(path: &str, name: &str) -> Result<String, PlanError> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '/' | '_' | '-' | ':' | '@');
    let dotted = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('.'));
    let swap = |letter| match letter {
        '.' if dotted => '/',
        '/' if dotted => '.',
        other => other,
    };
    let file: String = name.chars().map(swap).collect();
    let part_is_wrong = |part: &str| matches!(part, "" | "." | "..");
    if name.len() > 255 || !name.chars().all(good) || file.split('/').any(part_is_wrong) {
        return Err(PlanError::invalid(path, name, "the name of a kernel parameter, like net.ipv4.ip_forward"));
    }
    Ok(file)
}

/// The namespace to which a parameter belongs.
fn namespace(path: &str, name: &str, file: &str) -> Result<NamespaceType, PlanError> {
    match file.split_once('/') {
        Some(("net", _)) => Ok(NamespaceType::Network),
        Some(("fs", rest)) if rest.starts_with("mqueue/") => Ok(NamespaceType::Ipc),
        Some(("kernel", parameter)) if IPC.contains(&parameter) => Ok(NamespaceType::Ipc),
        Some(("kernel", "hostname" | "domainname")) => Ok(NamespaceType::Uts),
        _ => {
            let allowed = "a parameter of a namespace: net.*, fs.mqueue.*, kernel.shm*, kernel.msg*, kernel.sem, \
                           kernel.hostname, kernel.domainname";
            Err(PlanError::invalid(path, name, allowed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_one(name: &str, value: &str, own: &[NamespaceType]) -> Result<Vec<Sysctl>, PlanError> {
        plan(&BTreeMap::from([(name.to_owned(), value.to_owned())]), &Own::of(own), "", "")
    }

    #[test]
    fn names_are_read_as_sysctl_does() {
        let own = [NamespaceType::Network, NamespaceType::Ipc, NamespaceType::Uts];
        for (name, file) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced"),
            ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
            ("kernel.domainname", "kernel/domainname"),
        ] {
            assert_eq!(plan_one(name, "1", &own).unwrap()[0].path, file);
        }
    }

    #[test]
    fn cve_2022_0811_parameters_of_the_machine_are_refused() {
        let own = [NamespaceType::Network, NamespaceType::Ipc, NamespaceType::Uts];
        for name in [
            "kernel.core_pattern",
            "kernel.shm_rmid_forced+kernel.core_pattern",
            "net/../kernel/core_pattern",
            "net.//.kernel.core_pattern",
            "net..ipv4",
            "net",
            "net.",
            "",
            "/net/ipv4",
            "net.ipv4 ip_forward",
            "net.ipv4\n",
            "kernel.shm",
            "kernel.shmmax.x",
            "fs.mqueue",
            "vm.swappiness",
            "user.max_user_namespaces",
        ] {
            let error = plan_one(name, "1", &own).unwrap_err();
            assert!(error.path().starts_with("linux.sysctl["), "{name}: {error}");
        }
        assert!(plan_one("net.ipv4.ip_forward", "1\n2", &own).is_err());
    }

    #[test]
    fn the_hosts_namespaces_are_not_changed() {
        for (name, needed) in [
            ("net.ipv4.ip_forward", NamespaceType::Network),
            ("kernel.msgmax", NamespaceType::Ipc),
            ("fs.mqueue.msg_max", NamespaceType::Ipc),
            ("kernel.hostname", NamespaceType::Uts),
        ] {
            assert!(plan_one(name, "1", &[]).is_err());
            assert!(plan_one(name, "1", &[needed]).is_ok());
        }
    }
}
