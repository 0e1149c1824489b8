//! seccomp: which system calls a process may make, with which arguments (`seccomp(2)`).
//!
//! A process is given a *filter*, a program that the kernel runs before each of its system calls; it can never be taken off, and
//! holds for children and through `execve(2)`. The way to one:
//!
//! | step | from | to |
//! |---|---|---|
//! | [`Profile::parse`], [`Profile::builtin`] | Docker's or Podman's format | a profile, its conditions still open |
//! | [`Profile::parse_oci`] | OCI's `linux.seccomp` | the same, with nothing open |
//! | [`Profile::changed`] | `+CALL-CALL` | a profile with calls added and taken away |
//! | [`Profile::resolve`] | capabilities, kernel, architecture | a [`model::Filter`]: rules, and a default |
//! | [`model::Filter::to_oci`] | | OCI's `linux.seccomp`, for any runtime |
//! | [`compile::compile`], [`load_or_compile`] | | a program of classic BPF, one search tree per architecture |
//! | [`apply`] | | the kernel's |
//! | [`observe::filters`] | a process | the programs that the kernel has, to compare |
//!
//! [`model::Filter::decide`] says what a filter means for one call, and which entry of the profile decided: every program
//! makes the same decisions, which the tests try on random filters. [`support::Support`] is what this kernel can do.
//!
//! # Promises
//!
//! - **Width.** A comparison is made at the width that the kernel uses of an argument. A filter sees 64-bit registers, of which
//!   the kernel often reads 32: compared at 64 bits, `socket(0x1_0000_0028, ...)` is no AF_VSOCK (40), and then makes one.
//! - **New calls.** A call newer than the newest that the profile names answers `ENOSYS`, so that programs fall back.
//! - **No other way.** `socketcall(2)` and `ipc(2)` reach no call that a rule denies below a more open default, and calls of
//!   architectures that are not listed kill the process.
//! - **Nothing is guessed.** What cannot be expressed, or is misspelt, is an error that names its place in the profile. The
//!   one exception is for runtimes, [`Profile::parse_oci`]: they leave unknown calls out where the filter only gets stricter.
//! - **Speed.** A call that is always allowed is answered without a look at its arguments, so that the kernel (5.11) does not
//!   run the program for it at all; compiled programs are kept in a folder, by content.
//!
//! # The default profile
//!
//! `profiles/default.json` is our own, in Docker's format, with a reason beside each group ([`Profile::comment`]). Its verdicts are
//! those of Docker's profile on every call of ten architectures (`tables/docker-verdicts.txt`, which `tables/verdicts.py` makes of
//! Docker's file without this code), and differ in this:
//!
//! - arguments are compared at the kernel's width, so that upper bits open nothing;
//! - new calls of x32 and of 32-bit ARM answer `ENOSYS` too: they have private calls with greater numbers than all others, which
//!   say nothing about what is new.
//!
//! ```
//! use stockade_seccomp::architecture::Arch;
//! use stockade_seccomp::compile::compile;
//! use stockade_seccomp::interpret::{Shown, interpret};
//! use stockade_seccomp::model::Action;
//! use stockade_seccomp::{Profile, Target};
//!
//! let target = Target { architecture: Arch::X86_64, kernel: (6, 1), capabilities: &["CAP_CHOWN"] };
//! let filter = Profile::builtin()?.resolve(&target)?;
//! let program = compile(&filter)?;
//! let mount = Shown { number: 165, audit: Arch::X86_64.audit(), arguments: None };
//! assert_eq!(interpret(&program, &mount), Some(Action::Errno(1)));
//! // let listener = apply(&Compiled::new(&filter)?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! A filter cannot look behind a pointer: not into `clone3(2)`'s flags, which is why that call is not there for a container, and
//! not into the arguments of a call that is made through `socketcall(2)`. There a rule that denies some arguments denies them all,
//! and a profile that allows `socketcall`, as i386 programs need, allows every family. A listener's answer must not
//! let a call go on because of what a pointer points to: the caller can change it. Flags and listener can not be read back.
//! The tables end with Linux 7.0.
//!
//! References: `seccomp(2)`, `seccomp_unotify(2)`, `ptrace(2)`, `kernel/seccomp.c`, OCI runtime-spec `config-linux.md` (Seccomp),
//! Docker's `profiles/seccomp`.

pub mod apply;
pub mod architecture;
mod cache;
mod changes;
pub mod compile;
pub mod decide;
mod errno;
pub mod interpret;
pub mod model;
mod multiplex;
pub mod observe;
pub mod oci;
mod profile;
#[cfg(test)]
mod random;
mod resolve;
pub mod support;
pub mod syscall;

pub use apply::apply;
pub use cache::{CompileError, Compiled, load_or_compile};
pub use changes::{Change, Changes, ChangesError};
pub use profile::{Profile, ProfileError};
pub use resolve::Target;
