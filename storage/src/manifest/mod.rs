//! The log of which tables exist and which segments make up the database.
//!
//! Format: `docs/format/manifest.md`.

mod edit;
mod log;
mod salvage;
mod state;

pub use edit::{ManifestEdit, SectionMeta, SegmentMeta};
pub(crate) use log::FILE_NAME;
pub use log::Manifest;
pub(crate) use salvage::{ManifestCondition, ManifestSurvey, replace_salvaged, survey};
pub use state::ManifestState;
