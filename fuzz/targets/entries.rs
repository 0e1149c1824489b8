//! Entries of tar archives.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stockade_storage::fuzz::entries(bytes));
