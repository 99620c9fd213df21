//! Fuzzes what ends in a log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::event::run(data));
