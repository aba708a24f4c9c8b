//! SQL over LynxStore snapshots.
//!
//! `sql` turns text into syntax, `plan` binds it to a table and decides what is pruned and what is computed, `exec`
//! runs the plan over the scan interface of the storage engine, `statement` carries out everything that is not a
//! SELECT, `system` makes tables of what the database knows of itself. What the vectorized executor does not cover goes to DataFusion (feature `datafusion`) over the same snapshot.

mod cancellation;
#[cfg(feature = "datafusion")]
mod datafusion;
mod error;
mod exec;
#[cfg(feature = "files")]
pub mod files;
mod histogram;
mod memory;
mod options;
mod output;
mod plan;
mod scalar;
mod sql;
mod statement;
#[cfg(feature = "datafusion")]
mod system;
mod system_rows;
mod write_admission;

pub use cancellation::Cancellation;
pub use error::{Error, Result};
pub use lynxstore_storage::snapshot::DamagePolicy;
pub use options::{FileAccess, NamespaceAccess, QueryOptions, RollupMode, SqlLimits, StatementAccess, SystemAccess};
pub use output::{QueryOutput, Route};
pub use scalar::{Interval, Scalar as ScalarParam};
pub use statement::{PreparedStatement, QueryEngine, StatementDescription, sql_type};
pub use system_rows::{SystemRows, SystemTable};
pub use write_admission::{AdmittedWrite, RefusalKind, WriteAdmission, WriteRefusal};
