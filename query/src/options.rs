//! How a [`QueryEngine`](crate::QueryEngine) runs statements: namespace, threads, limits, and what it may touch.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lynxstore_storage::snapshot::DamagePolicy;

use crate::system_rows::SystemTable;
use crate::write_admission::WriteAdmission;

/// Whether statements may name files (`COPY`, `FROM 'file'`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileAccess {
    /// Files are read and written with the rights of the process.
    Allowed,
    /// Statements that name a file fail; for SQL from elsewhere.
    #[default]
    Denied,
}

/// Whether statements are answered from the rollups of segments where these suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RollupMode {
    /// Rollups stand in for the rows of whole hours.
    #[default]
    On,
    /// Rows are always read; for comparing.
    Off,
}

/// What statements may do. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum StatementAccess {
    /// Queries, `EXPLAIN`, `SHOW` and `DESCRIBE`.
    ReadOnly,
    /// Rows into tables and out of them as well: `INSERT`, `COPY`.
    Write,
    /// Everything: tables, deletes, maintenance.
    #[default]
    Admin,
}

impl StatementAccess {
    /// The level in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Which system tables statements may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SystemAccess {
    /// All.
    #[default]
    All,
    /// Those about the tables that the statement may name; not those about the whole process.
    OwnTables,
}

/// Which namespaces statements may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamespaceAccess {
    /// Every one.
    #[default]
    All,
    /// [`QueryOptions::namespace`] and `system`; tables of others are as if they did not exist, in system tables too.
    Own,
}

/// Bounds on the text of a statement, checked before anything is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// Bytes of the text.
    pub bytes_max: usize,
    /// Names, literals and operators.
    pub nodes_max: usize,
    /// Depth of brackets and subqueries as the parser counts its own calls; above [`SqlLimits::DEPTH_CAP`] as this.
    pub depth_max: usize,
    /// Operators in a row, without a comma between them; above [`SqlLimits::CHAIN_CAP`] as this.
    pub chain_max: usize,
}

impl SqlLimits {
    /// Deeper nesting could overflow the stack of a thread of 2 MiB.
    pub const DEPTH_CAP: usize = 50;
    /// Longer chains could overflow it too: syntax nests as deeply as a chain is long.
    pub const CHAIN_CAP: usize = 1_000;
}

impl Default for SqlLimits {
    fn default() -> Self {
        // An INSERT of 100,000 rows is text too; a node takes up to about 300 bytes.
        Self { bytes_max: 64 << 20, nodes_max: 4 << 20, depth_max: Self::DEPTH_CAP, chain_max: Self::CHAIN_CAP }
    }
}

/// Options of a [`QueryEngine`](crate::QueryEngine).
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// The namespace of table names without one.
    pub namespace: String,
    /// Which namespaces may be named.
    pub namespace_access: NamespaceAccess,
    /// What statements may do.
    pub statement_access: StatementAccess,
    /// Which system tables may be read.
    pub system_access: SystemAccess,
    /// Threads for one statement; statements below about a million values stay on the caller's thread.
    pub threads: usize,
    /// Whether statements may name files.
    pub file_access: FileAccess,
    /// A statement whose result has more rows fails.
    pub rows_out_max: u64,
    /// A statement that needs more groups at once fails.
    pub groups_max: u64,
    /// Bounds on the text of a statement.
    pub sql: SqlLimits,
    /// A statement whose groups, sorted rows and result take more bytes together spills to files where it can, else it
    /// fails. Rows on their way through a scan, some megabytes per thread, do not count.
    pub memory_bytes_max: u64,
    /// A statement that takes longer fails; no bound when there is none.
    pub time_max: Option<Duration>,
    /// Where statements of general SQL spill what exceeds `memory_bytes_max`; the temporary directory of the system
    /// when there is none.
    pub spill_dir: Option<PathBuf>,
    /// A statement that spills more bytes fails.
    pub spill_bytes_max: u64,
    /// Whether rollups are used.
    pub rollups: RollupMode,
    /// What a statement does where rows cannot be read because their segment is damaged: `Skip` answers from the rest.
    pub on_damage: DamagePolicy,
    /// Tables of the namespace `system` beside those of the database: what the program knows.
    pub system_tables: Arc<[SystemTable]>,
    /// Who is asked before rows of a statement are written; without one they are.
    pub write_admission: Option<Arc<dyn WriteAdmission>>,
}

impl Default for QueryOptions {
    fn default() -> Self {
        // 64 Mi rows of a few columns are some GiB of Arrow data: beyond that, COPY to a file is the way.
        const ROWS_OUT_MAX: u64 = 1 << 26;
        // A group with one aggregate takes about 64 bytes: 1 GiB.
        const GROUPS_MAX: u64 = 1 << 24;
        Self {
            namespace: "public".into(),
            namespace_access: NamespaceAccess::All,
            statement_access: StatementAccess::Admin,
            system_access: SystemAccess::All,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            file_access: FileAccess::Denied,
            rows_out_max: ROWS_OUT_MAX,
            groups_max: GROUPS_MAX,
            sql: SqlLimits::default(),
            memory_bytes_max: 1 << 30,
            time_max: None,
            spill_dir: None,
            spill_bytes_max: 16 << 30,
            rollups: RollupMode::On,
            on_damage: DamagePolicy::Fail,
            system_tables: Arc::from([]),
            write_admission: None,
        }
    }
}
