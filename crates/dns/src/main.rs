//! `stockade-dns FOLDER SERVERS [NETWORK...]`: the name server of the container in FOLDER. `stockade` starts it.
//!
//! It is given descriptors besides the standard ones, of which standard output is a pipe that takes its first word: nothing, closed,
//! once it serves, or else why it does not.
//!
//! - 3 and 4: a datagram socket, and one that listens for streams, both bound in the container's network namespace;
//! - 5: the container's first process (`pidfd_open(2)`), with which this one ends;
//! - 6: a locked file, whose lock says that this process lives;
//! - 7 and on: the folders of endpoints of the networks that are named, in their order.
//!
//! SERVERS is a list of addresses with ports, separated by commas, or `-`: then nothing is asked of anybody.

mod confine;
mod relay;
mod serve;
mod stream;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use rustix::fd::OwnedFd;
use stockade_dns::names::{Book, Folder};
use stockade_kernel::chain::chain;
use stockade_kernel::inherit;

use crate::serve::Server;

/// It was not started as the engine starts it.
const MISUSED: u8 = 125;
/// The first of the folders.
const FOLDERS: i32 = 7;

/// What it was given.
struct Given {
    server: [OwnedFd; 4],
    servers: Vec<SocketAddr>,
    networks: Vec<(String, OwnedFd)>,
}

fn main() -> ExitCode {
    let Some(given) = given() else {
        eprintln!("stockade-dns is started by stockade, for a container on networks with names");
        return ExitCode::from(MISUSED);
    };
    match prepare(given) {
        Ok(mut server) => match rustix::stdio::dup2_stdout(rustix::stdio::stdin()) {
            Ok(()) => server.serve(),
            Err(errno) => refuse(&errno.to_string()),
        },
        Err(error) => refuse(&chain(&error)),
    }
}

/// Says why nothing is served.
fn refuse(text: &str) -> ExitCode {
    // Whoever does not hear it sees that this process has ended.
    drop(std::io::stdout().write_all(text.as_bytes()));
    ExitCode::FAILURE
}

fn given() -> Option<Given> {
    let mut words = std::env::args().skip(1);
    let (_folder, servers) = (words.next()?, words.next()?);
    let servers = match servers.as_str() {
        "-" => Vec::new(),
        list => list.split(',').map(|server| server.parse().ok()).collect::<Option<_>>()?,
    };
    let names: Vec<String> = words.collect();
    let take = |number: i32| inherit::take(number).ok();
    let server = [take(3)?, take(4)?, take(5)?, take(6)?];
    for socket in &server[..2] {
        rustix::io::ioctl_fionbio(socket, true).ok()?;
    }
    let mut networks = Vec::new();
    for (name, number) in names.into_iter().zip(FOLDERS..) {
        networks.push((name, take(number)?));
    }
    Some(Given { server, servers, networks })
}

fn prepare(given: Given) -> Result<Server, confine::ConfineError> {
    let (names, folders): (Vec<_>, Vec<_>) = given.networks.into_iter().unzip();
    let confined = confine::confine(&folders)?;
    drop(folders);
    let folders = names.iter().zip(confined).map(|(name, folder)| Folder::new(name, folder)).collect();
    let [datagrams, streams, container, lock] = given.server;
    Ok(Server::new(datagrams, streams, container, lock, Book::new(folders), given.servers))
}
