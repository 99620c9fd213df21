//! Fuzzes the first bytes of a connection, in one piece and one by one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::protocol::run(data));
