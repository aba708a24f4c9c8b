//! Bytes of a WAL record's payload.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lynxstore_fuzz::targets::wal_record(bytes));
