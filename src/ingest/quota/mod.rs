//! What one tenant may bring: samples per second, new series per minute, series in all.
//!
//! A request reserves what it is about to write, keeps of that what was written, and gives the rest back: what fails, is
//! refused further on or comes again after a failure costs nothing, and two requests at once never get the same room.

mod bucket;
mod ingest_quota;
mod limits;
mod series_state;
#[cfg(test)]
mod tests;

pub use ingest_quota::{IngestQuota, SampleReservation, SeriesReservation};
pub use limits::{RateExceeded, SeriesCount, SeriesRefusal, TenantLimits};
