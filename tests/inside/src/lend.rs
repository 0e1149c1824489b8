//! A folder whose descriptor one container gives to another, and what that one can do by it.

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::{Value, json};
use stockade_kernel::fdpass;

/// `lend SOCKET FOLDER`: gives the folder to whoever connects first, and waits until that one is done.
pub(crate) fn lend(arguments: &[String]) -> io::Result<Value> {
    let [socket, folder] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    let folder = openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let listener = socket_of_ours()?;
    // Under its name only once it can be connected to.
    let new = format!("{socket}.new");
    rustix::net::bind(&listener, &SocketAddrUnix::new(&new)?)?;
    rustix::net::listen(&listener, 1)?;
    std::fs::rename(&new, socket)?;
    let connection = rustix::net::accept(&listener)?;
    fdpass::send(&connection, b"folder", &[std::os::fd::AsFd::as_fd(&folder)])?;
    let (length, _) = fdpass::receive(&connection, &mut [0; 1])?;
    Ok(json!(length))
}

/// `borrow SOCKET NAME`: takes a folder and says the errno of each attempt to read, write, make, remove and give away something in it.
pub(crate) fn borrow(arguments: &[String]) -> io::Result<Value> {
    let [socket, name] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
    let connection = socket_of_ours()?;
    rustix::net::connect(&connection, &SocketAddrUnix::new(Path::new(socket))?)?;
    let (_, descriptors) = fdpass::receive(&connection, &mut [0; 16])?;
    let folder = descriptors.first().ok_or(io::ErrorKind::NotFound)?;
    let errno = |result: Result<(), rustix::io::Errno>| result.err().map(rustix::io::Errno::raw_os_error);
    let open = |flags| openat(folder, name, flags, Mode::empty()).map(drop);
    let (root, mode) = (rustix::fs::Uid::ROOT, Mode::from_raw_mode(0o777));
    Ok(json!({
        "list": errno(openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).map(drop)),
        "read": errno(open(OFlags::RDONLY)),
        "write": errno(open(OFlags::WRONLY)),
        "make": errno(rustix::fs::mkdirat(folder, "made", mode)),
        "remove": errno(rustix::fs::unlinkat(folder, name, AtFlags::empty())),
        "own": errno(rustix::fs::chownat(folder, name, Some(root), None, AtFlags::empty())),
        "mode": errno(rustix::fs::chmodat(folder, name, mode, AtFlags::empty())),
    }))
}

fn socket_of_ours() -> io::Result<rustix::fd::OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}
