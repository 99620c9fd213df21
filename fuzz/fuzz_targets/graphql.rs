//! Fuzzes documents of GraphQL.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rasp_fuzz::graphql::run(data));
