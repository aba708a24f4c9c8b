//! What was refused lately, and how much of it in all: the memory of one tenant, for every protocol.
//!
//! Whoever refuses a sample or a row counts it here by protocol and reason, and describes it where it has room: the
//! newest [`KEPT_MAX`] descriptions stay, each cut to a bound, so that a sender of rubbish costs neither memory nor the
//! descriptions of others for long. Invariant: no more than [`KEPT_MAX`] entries of at most [`TEXT_BYTES_MAX`] bytes per
//! text are held. Any number of threads may count, describe and read at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use lynxstore_query::{SystemRows, SystemTable};
use parking_lot::Mutex;

/// Descriptions that are kept; older ones go.
pub const KEPT_MAX: usize = 1_000;

/// Bytes of each text of a description; what is longer is cut.
pub const TEXT_BYTES_MAX: usize = 512;

/// Something that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The protocol that brought it, such as `remote_write`.
    pub protocol: &'static str,
    /// The rule that it breaks, as one word.
    pub reason: &'static str,
    /// The table or metric, as far as it is known.
    pub table: &'a str,
    /// Its tags or labels as text.
    pub labels: &'a str,
    /// Its own time, in nanoseconds since the epoch.
    pub time_ns: Option<i64>,
    /// What breaks the rule: a value, a text, an error message.
    pub detail: &'a str,
}

/// A description that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedSample {
    /// When it was refused, in nanoseconds since the epoch.
    pub refused_ns: i64,
    /// See [`Refusal`]; texts are cut.
    pub protocol: &'static str,
    /// As above.
    pub reason: &'static str,
    /// As above.
    pub table: String,
    /// As above.
    pub labels: String,
    /// As above.
    pub time_ns: Option<i64>,
    /// As above.
    pub detail: String,
}

/// How many samples and rows were refused, by protocol and reason.
pub type RejectedCounts = BTreeMap<(&'static str, &'static str), u64>;

/// Counts and newest descriptions of one tenant.
#[derive(Debug, Default)]
pub struct RejectedLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: RejectedCounts,
    newest: VecDeque<RejectedSample>,
}

impl RejectedLog {
    /// Counts samples or rows that were refused.
    pub fn count(&self, protocol: &'static str, reason: &'static str, count: u64) {
        *self.state.lock().counts.entry((protocol, reason)).or_default() += count;
    }

    /// Keeps a description; it counts nothing. One request describes a few of what it refuses and counts all of it.
    pub fn describe(&self, refusal: &Refusal<'_>, refused_ns: i64) {
        let sample = RejectedSample {
            refused_ns,
            protocol: refusal.protocol,
            reason: refusal.reason,
            table: cut(refusal.table),
            labels: cut(refusal.labels),
            time_ns: refusal.time_ns,
            detail: cut(refusal.detail),
        };
        let mut state = self.state.lock();
        if state.newest.len() == KEPT_MAX {
            state.newest.pop_front();
        }
        state.newest.push_back(sample);
    }

    /// What was refused so far.
    pub fn counts(&self) -> RejectedCounts {
        self.state.lock().counts.clone()
    }

    /// The newest descriptions, oldest first.
    pub fn newest(&self) -> Vec<RejectedSample> {
        self.state.lock().newest.iter().cloned().collect()
    }
}

/// The tables of the namespace `system` that show a log; they belong into the query options of its tenant alone.
pub fn system_tables(log: &Arc<RejectedLog>) -> Arc<[SystemTable]> {
    let samples = RejectedRows { log: Arc::clone(log) };
    let counts = RejectedCountRows { log: Arc::clone(log) };
    Arc::from([
        SystemTable { name: "rejected_samples", rows: Arc::new(samples) },
        SystemTable { name: "rejected_counts", rows: Arc::new(counts) },
    ])
}

/// A text of at most [`TEXT_BYTES_MAX`] bytes, cut at a character.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

/// The rows of `system.rejected_samples`.
#[derive(Debug)]
struct RejectedRows {
    log: Arc<RejectedLog>,
}

