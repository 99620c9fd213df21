//! Fuzzes a field line against httparse.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::field::run(data));
