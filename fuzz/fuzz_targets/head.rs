//! Fuzzes targets and fields.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::head::run(data));