impl SystemRows for RejectedRows {
    fn rows(&self) -> Result<RecordBatch, ArrowError> {
        let newest = self.log.newest();
        let text = |of: fn(&RejectedSample) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(newest.iter().map(of)))
        };
        let refused = TimestampNanosecondArray::from_iter_values(newest.iter().map(|sample| sample.refused_ns));
        let times: TimestampNanosecondArray = newest.iter().map(|sample| sample.time_ns).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(refused),
            text(|sample| sample.protocol),
            text(|sample| &sample.table),
            text(|sample| &sample.labels),
            text(|sample| sample.reason),
            Arc::new(times),
            text(|sample| &sample.detail),
        ];
        RecordBatch::try_new(rejected_schema(), columns)
    }
}

fn rejected_schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let columns = [
        ("refused_at", time.clone()),
        ("protocol", DataType::Utf8),
        ("table_name", DataType::Utf8),
        ("labels", DataType::Utf8),
        ("reason", DataType::Utf8),
        ("sample_time", time),
        ("detail", DataType::Utf8),
    ];
    Arc::new(Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()))
}

/// The rows of `system.rejected_counts`.
#[derive(Debug)]
struct RejectedCountRows {
    log: Arc<RejectedLog>,
}

impl SystemRows for RejectedCountRows {
    fn rows(&self) -> Result<RecordBatch, ArrowError> {
        let counts = self.log.counts();
        let protocols: ArrayRef = Arc::new(StringArray::from_iter_values(counts.keys().map(|key| key.0)));
        let reasons: ArrayRef = Arc::new(StringArray::from_iter_values(counts.keys().map(|key| key.1)));
        let numbers = counts.values().map(|&count| i64::try_from(count).unwrap_or(i64::MAX));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
        RecordBatch::try_from_iter([("protocol", protocols), ("reason", reasons), ("count", numbers)])
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    fn refusal<'a>(table: &'a str, labels: &'a str) -> Refusal<'a> {
        Refusal {
            protocol: "remote_write",
            reason: "duplicate_label",
            table,
            labels,
            time_ns: Some(7),
            detail: "twice",
        }
    }

    #[test]
    fn the_newest_descriptions_stay_and_their_texts_are_cut_at_a_character() {
        let log = RejectedLog::default();
        let long = "\u{1F41F}".repeat(TEXT_BYTES_MAX);
        for number in 0..KEPT_MAX + 5 {
            log.describe(&refusal(&number.to_string(), &long), number as i64);
        }
        let newest = log.newest();
        assert_eq!(newest.len(), KEPT_MAX);
        assert_eq!((newest[0].table.as_str(), newest[KEPT_MAX - 1].refused_ns), ("5", KEPT_MAX as i64 + 4));
        assert!(newest.iter().all(|sample| sample.labels.len() <= TEXT_BYTES_MAX && !sample.labels.is_empty()));
    }

    #[test]
    fn counts_grow_by_protocol_and_reason_and_have_nothing_to_do_with_descriptions() {
        let log = RejectedLog::default();
        log.count("remote_write", "duplicate_label", 3);
        log.count("remote_write", "duplicate_label", 4);
        log.count("line_protocol", "duplicate_label", 1);
        log.describe(&refusal("t", "{}"), 1);
        let counts: Vec<_> = log.counts().into_iter().collect();
        assert_eq!(counts, [(("line_protocol", "duplicate_label"), 1), (("remote_write", "duplicate_label"), 7)]);
    }

    #[test]
    fn an_empty_log_and_a_full_one_are_rows_of_the_same_columns() {
        let log = Arc::new(RejectedLog::default());
        let (rows, counts) = (RejectedRows { log: Arc::clone(&log) }, RejectedCountRows { log: Arc::clone(&log) });
        let empty = rows.rows().unwrap();
        assert_eq!((empty.num_rows(), counts.rows().unwrap().num_rows()), (0, 0));
        log.describe(&refusal("up", "{job=\"a\"}"), 5);
        log.count("remote_write", "duplicate_label", 2);
        let full = rows.rows().unwrap();
        assert_eq!((full.num_rows(), full.schema()), (1, empty.schema()));
        assert_eq!(full.column_by_name("labels").unwrap().as_string::<i32>().value(0), "{job=\"a\"}");
        assert!(full.column_by_name("sample_time").unwrap().is_valid(0));
        assert_eq!(counts.rows().unwrap().num_rows(), 1);
    }
}
