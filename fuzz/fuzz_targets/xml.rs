//! Fuzzes documents of XML.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::xml::run(data));
