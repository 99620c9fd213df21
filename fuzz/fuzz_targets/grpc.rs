//! Fuzzes the frames of gRPC.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::grpc::run(data));
