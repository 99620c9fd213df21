//! Fuzzes the webhook with reviews and pods.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::review::run(data));
