//! Fuzzes the frames of the live stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::stream::run(data));
