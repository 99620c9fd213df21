//! Fuzzes records of what policies were.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::history::run(data));
