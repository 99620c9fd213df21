//! Fuzzes every decoder and detector: a head and a body in three modes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::engine::run(data));
