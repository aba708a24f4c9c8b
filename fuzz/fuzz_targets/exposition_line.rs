//! A line of the text format of Prometheus.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lynxstore_fuzz::targets::exposition_line(bytes));
