//! The log of which tables exist and which segments make up the database.
//!
//! Format: `docs/format/manifest.md`.

mod edit;
mod log;
mod reader;
mod salvage;
mod state;

pub use edit::{ManifestEdit, SectionMeta, SegmentMeta};
pub use log::Manifest;
pub(crate) use log::{FILE_NAME, encode_file};
pub(crate) use reader::{ManifestReader, Reading};
pub(crate) use salvage::{ManifestCondition, ManifestSurvey, replace_salvaged, survey};
pub use state::ManifestState;
