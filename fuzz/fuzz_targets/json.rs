//! Fuzzes documents of JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::json::run(data));
