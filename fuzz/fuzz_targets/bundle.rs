//! Fuzzes what a sidecar makes of a Bundle.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::bundle::run(data));
