//! What other systems push: protocol decoders and the writers that turn them into commits.
//!
//! Decoders know bytes and limits, writers know the engine; neither knows HTTP, so that both can be fuzzed and tested
//! without a socket.

pub mod prometheus;
pub mod quota;
pub mod rejected;
pub mod sampling;
mod store;

pub use store::Store;
