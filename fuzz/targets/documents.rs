//! Indexes, manifests, configurations and Docker's `manifest.json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stockade_images::fuzz::documents(bytes));
