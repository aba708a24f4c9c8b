//! The body of an OTLP request, as protobuf and as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lynxstore_fuzz::targets::table_body(bytes));
