//! Options of a database.

use std::path::PathBuf;
use std::time::Duration;

use lynxstore_query::{DamagePolicy, FileAccess, QueryOptions, RollupMode, SqlLimits};
use lynxstore_storage::engine::{EngineOptions, SegmentReads};

/// How a [`Database`](crate::Database) is opened.
///
/// ```
/// use lynxstore::Options;
/// let options = Options::default().memory_budget_bytes(256 << 20).query_threads(2);
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) engine: EngineOptions,
    pub(crate) query: QueryOptions,
}

impl Default for Options {
    /// A quarter of the memory that the process may use, every core, and SQL that may read and write files.
    fn default() -> Self {
        let query = QueryOptions { file_access: FileAccess::Allowed, ..QueryOptions::default() };
        let budget_bytes = available_memory_bytes().map_or(1 << 30, |bytes| bytes / 4);
        Self { engine: EngineOptions::with_memory_budget(budget_bytes), query }
    }
}

impl Options {
    /// Bounds the memory for unflushed rows and for flushing them. Default: a quarter of the machine, or of the
    /// process's memory control group.
    #[must_use]
    pub fn memory_budget_bytes(mut self, bytes: u64) -> Self {
        let EngineOptions { write_deadline, segment_reads, move_bytes_per_s_max, .. } = self.engine;
        self.engine = EngineOptions {
            write_deadline,
            segment_reads,
            move_bytes_per_s_max,
            ..EngineOptions::with_memory_budget(bytes)
        };
        self
    }

    /// Whether segments are read from mappings of their files, or from copies in memory beside the budget, which no disk
    /// can take away. Default: mapped.
    #[must_use]
    pub fn segment_reads(mut self, reads: SegmentReads) -> Self {
        self.engine.segment_reads = reads;
        self
    }

    /// Bytes of segments per second that are read for partitions which move to another tier by their age. A move by hand
    /// goes as fast as it can. Default: 32 MiB.
    #[must_use]
    pub fn move_bytes_per_second(mut self, bytes: u64) -> Self {
        self.engine.move_bytes_per_s_max = bytes;
        self
    }

    /// How long a write waits for memory before it fails with [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    /// Default: 30 s.
    #[must_use]
    pub fn write_deadline(mut self, deadline: Duration) -> Self {
        self.engine.write_deadline = deadline;
        self
    }

    /// Threads for one query. Default: one per core.
    #[must_use]
    pub fn query_threads(mut self, threads: usize) -> Self {
        self.query.threads = threads.max(1);
        self
    }

    /// Memory for the groups, sorted rows and result of one statement. Default: 1 GiB.
    #[must_use]
    pub fn query_memory_bytes(mut self, bytes: u64) -> Self {
        self.query.memory_bytes_max = bytes;
        self
    }

    /// How long a statement may run before it fails with [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded).
    /// Default: as long as it takes.
    #[must_use]
    pub fn query_time_max(mut self, time: Duration) -> Self {
        self.query.time_max = Some(time);
        self
    }

    /// Where statements of general SQL spill what exceeds their memory, and how many bytes of it. Default: the temporary
    /// directory of the system, 16 GiB.
    #[must_use]
    pub fn query_spill(mut self, dir: impl Into<PathBuf>, bytes_max: u64) -> Self {
        self.query.spill_dir = Some(dir.into());
        self.query.spill_bytes_max = bytes_max;
        self
    }

    /// Rows of one result. Default: 64 Mi.
    #[must_use]
    pub fn query_rows_max(mut self, rows: u64) -> Self {
        self.query.rows_out_max = rows;
        self
    }

    /// Bounds on the text of a statement. Default: 64 MiB, 4 Mi names, literals and operators.
    #[must_use]
    pub fn sql_limits(mut self, limits: SqlLimits) -> Self {
        self.query.sql = limits;
        self
    }

    /// Whether SQL may read and write files. Default: allowed, with the rights of the process.
    #[must_use]
    pub fn file_access(mut self, access: FileAccess) -> Self {
        self.query.file_access = access;
        self
    }

    /// Whether queries are answered from the rollups of segments where these suffice. Default: they are.
    #[must_use]
    pub fn rollups(mut self, mode: RollupMode) -> Self {
        self.query.rollups = mode;
        self
    }

    /// What a statement does where rows cannot be read because their segment is damaged. Default: it fails.
    #[must_use]
    pub fn on_damage(mut self, policy: DamagePolicy) -> Self {
        self.query.on_damage = policy;
        self
    }

    /// The namespace of table names. Default: `public`.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.query.namespace = namespace.into();
        self
    }
}

/// Memory of the machine or of the control group, whichever is smaller; `None` when the system does not say.
fn available_memory_bytes() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    });
    let group_files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = group_files.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (machine, group) => machine.or(group),
    }
}
