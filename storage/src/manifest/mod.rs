//! The log of which tables exist and which segments make up the database.
//!
//! Format: `docs/format/manifest.md`.

mod edit;
mod log;
mod reader;
mod state;

pub use edit::{ManifestEdit, SectionMeta, SegmentMeta};
pub use log::Manifest;
pub(crate) use log::{FILE_NAME, encode_file};
pub(crate) use reader::{ManifestReader, Reading};
pub use state::ManifestState;
