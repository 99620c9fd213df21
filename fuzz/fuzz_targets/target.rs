//! Fuzzes the target of a request, and how it is written for the HTTP library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::target::run(data));
