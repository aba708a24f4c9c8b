//! DataFusion's errors in the words of this crate, and ours as DataFusion's while they travel through it.

use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

use sqlparser::parser::ParserError;

use crate::error::Error;
use crate::sql::syntax_error;

/// Wraps an error of ours, so that [`from_datafusion`] gets it back.
pub(super) fn to_datafusion(error: impl Into<Error>) -> DataFusionError {
    DataFusionError::External(Box::new(error.into()))
}

/// The error of ours at the root, or DataFusion's in the nearest variant.
pub(super) fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(nested) => from_datafusion(*nested),
                Err(other) => Error::execution(other.to_string()),
            },
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
            Ok(inner) => from_datafusion(inner),
            Err(shared) => from_shared(&shared),
        },
        DataFusionError::Collection(mut errors) if !errors.is_empty() => from_datafusion(errors.swap_remove(0)),
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::SQL(inner, _) if *inner == ParserError::RecursionLimitExceeded => syntax_error(*inner),
        DataFusionError::SQL(inner, _) => Error::Parse { message: inner.to_string() },
        DataFusionError::Plan(message) | DataFusionError::Configuration(message) => Error::Plan { message },
        DataFusionError::SchemaError(inner, _) => Error::Plan { message: schema_message(&inner) },
        DataFusionError::NotImplemented(message) => {
            Error::Unsupported { what: message, hint: "rewrite the statement without it".into() }
        }
        DataFusionError::ResourcesExhausted(message) => resources_exhausted(&message),
        DataFusionError::Execution(message) => Error::Execution { message },
        other => Error::execution(other.to_string()),
    }
}

/// What a statement runs out of; the number of the limit is put in by who knows it.
pub(super) const OUT_OF_MEMORY: &str = "the memory of the statement in bytes";
/// See [`OUT_OF_MEMORY`].
pub(super) const OUT_OF_SPILL_SPACE: &str = "what the statement spills in bytes";

/// The words of the disk manager; all others are of the memory pool.
const DISK_SPACE: &str = "disk space during the spilling";

fn resources_exhausted(message: &str) -> Error {
    if message.contains(DISK_SPACE) {
        let hint = "select less, or raise spill_bytes_max";
        return Error::LimitExceeded { what: OUT_OF_SPILL_SPACE, limit: 0, hint };
    }
    Error::LimitExceeded { what: OUT_OF_MEMORY, limit: 0, hint: "select less, or raise memory_bytes_max" }
}

/// An error that several waiters share and that therefore cannot be taken apart.
fn from_shared(error: &DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::Plan(message) => Error::plan(message.clone()),
        DataFusionError::Execution(message) => Error::execution(message.clone()),
        DataFusionError::ResourcesExhausted(message) => resources_exhausted(message),
        root => match root.to_string() {
            message if message.contains(DISK_SPACE) => resources_exhausted(&message),
            message => Error::execution(message),
        },
    }
}

fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
            Ok(nested) => from_datafusion(*nested),
            Err(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Error::execution(other.to_string()),
            },
        },
        // An operator that spills while it reads the stream of another one tells it so.
        ArrowError::IoError(message, _) if message.contains(DISK_SPACE) => resources_exhausted(&message),
        other => Error::arrow(other),
    }
}

fn schema_message(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } if !valid_fields.is_empty() => {
            let names: Vec<_> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            format!("column '{}' does not exist; there are: {}", field.name, names.join(", "))
        }
        other => other.to_string(),
    }
}
