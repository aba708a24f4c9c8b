//! What `EXPLAIN ANALYZE` tells, on tables of which it is known.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::AsArray;
use lynxstore_storage::engine::{Engine, EngineOptions};

use crate::{QueryEngine, QueryOptions, RollupMode};

/// Two days of a regular series of a row per minute in segments, and 30 rows in memory.
fn fixture() -> (tempfile::TempDir, QueryEngine) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
    let options = QueryOptions { threads: 1, rollups: RollupMode::Off, ..QueryOptions::default() };
    let query = QueryEngine::new(Arc::clone(&engine), options);
    query.execute("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, x BIGINT, y DOUBLE)").unwrap();
    let write = |minutes: std::ops::Range<usize>| {
        let mut values = String::new();
        for minute in minutes {
            let comma = if values.is_empty() { "" } else { "," };
            let (day, hour, minute_of_hour) = (1 + minute / 1_440, minute / 60 % 24, minute % 60);
            write!(values, "{comma}('2026-01-{day:02}T{hour:02}:{minute_of_hour:02}:00', 'a', {minute}, {minute}.5)")
                .unwrap();
        }
        query.execute(&format!("INSERT INTO t VALUES {values}")).unwrap();
    };
    write(0..2_880);
    engine.flush().unwrap();
    write(2_880..2_910);
    (dir, query)
}

fn analyze(query: &QueryEngine, sql: &str) -> Vec<String> {
    let output = query.execute(&format!("EXPLAIN ANALYZE {sql}")).unwrap();
    let lines: Vec<String> = output
        .batches
        .iter()
        .flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines
}

fn assert_line(lines: &[String], part: &str) {
    assert!(lines.iter().any(|line| line.contains(part)), "'{part}' is missing:\n{}", lines.join("\n"));
}

#[test]
fn what_was_read_decoded_and_skipped_is_counted() {
    let (_dir, query) = fixture();
    let lines = analyze(&query, "SELECT sum(x * 2) FROM t");
    assert_line(&lines, "route: vectorized");
    assert_line(
        &lines,
        "2 partitions from 2026-01-01 00:00:00 to 2026-01-02 00:00:00, 1 of 1 segments, 30 rows in memory",
    );
    assert_line(&lines, "series read: 1 by 1 threads");
    assert_line(&lines, "rows read: 2910, of these 30 from memory");
    // Days of 1,440 rows are two vectors each.
    assert_line(&lines, "vectors: 4 of fields, 4 decoded");
    assert_line(&lines, "rows out: 1");
    assert_line(&lines, "time: parse ");
    assert_line(&lines, "peak memory: ");
    // Only the last vector and what is in memory can have such a value.
    let lines = analyze(&query, "SELECT y FROM t WHERE x >= 2879");
    assert_line(&lines, "rows out: 31");
    assert_line(&lines, "2464 skipped by field conditions");
    assert_line(&lines, "vectors: 8 of fields, 2 decoded");
    assert_line(&lines, "6 skipped");
    let lines = analyze(&query, "SELECT max(x) FROM t");
    assert_line(&lines, "vectors: 4 of fields, 0 decoded (0 bytes), 4 answered from statistics");
}

#[cfg(feature = "datafusion")]
#[test]
fn general_sql_tells_what_its_operators_and_scans_did() {
    let (_dir, query) = fixture();
    let lines = analyze(&query, "SELECT a.x FROM t a JOIN t b ON a.x = b.x AND b.x < 10");
    assert_line(&lines, "route: DataFusion");
    assert_line(&lines, "HashJoinExec");
    assert_line(&lines, "vectors_decoded=");
    assert_line(&lines, "rows_from_memory=");
    assert_line(&lines, "rows out: 10");
    assert_line(&lines, "peak memory: ");
}
