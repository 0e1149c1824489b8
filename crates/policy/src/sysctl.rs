//! `--sysctl`: only what belongs to a namespace of the container's own.
//!
//! A value that could end one setting and begin another must never reach whoever writes it (CVE-2022-0811).

use std::str::FromStr;

use crate::error::{PolicyError, invalid};

const FLAG: &str = "--sysctl";

/// One `--sysctl NAME=VALUE`, in the spelling with dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// The setting.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The namespace that it belongs to.
    pub namespace: Owner,
}

/// The namespace that a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Network.
    Network,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
}

/// The settings of the IPC namespace (`ipc_namespaces(7)`); also everything below `fs.mqueue.`.
const IPC: [&str; 11] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.msg_next_id",
    "kernel.sem_next_id",
    "kernel.shm_next_id",
];

impl FromStr for Sysctl {
    type Err = PolicyError;

    fn from_str(setting: &str) -> Result<Self, PolicyError> {
        let (name, value) =
            setting.split_once('=').ok_or_else(|| invalid(FLAG, setting, "not of the form NAME=VALUE"))?;
        let usual = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
        if name.is_empty() || !name.bytes().all(usual) {
            return Err(invalid(FLAG, setting, "not the name of a setting"));
        }
        let name = dotted(name);
        // A part without a letter or digit would become `..` in the path of the setting's file.
        if name.split('.').any(|part| !part.bytes().any(|b| b.is_ascii_alphanumeric())) {
            return Err(invalid(FLAG, setting, "not the name of a setting"));
        }
        let namespace = owner(&name)
            .ok_or_else(|| invalid(FLAG, setting, "not a setting of a namespace of the container's own"))?;
        let spaces = takes_several(&name);
        let forbidden = |b: u8| b"+=".contains(&b) || b.is_ascii_control() || (b == b' ' && !spaces);
        if value.is_empty() || value.bytes().any(forbidden) || value.len() > 1024 {
            return Err(invalid(FLAG, setting, "the value is empty or has a sign that no setting takes"));
        }
        Ok(Self { name, value: value.to_owned(), namespace })
    }
}

/// The spelling with dots: where the first separator is `/`, the two change places (`sysctl(8)`).
fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name.as_bytes()[first] == b'/' => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// The namespace that `name` belongs to.
fn owner(name: &str) -> Option<Owner> {
    match name {
        _ if name.starts_with("net.") => Some(Owner::Network),
        _ if name.starts_with("fs.mqueue.") || IPC.contains(&name) => Some(Owner::Ipc),
        "kernel.domainname" | "kernel.hostname" => Some(Owner::Uts),
        _ => None,
    }
}

/// Whether the setting is a list of numbers: the few that are written so.
fn takes_several(name: &str) -> bool {
    matches!(
        name,
        "kernel.sem"
            | "net.ipv4.ip_local_port_range"
            | "net.ipv4.ping_group_range"
            | "net.ipv4.tcp_rmem"
            | "net.ipv4.tcp_wmem"
            | "net.ipv4.udp_mem"
            | "net.ipv4.tcp_mem"
    )
}
