//! The engine against a plain oracle in memory: any sequence of operations, on a simulated disk that may lose power
//! between two operations or within one.
//!
//! The operations are made from bytes ([`Op::from_bytes`]), so that a property test and a fuzz target run the same model.
//! One thread; the clock is the thread's own.

mod op;
mod oracle;
mod run;

pub use op::Op;
pub use run::run;
