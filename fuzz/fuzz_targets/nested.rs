//! Fuzzes the readings of a value that is encoded once more.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::nested::run(data));
