//! What an open found and did, for people and for the system tables.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use crate::manifest::SegmentMeta;
use crate::types::{Lsn, SegmentId, TableId, TimeRange};
use crate::wal::{Contents, Loss, WalDamage};

/// What an event is about. The set grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryKind {
    /// A part of the manifest is damaged.
    ManifestDamaged,
    /// There is no manifest beside data.
    ManifestMissing,
    /// The last record of the manifest was not whole.
    ManifestTorn,
    /// A part of the write-ahead log is damaged or missing.
    WalDamaged,
    /// The end of the write-ahead log was not whole.
    WalTorn,
    /// Commits of the log have rows that no table takes.
    WalRowsLeftOut,
    /// A segment cannot be opened.
    SegmentDamaged,
    /// A surviving record names a segment whose file is gone.
    SegmentGone,
    /// A segment that no surviving record names is part of the database again.
    SegmentAdopted,
    /// A segment file that is not part of the database was moved to `quarantine/`.
    SegmentSetAside,
    /// A table whose record was lost is there again.
    TableRecovered,
    /// Files of unfinished work were removed.
    LeftoversRemoved,
    /// The history of what openings found is damaged.
    HistoryDamaged,
}

impl RecoveryKind {
    const ALL: [Self; 13] = [
        Self::ManifestDamaged,
        Self::ManifestMissing,
        Self::ManifestTorn,
        Self::WalDamaged,
        Self::WalTorn,
        Self::WalRowsLeftOut,
        Self::SegmentDamaged,
        Self::SegmentGone,
        Self::SegmentAdopted,
        Self::SegmentSetAside,
        Self::TableRecovered,
        Self::LeftoversRemoved,
        Self::HistoryDamaged,
    ];

    /// The kind as a word, such as `wal_damaged`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ManifestDamaged => "manifest_damaged",
            Self::ManifestMissing => "manifest_missing",
            Self::ManifestTorn => "manifest_torn",
            Self::WalDamaged => "wal_damaged",
            Self::WalTorn => "wal_torn",
            Self::WalRowsLeftOut => "wal_rows_left_out",
            Self::SegmentDamaged => "segment_damaged",
            Self::SegmentGone => "segment_gone",
            Self::SegmentAdopted => "segment_adopted",
            Self::SegmentSetAside => "segment_set_aside",
            Self::TableRecovered => "table_recovered",
            Self::LeftoversRemoved => "leftovers_removed",
            Self::HistoryDamaged => "history_damaged",
        }
    }

    /// Its code in the history of recovery. Codes never change; a build with a kind more writes another version of the
    /// file.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::ManifestDamaged => 1,
            Self::ManifestMissing => 2,
            Self::ManifestTorn => 3,
            Self::WalDamaged => 4,
            Self::WalTorn => 5,
            Self::WalRowsLeftOut => 6,
            Self::SegmentDamaged => 7,
            Self::SegmentGone => 8,
            Self::SegmentAdopted => 9,
            Self::SegmentSetAside => 10,
            Self::TableRecovered => 11,
            Self::LeftoversRemoved => 12,
            Self::HistoryDamaged => 13,
        }
    }

    /// `None` for a code that no kind has.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// What a crash leaves; nothing that was acknowledged is concerned.
    Note,
    /// Nothing is lost, but an operator should look: rows may be there twice or be back.
    Warning,
    /// Acknowledged rows are lost or cannot be read.
    Loss,
}

impl Severity {
    /// The severity as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Loss => "loss",
        }
    }

    /// Its code in the history of recovery.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Note => 0,
            Self::Warning => 1,
            Self::Loss => 2,
        }
    }

    /// `None` for a code that no severity has.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::Note, Self::Warning, Self::Loss].into_iter().find(|severity| severity.code() == code)
    }
}

/// One thing that an open found, and what it did about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryEvent {
    /// What it is about.
    pub kind: RecoveryKind,
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// The bytes concerned, where the whole file is not.
    pub bytes: Option<Range<u64>>,
    /// Commits that are lost, first and last.
    pub lsn_gap: Option<RangeInclusive<Lsn>>,
    /// Tables concerned, where known.
    pub tables: Vec<TableId>,
    /// Times of the rows concerned, where known.
    pub time_range: Option<TimeRange>,
    /// Rows concerned, where known.
    pub rows: Option<u64>,
    /// What was found.
    pub found: String,
    /// What was done.
    pub done: String,
    /// Where the file or a copy of it is kept.
    pub kept: Option<PathBuf>,
}

