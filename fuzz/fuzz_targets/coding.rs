//! Fuzzes the codings of bodies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::coding::run(data));
