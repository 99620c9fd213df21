//! Fuzzes bodies in parts.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::multipart::run(data));
