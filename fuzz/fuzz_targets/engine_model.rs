//! A sequence of operations on the engine, compared with an oracle.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lynxstore_fuzz::targets::engine_model(bytes));
