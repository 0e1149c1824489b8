//! `stockade-unpack`: unpacks one layer, confined.
//!
//! Started by the engine with the new, empty folder of a layer as its working directory, the layer as it came from a stranger on its
//! standard input, and a pipe for the answer on its standard output. It shuts itself in ([`confine`]) before it reads a byte, so that
//! whoever gets control of it by what stands in the layer has that folder and nothing else: no other file, no network, no other
//! process, no program to execute, and no capability but those that owners, modes and devices take.

mod confine;

use std::io::{stdin, stdout};
use std::process::ExitCode;

use rustix::fd::AsFd;
use stockade_storage::Compression;
use stockade_storage::confined::{Refusal, answer, unpack_blob};

/// How it is started.
#[derive(Debug, thiserror::Error)]
#[error("stockade-unpack is no command for people: stockade starts it")]
struct Usage;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let compression = arguments.nth(1).as_deref().and_then(Compression::named);
    let outcome = match compression.filter(|_| arguments.next().is_none()) {
        None => Err(Refusal::of(&Usage)),
        Some(compression) => match confine::confine() {
            Err(error) => Err(Refusal::of(&error)),
            Ok(root) => unpack_blob(compression, stdin().lock(), root.as_fd()).map_err(|error| Refusal::of(&error)),
        },
    };
    match answer(outcome, stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_nobody_listens) => ExitCode::FAILURE,
    }
}
