//! The body of a request that brings rows of a table, in each of its forms.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        // A panic of arrow's decoder refuses the request, as src/ingest/table_body/arrow_stream.rs says. Where nobody catches
        // it the target still ends.
        let abort = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|location| location.file().contains("/arrow-")) {
                abort(panic);
            }
        }));
    },
    |bytes: &[u8]| lynxstore_fuzz::targets::table_body(bytes)
);
