//! Which process of the host has a port, for who cannot have it (`proc_pid_net(5)`, `proc_pid_fd(5)`).

use std::net::IpAddr;

use rustix::fs::{Dir, OFlags};
use stockade_kernel::procfs::{Procfs, Subject};

use crate::model::Protocol;

/// The state of a TCP socket that listens (`TCP_LISTEN` of the kernel).
const LISTENS: &str = "0A";

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: i32,
    /// How it calls itself, with what could move a terminal's cursor written out.
    pub name: String,
}

/// The process that has the port of that address, or of all, in the network namespace that the caller is in: of several that of the least id. `None`
/// where none is found: the kernel's own, one of another pid namespace, one that has ended, or SCTP, whose sockets are not told there.
#[must_use]
pub fn holder(host: Option<IpAddr>, port: u16, protocol: Protocol) -> Option<Holder> {
    let (files, listens) = match protocol {
        Protocol::Tcp => (["net/tcp", "net/tcp6"], true),
        Protocol::Udp => (["net/udp", "net/udp6"], false),
        Protocol::Sctp => return None,
    };
    let procfs = Procfs::host().ok()?;
    let tables = files.iter().filter_map(|file| procfs.read(Subject::Myself, file).ok());
    let sockets = tables.flat_map(|table| sockets(&String::from_utf8_lossy(&table), host, port, listens));
    let sockets: Vec<Vec<u8>> = sockets.map(|inode| format!("socket:[{inode}]").into_bytes()).collect();
    if sockets.is_empty() {
        return None;
    }
    let folder = procfs.open_at(".", OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
    let entries = Dir::new(folder).ok()?.flatten();
    let mut pids: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok()).collect();
    pids.sort_unstable();
    let has = |pid: &i32| {
        // What ends meanwhile has nothing.
        let all = procfs.descriptors(Subject::Pid(*pid)).unwrap_or_default();
        all.iter().any(|one| sockets.contains(&one.target))
    };
    let pid = pids.into_iter().find(has)?;
    let name = procfs.read(Subject::Pid(pid), "comm").ok()?;
    Some(Holder { pid, name: String::from_utf8_lossy(name.trim_ascii_end()).escape_debug().to_string() })
}

/// The inodes of a table's sockets with that port that would get what is for `host`.
fn sockets(table: &str, host: Option<IpAddr>, port: u16, listens: bool) -> Vec<String> {
    let wanted = host.filter(|host| !host.is_unspecified()).map(written);
    let inode = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, number) = words.get(1)?.rsplit_once(':')?;
        let any = address.bytes().all(|digit| digit == b'0');
        let right = any || wanted.as_ref().is_none_or(|wanted| wanted == address);
        let here = u16::from_str_radix(number, 16) == Ok(port) && (!listens || *words.get(3)? == LISTENS);
        (right && here).then(|| words.get(9).map(|inode| (*inode).to_owned()))?
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// An address as these tables have it: words of 32 bits in the machine's order.
fn written(address: IpAddr) -> String {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let word = |bytes: &[u8]| format!("{:08X}", bytes.try_into().map_or(0, u32::from_ne_bytes));
    octets.chunks(4).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 33 1 0 20 4 30 10 -1
";

    #[test]
    fn sockets_are_found_by_port_and_address() {
        let of =
            |host: Option<&str>, port, listens| sockets(TABLE, host.map(|host| host.parse().unwrap()), port, listens);
        assert_eq!(of(None, 8080, true), ["11"]);
        assert_eq!(of(Some("127.0.0.1"), 8080, false), ["11", "33"]);
        assert_eq!(of(Some("127.0.0.2"), 8080, true), [""; 0]);
        assert_eq!(of(Some("127.0.0.2"), 80, true), ["22"]);
        assert_eq!(of(Some("0.0.0.0"), 8080, true), ["11"]);
        assert_eq!(written("::1".parse().unwrap()), "00000000000000000000000001000000");
    }

    #[test]
    fn this_process_has_its_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = std::net::UdpSocket::bind("[::1]:0").unwrap();
        let own = std::process::id().cast_signed();
        let found = holder(None, listener.local_addr().unwrap().port(), Protocol::Tcp).unwrap();
        assert!(found.pid == own && !found.name.is_empty(), "{found:?}");
        let port = datagrams.local_addr().unwrap().port();
        assert_eq!(holder("::1".parse().ok(), port, Protocol::Udp).unwrap().pid, own);
        assert_eq!(holder("::2".parse().ok(), port, Protocol::Udp), None);
    }
}
