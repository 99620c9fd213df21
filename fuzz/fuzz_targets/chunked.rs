//! Fuzzes a body in chunks, in one piece and in many.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::chunked::run(data));