impl RecoveryEvent {
    /// An event about a whole file; the rest is filled in by the caller.
    pub(crate) fn new(kind: RecoveryKind, severity: Severity, file: &Path, found: impl Into<String>) -> Self {
        Self {
            kind,
            severity,
            file: file.to_path_buf(),
            bytes: None,
            lsn_gap: None,
            tables: Vec::new(),
            time_range: None,
            rows: None,
            found: found.into(),
            done: String::new(),
            kept: None,
        }
    }

    pub(crate) fn done(mut self, done: impl Into<String>) -> Self {
        self.done = done.into();
        self
    }

    /// Says which rows a segment holds.
    pub(crate) fn of_segment(mut self, meta: &SegmentMeta) -> Self {
        self.tables = meta.sections.iter().map(|section| section.table).collect();
        self.tables.dedup();
        let hull = |a: TimeRange, b: TimeRange| TimeRange {
            start_ns: a.start_ns.min(b.start_ns),
            end_ns: a.end_ns.max(b.end_ns),
        };
        self.time_range = meta.sections.iter().map(|section| section.time_range).reduce(hull);
        self.rows = Some(meta.row_count());
        self
    }

    /// A segment that cannot be opened.
    pub(crate) fn of_damaged_segment(path: &Path, meta: &SegmentMeta, reason: &str) -> Self {
        let found = format!("the segment cannot be opened: {reason}");
        let event = Self::new(RecoveryKind::SegmentDamaged, Severity::Loss, path, found);
        event.done("it is set aside: queries of its tables and times fail, others do not").of_segment(meta)
    }

    pub(crate) fn of_wal_damage(damage: &WalDamage) -> Self {
        // Damage of what is in segments already, or of a header, costs nothing.
        let is_lossless = damage.lost_commits() == 0 && damage.loss == Loss::Known;
        let severity = if is_lossless { Severity::Warning } else { Severity::Loss };
        let mut event = Self::new(RecoveryKind::WalDamaged, severity, &damage.path, &damage.reason);
        event.bytes = Some(damage.start..damage.end);
        if damage.lost_commits() > 0 {
            event.lsn_gap = Some(damage.first_lost..=damage.last_lost);
        }
        event.concerns(damage.contents.as_ref());
        event.kept.clone_from(&damage.quarantined);
        event.done(match damage.quarantined {
            Some(_) => "every valid record around it was kept; the file was copied",
            None => "every valid record around it was kept; the file will be moved to quarantine, not removed",
        })
    }

    fn concerns(&mut self, contents: Option<&Contents>) {
        if let Some(contents) = contents {
            self.tables.clone_from(&contents.tables);
            self.time_range = contents.time_range;
            self.rows = Some(contents.rows);
        }
    }
}

/// What the open found and did.
#[derive(Debug, Clone, Default)]
pub struct RecoveryReport {
    /// Everything that was found, in the order in which it was.
    pub events: Vec<RecoveryEvent>,
    /// Commits that were replayed from the write-ahead log.
    pub replayed_commits: u64,
    /// Rows in them.
    pub replayed_rows: u64,
    /// Rows of tables that do not exist any more.
    pub rows_without_table: u64,
    /// Rows that do not fit their table, as after the manifest of another life was put beside the log. Their log files
    /// are kept in `quarantine/`.
    pub rows_refused: u64,
    /// Bytes of a torn last record that were cut.
    pub torn_bytes: u64,
    /// Damage in the write-ahead log: what lies between was lost, what came after was kept.
    pub wal_damage: Vec<WalDamage>,
    /// Segments that cannot be read, with the reason; queries of their tables and times fail.
    pub damaged_segments: Vec<(SegmentId, String)>,
    /// Files of unfinished flushes and removals that were removed.
    pub removed_files: u64,
    /// Segment files that the manifest never named, moved to `quarantine/`: a flush that was cut off leaves one, and the
    /// log has its rows.
    pub quarantined_segments: Vec<PathBuf>,
}

impl RecoveryReport {
    /// Whether rows that were acknowledged may be lost, there twice, or back.
    pub fn found_damage(&self) -> bool {
        self.events.iter().any(|event| event.severity > Severity::Note)
    }

    /// Adds an event, and tells the log of the program.
    pub(crate) fn add(&mut self, event: RecoveryEvent) {
        let (kind, file) = (event.kind.as_str(), event.file.display());
        match event.severity {
            Severity::Note => tracing::info!(kind, %file, found = event.found, done = event.done, "recovery"),
            Severity::Warning => tracing::warn!(kind, %file, found = event.found, done = event.done, "recovery"),
            Severity::Loss => tracing::error!(kind, %file, found = event.found, done = event.done, "recovery"),
        }
        self.events.push(event);
    }
}
