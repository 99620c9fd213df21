//! Fuzzes the validating webhook with reviews and policies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::validate::run(data));
