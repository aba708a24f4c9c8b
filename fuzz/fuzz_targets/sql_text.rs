//! SQL text.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lynxstore_fuzz::targets::sql_text(bytes));
