//! Names of entries and whiteouts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stockade_storage::fuzz::names(bytes));
