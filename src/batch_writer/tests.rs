//! The batch writer over a commit that the test controls, and over a database.

use std::sync::Arc;
use std::time::Duration;

use lynxstore_storage::Error as StorageError;
use parking_lot::Mutex;

use super::worker::Pacing;
use super::*;
use crate::database::Database;
use crate::error::ErrorKind;
use crate::ingest::rows::{RowOutcome, RowsError};

const NEVER: Duration = Duration::from_secs(100_000);

/// What a test sees of the commits: sizes of batches, pauses between attempts.
#[derive(Default)]
struct Seen {
    batches: Mutex<Vec<Vec<i64>>>,
    pauses: Mutex<Vec<Duration>>,
}

/// A writer whose commits fail as often as `failures` says.
fn writer(options: BatchWriterOptions, failures: Vec<RowsError>) -> (BatchWriter, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let (commits, pauses) = (Arc::clone(&seen), Arc::clone(&seen));
    let mut failures = failures.into_iter();
    let commit = Box::new(move |rows: &[BatchRow]| match failures.next() {
        Some(error) => Err(error),
        None => {
            commits.batches.lock().push(rows.iter().map(|row| row.time_ns).collect());
            Ok(RowOutcome { written: rows.len() as u64, ..RowOutcome::default() })
        }
    });
    let pacing = Pacing { sleep: Box::new(move |pause| pauses.pauses.lock().push(pause)), random: Box::new(|| 512) };
    (BatchWriter::start(commit, pacing, options).unwrap(), seen)
}

fn row(time_ns: i64) -> BatchRow {
    BatchRow::new("t", time_ns).field("n", time_ns)
}

fn full() -> RowsError {
    RowsError::Store(StorageError::Backpressure { used_bytes: 2, limit_bytes: 1 })
}

fn options() -> BatchWriterOptions {
    BatchWriterOptions { linger: NEVER, flush_rows: 10, ..BatchWriterOptions::default() }
}

