//! Fuzzes the wire proxy_protocol against httparse and hyper.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::proxy_protocol::run(data));
