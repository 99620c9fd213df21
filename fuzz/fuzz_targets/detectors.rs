//! Fuzzes every detector, in every part of a message.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::detectors::run(data));
