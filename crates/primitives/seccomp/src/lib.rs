//! seccomp: which system calls a process may make, with which arguments (`seccomp(2)`).
//!
//! Here so far: the [`model`] of a filter, the [`architecture`]s that one program can hold, and the tables of system calls
//! with the width of every argument ([`syscall`]). A filter sees 64-bit registers; the kernel uses the low 32 bits of many
//! arguments, and a comparison at another width than the kernel's can be stepped over by setting an upper bit.

#![expect(dead_code, reason = "the compiler and the evaluator, which use the rest of the model, are not written yet")]

pub mod architecture;
pub mod model;
pub mod syscall;
