//! Packets of clients and of name servers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    stockade_dns::fuzz::packet(bytes);
    stockade_dns::fuzz::reply(bytes);
});
