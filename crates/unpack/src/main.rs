//! `stockade-unpack COMPRESSION FOLDER PRIVILEGE`: unpacks one layer from standard input into the folder with that descriptor, and says on
//! standard output how that went ([`Answer`]). `stockade_storage::Layers` starts it.
//!
//! What it reads is chosen by strangers, so before it reads any of that it gives up all that unpacking does not need ([`stockade_unpack::confine`]):
//! whoever takes it over has one folder, a pipe to read and a pipe to write.

use std::io::Write;
use std::process::ExitCode;

use rustix::fd::{AsFd, OwnedFd};
use stockade_kernel::chain::chain;
use stockade_kernel::inherit;
use stockade_storage::confined::{Answer, unpack};
use stockade_storage::{Compression, Privilege};

/// It was not started as [`stockade_storage::Layers`] starts it.
const MISUSED: u8 = 125;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let given = (arguments.next(), arguments.next(), arguments.next(), arguments.next());
    let (Some(compression), Some(folder), Some(privilege), None) = given else { return misused() };
    let named = (Compression::named(&compression), folder.parse(), Privilege::named(&privilege));
    let (Some(compression), Ok(number), Some(privilege)) = named else { return misused() };
    let Ok(folder) = inherit::take(number) else { return misused() };
    let answer = match stockade_unpack::confine(folder) {
        Ok(root) => answer(compression, &root, privilege),
        Err(error) => Answer::Unconfined(chain(&error)),
    };
    // Nobody is left to be told if this fails; the missing answer is an error there.
    match std::io::stdout().write_all(&answer.to_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_unheard) => ExitCode::FAILURE,
    }
}

fn answer(compression: Compression, root: &OwnedFd, privilege: Privilege) -> Answer {
    match unpack(compression, std::io::stdin().lock(), root.as_fd(), privilege) {
        Ok(unpacked) => Answer::Unpacked(unpacked),
        Err(error) => Answer::Refused(error),
    }
}

fn misused() -> ExitCode {
    eprintln!("stockade-unpack is started by stockade, to unpack a layer");
    ExitCode::from(MISUSED)
}
