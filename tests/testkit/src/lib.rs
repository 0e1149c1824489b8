//! What the black-box suites and the workbench share.
//!
//! - [`requires!`] says what a test needs of the machine; a need that the run does not offer is counted as a skip, a
//!   need that it offers and does not have is a failure ([`offers`]).
//! - [`Bundle`] is a container in a folder of its own: Docker's posture ([`posture`]) on a copy of a test image, to be
//!   edited and run with the runtime's verbs. When it is dropped it looks for everything that a container could leave
//!   behind ([`leftovers`]) and fails the test if there is something.
//! - [`Stockade`] is the engine with folders of its own; it looks for leftovers likewise.
//! - [`Pty`] is a program on a pseudo-terminal.
//! - [`Call`] runs a program with a time limit: nothing in a test may wait for ever.
//! - [`Registry`] is a real registry on a loopback port, [`Layout`] and [`tarball`] make images for it by hand.
//! - [`programs`] finds the programs under test and the images.
//!
//! The kit depends on nothing of ours, so that it can judge all of it, and it panics freely: it is test code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod bundle;
pub mod call;
pub mod cgroup;
pub mod dice;
pub mod generated;
pub mod handed;
pub mod hostile;
pub mod layout;
pub mod leftovers;
pub mod offers;
pub mod plain;
pub mod posture;
pub mod processes;
pub mod programs;
pub mod proxy;
pub mod pty;
pub mod registry;
pub mod stockade;
pub mod systemd;
pub mod tarball;
pub mod terminal;
pub mod tmux;
pub mod tree;
pub mod walls;
pub mod warden;

pub use bundle::Bundle;
pub use call::{Call, Finished, Running, ends_within, eventually};
pub use dice::Dice;
pub use layout::Layout;
pub use proxy::Proxy;
pub use pty::Pty;
pub use registry::Registry;
pub use stockade::Stockade;

/// Ends the calling test, recorded as skipped, unless the run offers everything that is named.
///
/// `requires!(root, cgroup_v1, podman)`. The names are those of [`offers::Need`].
///
/// # Panics
/// If the run offers a thing that is not there.
#[macro_export]
macro_rules! requires {
    ($($need:ident),+ $(,)?) => {
        fn requirement_site() {}
        if !$crate::offers::met(&[$(stringify!($need)),+], std::any::type_name_of_val(&requirement_site)) {
            return;
        }
    };
}
