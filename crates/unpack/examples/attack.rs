//! What somebody who has taken `stockade-unpack` over would try, one thing at a time: `attack FOLDER WHAT`, with the descriptor of a folder
//! as its program gets it. Says what came of it; a call that is not allowed kills it before.

use std::os::fd::AsFd;
use std::process::{Command, ExitCode};

use rustix::fs::{CWD, Mode, OFlags, XattrFlags};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let number = arguments.next().unwrap_or_default().parse().unwrap_or(-1);
    let what = arguments.next().unwrap_or_default();
    let folder = match stockade_kernel::inherit::take(number) {
        Ok(folder) => folder,
        Err(error) => return said(&format!("no folder: {error}")),
    };
    match stockade_unpack::confine(folder) {
        Ok(root) => said(&attack(&what, root.as_fd())),
        Err(error) => said(&format!("not confined: {}", stockade_kernel::chain::chain(&error))),
    }
}

fn said(outcome: &str) -> ExitCode {
    println!("{outcome}");
    ExitCode::SUCCESS
}

fn attack(what: &str, root: rustix::fd::BorrowedFd<'_>) -> String {
    let open = |path: &str| rustix::fs::openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(drop);
    let word = |name: &str| name.strip_prefix("open ").map(str::to_owned);
    let outcome: Result<(), std::io::Error> = match what {
        "nothing" => Ok(()),
        "socket" => rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None)
            .map(drop)
            .map_err(Into::into),
        "execute" => Command::new("/bin/sh").status().map(drop),
        "unshare" => stockade_kernel::namespace::unshare(stockade_kernel::namespace::Namespaces::USER),
        "signal" => rustix::process::test_kill_process(rustix::process::Pid::INIT).map_err(Into::into),
        "mount" => rustix::mount::unmount("/", rustix::mount::UnmountFlags::DETACH).map_err(Into::into),
        "chroot" => rustix::process::chroot("/").map_err(Into::into),
        "thread" => std::thread::Builder::new().spawn(|| {}).map(drop),
        "limit" => {
            let limit = rustix::process::Rlimit { current: None, maximum: None };
            rustix::process::setrlimit(rustix::process::Resource::Data, limit).map_err(Into::into)
        }
        "overlay" => {
            rustix::fs::fsetxattr(root, "trusted.overlay.opaque", b"y", XattrFlags::empty()).map_err(Into::into)
        }
        "device" => {
            let number = rustix::fs::makedev(1, 3);
            let kind = rustix::fs::FileType::CharacterDevice;
            rustix::fs::mknodat(CWD, "/null", kind, Mode::from_raw_mode(0o666), number)
                .and_then(|()| open("null"))
                .map_err(Into::into)
        }
        "memory" => {
            let mut memory: Vec<u8> = Vec::new();
            memory.try_reserve_exact(256 << 20).map_err(|_refused| rustix::io::Errno::NOMEM.into())
        }
        other => word(other).map_or(Ok(()), |path| open(&path).map_err(Into::into)),
    };
    match outcome {
        Ok(()) => "done".to_owned(),
        Err(error) => error.to_string(),
    }
}
