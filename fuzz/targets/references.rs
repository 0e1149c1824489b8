//! Names of images and platforms.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| stockade_images::fuzz::references(text));
