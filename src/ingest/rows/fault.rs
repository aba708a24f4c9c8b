//! Why a row was left out, and the list of such rows that an answer shows.

/// Rows whose fault is kept in words; the others are counted.
const SHOWN_MAX: usize = 100;
/// Bytes of the text of one fault.
const DETAIL_BYTES_MAX: usize = 300;

/// The rule that a row breaks. The sender must not send the row again as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RowReason {
    /// The text of the row is not in the form of the protocol.
    Malformed,
    /// Text that is not UTF-8.
    InvalidUtf8,
    /// A table or column without a name, or with one that is too long.
    InvalidName,
    /// A column that the row sets twice.
    DuplicateColumn,
    /// A value of another type than its field.
    TypeConflict,
    /// A column that is a tag in the table and a field in the row, or the reverse; or one that a strict table lacks.
    SchemaConflict,
    /// More tags or fields than a row or table may have.
    TooManyColumns,
    /// Tag values that are too long.
    TooLong,
    /// No time.
    MissingTime,
    /// A time that is none, or does not fit in 64-bit nanoseconds.
    InvalidTime,
    /// What this table or this protocol does not take.
    Unsupported,
    /// A series that is not there yet, and too many began in this minute.
    SeriesRate,
    /// A series that is not there yet, and the table or the tenant has as many as it may.
    SeriesLimit,
}

impl RowReason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::InvalidUtf8,
        Self::InvalidName,
        Self::DuplicateColumn,
        Self::TypeConflict,
        Self::SchemaConflict,
        Self::TooManyColumns,
        Self::TooLong,
        Self::MissingTime,
        Self::InvalidTime,
        Self::Unsupported,
        Self::SeriesRate,
        Self::SeriesLimit,
    ];

    /// The reason as one word, for answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidName => "invalid_name",
            Self::DuplicateColumn => "duplicate_column",
            Self::TypeConflict => "type_conflict",
            Self::SchemaConflict => "schema_conflict",
            Self::TooManyColumns => "too_many_columns",
            Self::TooLong => "too_long",
            Self::MissingTime => "missing_time",
            Self::InvalidTime => "invalid_time",
            Self::Unsupported => "unsupported",
            Self::SeriesRate => "series_rate",
            Self::SeriesLimit => "series_limit",
        }
    }
}

/// A row that is left out, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The rule.
    pub reason: RowReason,
    /// What breaks it.
    pub detail: String,
}

impl RowFault {
    /// A fault; `detail` is cut to what an answer shows.
    pub fn new(reason: RowReason, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > DETAIL_BYTES_MAX {
            detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
            detail.push_str("...");
        }
        Self { reason, detail }
    }
}

/// A bounded quote of bytes that came.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    const QUOTED_BYTES_MAX: usize = 64;
    let end = bytes.len().min(QUOTED_BYTES_MAX);
    let more = if end < bytes.len() { "..." } else { "" };
    format!("{:?}{more}", String::from_utf8_lossy(&bytes[..end]))
}

/// A row that was left out, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// Number of its line in the request, from 1; of its data point, where a protocol has no lines.
    pub line: usize,
    /// Why.
    pub fault: RowFault,
}

/// The rows of a request that were left out: all counted, the first of them in words.
#[derive(Debug, Clone, Default)]
pub struct RejectedRows {
    by_reason: [u64; RowReason::ALL.len()],
    shown: Vec<RejectedRow>,
    last_line: Option<usize>,
    lines: u64,
}

impl RejectedRows {
    /// Notes that a row was left out.
    pub fn add(&mut self, line: usize, fault: RowFault) {
        self.by_reason[fault.reason as usize] += 1;
        if self.last_line.replace(line) != Some(line) {
            self.lines += 1;
        }
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(RejectedRow { line, fault });
        }
    }

    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many rows were left out.
    pub fn count(&self) -> u64 {
        self.by_reason.iter().sum()
    }

    /// How many lines or data points they stood in, which come in order; a point may be several rows.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// How many rows broke each rule, for the rules that any broke.
    pub fn by_reason(&self) -> impl Iterator<Item = (RowReason, u64)> {
        RowReason::ALL.into_iter().zip(self.by_reason).filter(|(_, count)| *count > 0)
    }

    /// The first rows that were left out, in the order of the request.
    pub fn shown(&self) -> &[RejectedRow] {
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_their_own_index() {
        for (index, reason) in RowReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    #[test]
    fn a_list_of_rejected_rows_is_bounded_and_its_counts_are_not() {
        let mut rows = RejectedRows::default();
        for line in 0..1_000 {
            rows.add(line, RowFault::new(RowReason::Malformed, "\u{1F41F}".repeat(1_000)));
        }
        assert_eq!((rows.count(), rows.shown().len()), (1_000, SHOWN_MAX));
        assert!(rows.shown().iter().all(|row| row.fault.detail.len() <= DETAIL_BYTES_MAX + 3));
    }
}
