//! Fuzzes a whole connection through a gateway.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::exchange::run(data));
