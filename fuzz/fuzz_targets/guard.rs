//! Fuzzes the wire guard against httparse and hyper.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::guard::run(data));
