//! Prometheus remote write 1.0 and 2.0: from the request body to one atomic commit.
//!
//! Steps: [`snappy`](decompress) checks the declared length and unpacks the block; the decode pass, in version 2 behind one
//! that counts, checks every element count before more is allocated, and lists series, samples, histograms,
//! exemplars and metadata as slices of the message, with no message tree; [`RemoteWriter`] finds each series by its raw
//! label bytes, creates what tables and tags are missing, and writes one batch per table in one commit. The two versions
//! differ in how labels and metadata stand in the message; from [`WriteRequest`] on there is one way.
//!
//! A request that is not well-formed is refused whole ([`DecodeError`]). In a well-formed one a series, sample,
//! exemplar or metadata entry that breaks a rule is left out and counted ([`Rejections`]), and the rest is written.

mod admission;
#[cfg(test)]
mod admission_tests;
mod batches;
mod count;
mod decode;
mod decode_v2;
mod error;
pub(in crate::ingest) mod histogram;
mod label;
mod limits;
mod metadata_memory;
mod names;
mod plan;
mod rejection;
mod request;
mod series_cache;
mod side_tables;
mod snappy;
mod summary;
mod symbols;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_v2;
mod version;
pub(in crate::ingest) mod wire;
mod writer;
#[cfg(test)]
mod writer_tests;
#[cfg(test)]
mod writer_v2_tests;

pub use decode::decode;
pub use error::DecodeError;
pub use label::{LabelFault, Labels, parse_labels};
pub use limits::Limits;
pub use names::{
    EXEMPLAR_TABLE, HISTOGRAM_COLUMN, METADATA_TABLE, START_COLUMN, TIME_COLUMN, VALUE_COLUMN, table_name, tag_name,
};
pub use rejection::{Counts, Description, RejectReason, Rejections};
pub use request::{Exemplar, HistogramSample, Metadata, Sample, Series, SeriesMetadata, WriteRequest};
pub use snappy::decompress;
pub use summary::{RequestSummary, summarize};
pub use version::Version;
pub use writer::{RemoteWriter, WriteError, WriteOutcome};
