//! What a statement says, before names are looked up.

#![cfg_attr(not(feature = "files"), allow(dead_code, reason = "COPY is parsed in every build but run only with files"))]

use lynxstore_storage::engine::TableChange;
use lynxstore_storage::types::{FieldType, TableSpec, Tier, TierChange};
use sqlparser::ast::{Expr, Query};

/// The namespace of the tables in which the database tells of itself.
pub(crate) const SYSTEM_NAMESPACE: &str = "system";

/// One statement.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    /// `SELECT`, or anything else that `sqlparser` reads as a query.
    Query(Box<Query>),
    /// `EXPLAIN` of a query.
    Explain(Box<Query>),
    /// `EXPLAIN ANALYZE` of a query: it is run too.
    Analyze(Box<Query>),
    /// `CREATE TABLE`.
    CreateTable {
        /// The declaration; its namespace is that of the options unless named.
        spec: Box<TableSpec>,
        /// Whether an existing table is no error.
        if_not_exists: bool,
    },
    /// `DROP TABLE`.
    DropTable {
        /// The tables.
        names: Vec<TableName>,
        /// Whether a missing table is no error.
        if_exists: bool,
    },
    /// `ALTER TABLE`.
    AlterTable(Box<AlterTable>),
    /// `ALTER NAMESPACE`, `ALTER DATABASE`.
    AlterTiers(Box<AlterTiers>),
    /// `DELETE FROM`, `TRUNCATE`.
    Delete(Box<Delete>),
    /// `CHECKPOINT`: rows in memory go to segments.
    Checkpoint,
    /// `OPTIMIZE`: every partition becomes one run.
    Optimize,
    /// `INSERT INTO`.
    Insert(Box<Insert>),
    /// `SHOW TABLES`.
    ShowTables,
    /// `DESCRIBE t`.
    Describe(TableName),
    /// `COPY t FROM 'file'`.
    CopyFrom {
        /// The table.
        table: TableName,
        /// The file or pattern.
        path: String,
        /// Format and header.
        options: CopyOptions,
    },
    /// `COPY t TO 'file'`, `COPY (query) TO 'file'`.
    CopyTo {
        /// What is written.
        source: CopySource,
        /// The file.
        path: String,
        /// Format and header.
        options: CopyOptions,
    },
    /// Something that only DataFusion may know.
    Other {
        /// The first words, for the error.
        what: String,
    },
}

/// The name of a table, perhaps with its namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    /// Namespace when written.
    pub(crate) namespace: Option<String>,
    /// The name; folded to lower case unless quoted.
    pub(crate) name: String,
    /// The name as written.
    pub(crate) written: String,
}

/// `ALTER TABLE table action, ...`.
#[derive(Debug, Clone)]
pub(crate) struct AlterTable {
    /// The table.
    pub(crate) table: TableName,
    /// Whether a missing table is no error.
    pub(crate) if_exists: bool,
    /// What is done, in order.
    pub(crate) actions: Vec<TableAction>,
}

/// One action of an `ALTER TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TableAction {
    /// A column more.
    Add {
        /// Its name.
        name: String,
        /// What it is.
        column: ColumnAddition,
        /// Whether a column of that name is no error.
        if_not_exists: bool,
    },
    /// A partition goes to another tier.
    Move {
        /// A time within the partition.
        time_ns: i64,
        /// The tier.
        tier: Tier,
    },
    /// Anything else.
    Change(TableChange),
}

impl TableAction {
    /// Whether what it adds may be there already.
    pub(crate) fn may_exist(&self) -> bool {
        matches!(self, Self::Add { if_not_exists: true, .. })
    }
}

/// `ALTER NAMESPACE name SET (...)`, `ALTER DATABASE SET (...)`.
#[derive(Debug, Clone)]
pub(crate) struct AlterTiers {
    /// The namespace; the whole database without one.
    pub(crate) namespace: Option<String>,
    /// What changes.
    pub(crate) change: TierChange,
}

/// A column that is added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ColumnAddition {
    /// A tag.
    Tag,
    /// A field of a type.
    Field(FieldType),
}

/// `DELETE FROM table WHERE condition`.
#[derive(Debug, Clone)]
pub(crate) struct Delete {
    /// The table.
    pub(crate) table: TableName,
    /// Which rows; all without one.
    pub(crate) condition: Option<Expr>,
}

/// `INSERT INTO table (columns) source`.
#[derive(Debug, Clone)]
pub(crate) struct Insert {
    /// The table.
    pub(crate) table: TableName,
    /// Names of the columns that the source gives; empty for all in table order.
    pub(crate) columns: Vec<String>,
    /// The rows.
    pub(crate) source: InsertSource,
}

/// Where inserted rows come from.
#[derive(Debug, Clone)]
pub(crate) enum InsertSource {
    /// `VALUES` of literals.
    Values(Vec<Vec<Expr>>),
    /// A query.
    Query(Box<Query>),
}

/// What `COPY ... TO` writes.
#[derive(Debug, Clone)]
pub(crate) enum CopySource {
    /// A whole table.
    Table(TableName),
    /// A query.
    Query(Box<Query>),
}

/// Options of `COPY`; what is absent is told from the file name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CopyOptions {
    /// `FORMAT`.
    pub(crate) format: Option<String>,
    /// `HEADER`.
    pub(crate) header: Option<bool>,
    /// `DELIMITER`.
    pub(crate) delimiter: Option<char>,
}
