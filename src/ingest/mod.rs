//! What others push: protocol decoders and the writers that turn them into commits. [`rows`] takes rows of any protocol.
//!
//! Decoders know bytes and limits, writers know the engine; neither knows HTTP, so that both can be fuzzed and tested
//! without a socket.

#[cfg(feature = "server")]
pub mod events;
#[cfg(feature = "server")]
pub mod exposition;
#[cfg(feature = "server")]
pub mod line_protocol;
#[cfg(feature = "server")]
pub mod otlp;
#[cfg(feature = "server")]
mod precision;
#[cfg(feature = "server")]
pub mod prometheus;
pub mod quota;
#[cfg(feature = "server")]
pub mod rejected;
pub mod rows;
#[cfg(feature = "server")]
pub mod sampling;
mod store;
#[cfg(feature = "server")]
pub mod table_body;
mod tables;
#[cfg(feature = "server")]
pub(crate) mod write_reservation;

#[cfg(feature = "server")]
pub use precision::Precision;
pub use store::Store;
