//! A body of InfluxDB line protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lynxstore_fuzz::targets::line_protocol(bytes));
