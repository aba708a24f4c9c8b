//! SQL text to syntax: statements of our own grammar around the queries of `sqlparser`.

mod alter_table;
mod copy;
mod create_table;
mod delete;
mod interval;
mod parser;
mod series_syntax;
mod size;
mod split;
mod statement;
mod tier_options;

pub(crate) use interval::{parse_interval, parse_timestamp};
#[cfg(test)]
pub(crate) use parser::parse_condition;
#[cfg(feature = "datafusion")]
pub(crate) use parser::syntax_error;
pub(crate) use parser::{fold_ident, parse_statement, table_name};
#[cfg(feature = "datafusion")]
pub(crate) use series_syntax::ASOF_CALL;
pub(crate) use split::split_statements;
pub(crate) use statement::{
    AlterTable, AlterTiers, ColumnAddition, Delete, Insert, InsertSource, SYSTEM_NAMESPACE, Statement, TableAction,
    TableName,
};
#[cfg(feature = "files")]
pub(crate) use statement::{CopyOptions, CopySource};