#[test]
fn rows_are_written_at_the_size_of_a_batch_at_a_flush_and_at_the_close() {
    let (writer, seen) = writer(options(), Vec::new());
    (0..25).for_each(|time| writer.send_blocking(row(time)).unwrap());
    assert_eq!(writer.flush_blocking().unwrap().written, 25);
    assert_eq!(seen.batches.lock().iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(writer.flush_blocking().unwrap().written, 25);
    writer.send_blocking(row(25)).unwrap();
    let other = writer.clone();
    assert_eq!(writer.close_blocking().unwrap(), BatchReport { written: 26, ..BatchReport::default() });
    assert_eq!(seen.batches.lock().concat(), (0..26).collect::<Vec<_>>());
    assert_eq!(other.send_blocking(row(1)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(other.flush_blocking().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_row_waits_for_others_no_longer_than_the_linger() {
    let (writer, seen) = writer(BatchWriterOptions { linger: Duration::from_millis(1), ..options() }, Vec::new());
    writer.send_blocking(row(1)).unwrap();
    // Nothing but the time makes it be written; how long that takes is not what this asks.
    while seen.batches.lock().is_empty() {
        std::thread::yield_now();
    }
    drop(writer);
}

#[test]
fn a_full_queue_refuses_or_blocks() {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let start = |when_full| {
        let options = BatchWriterOptions { queue_rows_max: 2, flush_rows: 1, when_full, ..options() };
        let (entered, is_in) = std::sync::mpsc::channel();
        (options, entered, is_in)
    };
    let (options, entered, is_in) = start(WhenFull::Fail);
    let commit = Box::new(move |rows: &[BatchRow]| {
        entered.send(()).unwrap();
        held.recv().unwrap();
        Ok(RowOutcome { written: rows.len() as u64, ..RowOutcome::default() })
    });
    let pacing = Pacing { sleep: Box::new(|_| ()), random: Box::new(|| 0) };
    let writer = BatchWriter::start(commit, pacing, options).unwrap();
    writer.send_blocking(row(0)).unwrap();
    // The first row is being written, two are in the queue.
    is_in.recv().unwrap();
    writer.send_blocking(row(1)).unwrap();
    writer.send_blocking(row(2)).unwrap();
    assert_eq!(writer.send_blocking(row(3)).unwrap_err().kind(), ErrorKind::Busy);
    (0..3).for_each(|_| hold.send(()).unwrap());
    assert_eq!(writer.close_blocking().unwrap().written, 3);

    // Producers that wait lose nothing.
    let (writer, _) = self::writer(BatchWriterOptions { queue_rows_max: 1, ..self::options() }, Vec::new());
    std::thread::scope(|scope| {
        for producer in 0..4 {
            let writer = writer.clone();
            scope.spawn(move || (0..100).for_each(|time| writer.send_blocking(row(producer * 100 + time)).unwrap()));
        }
    });
    assert_eq!(writer.close_blocking().unwrap().written, 400);
}

#[test]
fn only_full_memory_is_tried_again_and_with_growing_pauses() {
    let retry = Retry { attempts_max: 4, pause: Duration::from_millis(100), pause_max: Duration::from_millis(250) };
    let (writer, seen) = writer(
        BatchWriterOptions { retry: retry.clone(), ..options() },
        vec![full(), full(), full(), RowsError::Store(StorageError::Closed), full(), full(), full(), full()],
    );
    for time in 0..3 {
        writer.send_blocking(row(time)).unwrap();
        writer.flush_blocking().unwrap();
    }
    let report = writer.close_blocking().unwrap();
    // The first row met the closed engine after three pauses, the second gave up after four attempts.
    assert_eq!((report.written, report.failed), (1, 2));
    assert_eq!(report.faults.len(), 2);
    let pauses = [75, 150, 187].map(|ms| Duration::from_micros(if ms == 187 { 187_500 } else { ms * 1_000 }));
    assert_eq!(*seen.pauses.lock(), [pauses, pauses].concat());
    for random in [0, 1_023, u64::MAX] {
        let pause = retry.pause_after(40, random);
        assert!((Duration::from_millis(125)..=Duration::from_millis(250)).contains(&pause), "{pause:?}");
    }
}

#[test]
fn a_writer_that_is_dropped_writes_what_was_sent() {
    let (writer, seen) = writer(options(), Vec::new());
    (0..15).for_each(|time| writer.send_blocking(row(time)).unwrap());
    drop(writer);
    assert_eq!(seen.batches.lock().concat().len(), 15);
}

#[test]
fn options_without_room_are_refused() {
    for bad in
        [BatchWriterOptions { queue_rows_max: 0, ..options() }, BatchWriterOptions { flush_rows: 0, ..options() }]
    {
        let pacing = Pacing { sleep: Box::new(|_| ()), random: Box::new(|| 0) };
        let commit = Box::new(|_: &[BatchRow]| Ok(RowOutcome::default()));
        assert_eq!(BatchWriter::start(commit, pacing, bad).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn rows_of_async_producers_are_in_the_database_and_those_that_do_not_fit_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let writer =
        BatchWriter::new(&database, BatchWriterOptions { linger: NEVER, ..BatchWriterOptions::default() }).unwrap();
    let producers: Vec<_> = (0..3)
        .map(|producer: i64| {
            let writer = writer.clone();
            tokio::spawn(async move {
                for time in 0..400 {
                    let host = producer.to_string();
                    let row = BatchRow::new("t", time).tag("host", host).field("n", time).field("s", "x");
                    writer.send(row).await.unwrap();
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    assert_eq!(writer.flush().await.unwrap().written, 1_200);
    writer.send(BatchRow::new("t", 7).field("n", "text")).await.unwrap();
    writer.send(BatchRow::new("t", 7).field("n", 8_i64)).await.unwrap();
    let report = writer.close().await.unwrap();
    assert_eq!((report.written, report.rejected, report.failed), (1_201, 1, 0));
    assert!(report.faults[0].contains("\"t\" at 7"), "{:?}", report.faults);
    let output = database.query("SELECT count(*) AS c, sum(n) AS s FROM t").unwrap();
    let cell = |column| arrow::util::display::array_value_to_string(output.batches[0].column(column), 0).unwrap();
    assert_eq!((cell(0), cell(1)), ("1201".to_owned(), (3 * 79_800 + 8).to_string()));
}
