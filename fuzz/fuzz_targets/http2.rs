//! Fuzzes the wire http2 against httparse and hyper.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::http2::run(data));
