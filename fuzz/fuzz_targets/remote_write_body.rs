//! The body of a remote-write request.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lynxstore_fuzz::targets::remote_write_body(bytes));
