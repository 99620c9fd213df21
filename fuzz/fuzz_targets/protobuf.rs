//! Fuzzes messages of Protocol Buffers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::protobuf::run(data));
