//! Statements that are cancelled in the middle: they end, and leave nothing behind. How soon is measured, not asserted:
//! `cargo test --workspace --lib latencies -- --ignored --nocapture`, with `LYNX_CANCELLATION_ROWS` rows.

#![cfg(all(feature = "datafusion", feature = "files"))]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lynxstore_storage::engine::{Engine, EngineOptions};

use crate::{Cancellation, Error, FileAccess, QueryEngine, QueryOptions, QueryOutput};

/// Long enough for a statement to be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// A table `t` of `rows` rows of 50 hosts in segments, with values in no order, and an empty one, `u`.
fn engine(dir: &tempfile::TempDir, rows: u64) -> QueryEngine {
    let engine = Arc::new(Engine::open(&dir.path().join("db"), EngineOptions::default()).unwrap());
    let options = QueryOptions { file_access: FileAccess::Allowed, threads: 2, ..QueryOptions::default() };
    let query = QueryEngine::new(engine, options);
    for name in ["t", "u"] {
        query.execute(&format!("CREATE TABLE {name} (time TIMESTAMP TIME, host TEXT TAG, x BIGINT, s TEXT)")).unwrap();
    }
    for start in (0..rows).step_by(20_000) {
        let mut sql = String::from("INSERT INTO t VALUES ");
        for row in start..(start + 20_000).min(rows) {
            let comma = if row == start { "" } else { "," };
            let x = row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24;
            write!(sql, "{comma}({row}, 'h{}', {x}, 's{x}')", row % 50).unwrap();
        }
        query.execute(&sql).unwrap();
    }
    query.execute("CHECKPOINT").unwrap();
    query
}

/// What came of a statement.
struct Run {
    result: Result<QueryOutput, Error>,
    /// How long it took in all.
    took: Duration,
    /// How long it went on after it was cancelled.
    latency: Duration,
}

/// Runs a statement and cancels it after a while, unless it ends before.
fn cancelled_after(query: &QueryEngine, sql: &str, after: Duration) -> Run {
    let cancellation = Cancellation::new();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let statement = scope.spawn(|| (query.execute_with(sql, &[], &cancellation), Instant::now()));
        while start.elapsed() < after && !statement.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let cancelled = Instant::now();
        cancellation.cancel();
        let (result, ended) = statement.join().unwrap();
        Run { result, took: ended - start, latency: ended.saturating_duration_since(cancelled) }
    })
}

#[test]
fn statements_that_would_run_for_ever_end_when_they_are_cancelled_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let query = engine(&dir, 20_000);
    let path = dir.path().join("out.csv");
    // 8 * 10^12 rows, of which none passes.
    let rows = "SELECT a.time, a.host, a.x, a.s FROM t a, t b, t c WHERE a.x + b.x + c.x < 0";
    for sql in [
        rows.to_owned(),
        format!("SELECT host, count(*), max(s) FROM ({rows}) AS r GROUP BY host ORDER BY host"),
        format!("SELECT sum(x) OVER (ORDER BY s) FROM ({rows}) AS r"),
        format!("COPY ({rows}) TO '{}'", path.display()),
        format!("INSERT INTO u {rows}"),
        format!("EXPLAIN ANALYZE {rows}"),
    ] {
        let result = cancelled_after(&query, &sql, ON_ITS_WAY).result;
        assert!(matches!(result, Err(Error::Cancelled)), "{sql}: {result:?}");
    }
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["db"], "neither the file nor what was written of it");
    assert_eq!(super::tests::lines(&query.execute("SELECT count(*) FROM u").unwrap()), ["0"]);
}

/// Statements that are busy in different places.
const STATEMENTS: [(&str, &str); 14] = [
    ("scan and filter", "SELECT count(*) FROM t WHERE length(s) + x % 7 = 13"),
    ("project", "SELECT time, host, x * 2, upper(s) FROM t"),
    ("sort", "SELECT s, x FROM t ORDER BY s, x"),
    ("group by hash", "SELECT s, count(*), max(x) FROM t GROUP BY s"),
    ("distinct", "SELECT DISTINCT x, s FROM t"),
    ("median", "SELECT median(x), count(DISTINCT s) FROM t"),
    ("medians of groups", "SELECT x % 100003 AS k, median(x), mode(s) FROM t GROUP BY k"),
    (
        "gaps",
        "SELECT time_bucket_gapfill('1us', time, '1970-01-01', '1970-01-01T00:00:02Z') AS b, host, locf(max(x)) FROM t GROUP BY b, host",
    ),
    ("hash join", "SELECT count(*) FROM t a JOIN t b ON a.x % 97 = b.x % 97 WHERE a.x < b.x"),
    ("window", "SELECT sum(n) FROM (SELECT row_number() OVER (PARTITION BY x % 1000 ORDER BY s) AS n FROM t)"),
    ("group in general", "SELECT count(*) FROM (SELECT s, x FROM t UNION SELECT s, x + 1 FROM t)"),
    ("asof join", "SELECT count(*) FROM t a ASOF JOIN t b ON a.host = b.host AND a.x >= b.x"),
    ("copy to parquet", "COPY t TO 'FILE.parquet'"),
    ("insert a query", "INSERT INTO u SELECT * FROM t"),
];

/// Prints how long statements go on after they were cancelled, at ten moments of each.
#[test]
#[ignore = "a measurement, not a test"]
fn latencies_of_cancelled_statements() {
    let rows = std::env::var("LYNX_CANCELLATION_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(300_000);
    let dir = tempfile::tempdir().unwrap();
    let query = engine(&dir, rows);
    let file = dir.path().join("out");
    for (name, sql) in STATEMENTS {
        let sql = sql.replace("FILE", file.to_str().unwrap());
        // How long it takes by itself, or long enough.
        let whole = cancelled_after(&query, &sql, Duration::from_secs(3));
        let takes = whole.took.min(Duration::from_secs(3));
        let (mut latencies, mut ended) = (Vec::new(), 0);
        for part in 1..=10 {
            let run = cancelled_after(&query, &sql, takes * part / 11);
            match run.result {
                Err(Error::Cancelled) => latencies.push(run.latency.as_secs_f64() * 1e3),
                _ => ended += 1,
            }
        }
        latencies.sort_by(f64::total_cmp);
        let at = |share: usize| latencies.get(latencies.len() * share / 100).or(latencies.last()).copied();
        println!(
            "{name}: takes {takes:?}{}, {} cancelled, {ended} had ended; median {:.1?} ms, greatest {:.1?} ms",
            if whole.result.is_ok() { "" } else { " and more" },
            latencies.len(),
            at(50),
            at(100)
        );
    }
}
