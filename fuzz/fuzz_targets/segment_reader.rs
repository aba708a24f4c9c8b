//! Bytes of a segment file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lynxstore_fuzz::targets::segment_reader(bytes));
