//! The `tsq` command; everything it does is in the library.

use std::process::ExitCode;

/// Statements allocate and free megabytes of states: the system's allocator gives them back to the kernel each time,
/// and the page faults that follow cost a grouping of 120,000 states more than its work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lynxstore::shell::run()
}
