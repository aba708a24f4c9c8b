//! Statements that would run for ever, fill the memory or the stack: each ends in an error that names the setting.

use std::fmt::Write as _;
use std::sync::Arc;
#[cfg(feature = "datafusion")]
use std::time::Duration;

use lynxstore_storage::engine::{Engine, EngineOptions};

#[cfg(feature = "datafusion")]
use crate::Cancellation;
use crate::{Error, QueryEngine, QueryOptions, RollupMode, Route, SqlLimits};

/// Rows of the table, each of a time of its own.
const ROWS: usize = 20_000;

fn engine(dir: &tempfile::TempDir) -> Arc<Engine> {
    let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
    let query = QueryEngine::new(Arc::clone(&engine), QueryOptions::default());
    query.execute("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, x BIGINT, s TEXT)").unwrap();
    let mut values = String::new();
    for row in 0..ROWS {
        let comma = if row == 0 { "" } else { "," };
        write!(values, "{comma}({row}, 'h{}', {row}, 'text {row}')", row % 4).unwrap();
    }
    query.execute(&format!("INSERT INTO t VALUES {values}")).unwrap();
    engine
}

/// A query engine with tight limits.
fn tight(engine: &Arc<Engine>) -> QueryEngine {
    let options = QueryOptions {
        threads: 2,
        rows_out_max: 5_000,
        memory_bytes_max: 1 << 20,
        spill_bytes_max: 1 << 20,
        rollups: RollupMode::Off,
        ..QueryOptions::default()
    };
    QueryEngine::new(Arc::clone(engine), options)
}

/// The setting that the failure of a statement names.
fn limit_of(query: &QueryEngine, sql: &str) -> String {
    let start = sql.char_indices().nth(80).map_or(sql, |(end, _)| &sql[..end]);
    match query.execute(sql) {
        Err(error @ Error::LimitExceeded { .. }) => error.to_string(),
        Err(error) => panic!("{start}: {error:?}"),
        Ok(output) => panic!("{start}: {} rows by {:?}", output.row_count(), output.route),
    }
}

#[test]
fn groups_sorts_and_results_of_the_vectorized_executor_count_as_memory() {
    let dir = tempfile::tempdir().unwrap();
    let query = tight(&engine(&dir));
    let wide = format!("SELECT {} FROM t LIMIT 4900", ["s"; 30].join(" || "));
    for sql in [
        wide.as_str(),
        "SELECT x, count(*) FROM t GROUP BY x",
        "SELECT time_bucket('1 ns', time), avg(x) FROM t GROUP BY 1",
        "SELECT DISTINCT s FROM t LIMIT 3",
        "SELECT s, max(s) FROM t GROUP BY 1 HAVING count(*) > 1",
    ] {
        let message = limit_of(&query, sql);
        assert!(message.contains("memory_bytes_max"), "{sql}: {message}");
    }
    let output = query.execute("SELECT host, sum(x) FROM t GROUP BY host").unwrap();
    assert_eq!((output.row_count(), output.route), (4, Route::Vectorized));
}

#[test]
fn statements_of_unbounded_text_are_refused_on_every_way_in() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir);
    let sql = SqlLimits { bytes_max: 2 << 20, nodes_max: 20_000, ..SqlLimits::default() };
    let query = QueryEngine::new(engine, QueryOptions { sql, ..QueryOptions::default() });
    let list = |item: &str, count: usize| vec![item; count].join(", ");
    let cases = [
        (format!("SELECT 1 WHERE {}", vec!["x = 1"; 100_000].join(" OR ")), "sql.chain_max"),
        (format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)), "sql.depth_max"),
        (format!("SELECT 1 FROM t WHERE x IN ({})", list("7", 100_000)), "sql.nodes_max"),
        (format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(5_000), ")".repeat(5_000)), "sql."),
        (format!("SELECT '{}'", "x".repeat(3 << 20)), "sql.bytes_max"),
        (format!("SELECT {}1", "- ".repeat(100_000)), "sql.chain_max"),
        (format!("SELECT {}true", "NOT ".repeat(100_000)), "sql."),
        (format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(10_000)), "sql.chain_max"),
    ];
    for (sql, setting) in &cases {
        for way in ["", "EXPLAIN ", "EXPLAIN ANALYZE ", "INSERT INTO t "] {
            let message = limit_of(&query, &format!("{way}{sql}"));
            assert!(message.contains(setting), "{way}{}: {message}", &sql[..60]);
        }
        match query.prepare(sql) {
            Err(Error::LimitExceeded { .. }) => {}
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
    assert_eq!(query.execute(&format!("SELECT 1 FROM t WHERE x IN ({})", list("7", 9_000))).unwrap().row_count(), 1);
}

#[cfg(feature = "datafusion")]
#[test]
fn general_sql_without_end_is_stopped_by_the_setting_that_it_exceeds() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir);
    let query = tight(&engine);
    let short = QueryOptions { time_max: Some(Duration::from_millis(400)), ..query.options().clone() };
    let short = QueryEngine::new(Arc::clone(&engine), short);
    let endless = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r)";
    for (sql, setting) in [
        ("SELECT count(*) FROM generate_series(1, 1000000000000)", "time_max"),
        ("SELECT value FROM generate_series(1, 1000000000000)", "rows_out_max"),
        (&format!("{endless} SELECT count(*) FROM r"), "time_max"),
        (&format!("{endless} SELECT n FROM r"), "rows_out_max"),
        ("SELECT count(*) FROM t a, t b, t c, t d", "time_max"),
        ("SELECT a.x FROM t a CROSS JOIN t b", "rows_out_max"),
        ("SELECT count(*) FROM t a JOIN t b ON a.x <> b.x JOIN t c ON b.x < c.x", ""),
        ("SELECT array_agg(value) FROM generate_series(1, 100000000)", "memory_bytes_max"),
        ("SELECT value, count(*) FROM generate_series(1, 100000000) GROUP BY 1", ""),
        ("SELECT value FROM generate_series(1, 100000000) ORDER BY -value LIMIT 10 OFFSET 10000000", ""),
        ("SELECT repeat('x', 2000000000)", "memory_bytes_max"),
        ("SELECT count(repeat(s, x * 100000)) FROM t", "memory_bytes_max"),
        ("SELECT lpad('x', 2000000000, 'y')", "memory_bytes_max"),
        ("SELECT rpad(s, 100000000) FROM t", "memory_bytes_max"),
        ("SELECT replace(repeat('a', 50000), 'a', repeat('b', 50000))", "memory_bytes_max"),
        ("SELECT array_repeat(1, 1000000000)", "memory_bytes_max"),
        ("SELECT unnest(generate_series(1, 100000000000))", "memory_bytes_max"),
        (
            "SELECT unnest(range(TIMESTAMP '1970-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 second'))",
            "memory_bytes_max",
        ),
    ] {
        let message = limit_of(if setting == "time_max" { &short } else { &query }, sql);
        assert!(message.contains(setting), "{sql}: {message}");
    }
    // Nothing of them goes on: the threads are free for the next one.
    let free = QueryEngine::new(Arc::clone(&engine), QueryOptions::default());
    let output = free.execute("SELECT count(*) FROM t a JOIN t b ON a.x = b.x AND a.x < 100").unwrap();
    assert_eq!((output.row_count(), output.route), (1, Route::DataFusion));
    for sql in
        ["EXPLAIN SELECT repeat('x', 2000000000)", "EXPLAIN SELECT lpad(a.s, 2000000000) FROM t a JOIN t b USING (x)"]
    {
        match query.execute(sql) {
            Ok(_) | Err(Error::LimitExceeded { .. }) => {}
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }
    for sql in [
        "SELECT regexp_like(s, '((a{1000}){1000}){1000}') FROM t",
        "SELECT regexp_replace(s, '(x+x+)+y', 'z') FROM t WHERE s ~ '((((.*)*)*)*)*$' LIMIT 1",
    ] {
        // Patterns are bounded when they are compiled, and matched in linear time.
        let _ended = query.execute(sql);
    }
}

#[cfg(feature = "datafusion")]
#[test]
fn what_exceeds_the_memory_is_spilled_where_the_options_say() {
    let dir = tempfile::tempdir().unwrap();
    let spill = tempfile::tempdir().unwrap();
    let engine = engine(&dir);
    let options = QueryOptions {
        threads: 1,
        memory_bytes_max: 8 << 20,
        spill_dir: Some(spill.path().to_owned()),
        ..QueryOptions::default()
    };
    let query = QueryEngine::new(engine, options);
    let sql = "SELECT max(v) FROM (SELECT value AS v, row_number() OVER (ORDER BY -value) AS n FROM \
               generate_series(1, 1000000)) WHERE n > 999990";
    let output = query.execute(sql).unwrap();
    assert_eq!(output.route, Route::DataFusion);
    assert_eq!(crate::ScalarParam::from_array(output.batches[0].column(0), 0).unwrap(), 10_i64.into());
    assert_eq!(std::fs::read_dir(spill.path()).unwrap().count(), 0, "the files are gone with the statement");
}

#[cfg(feature = "datafusion")]
#[test]
fn cancelled_statements_leave_no_thread_busy() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir);
    let query = QueryEngine::new(engine, QueryOptions { threads: 2, ..QueryOptions::default() });
    for sql in [
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "SELECT count(*) FROM t a, t b, t c, t d",
        "SELECT count(*) FROM t a, t b, t c, t d WHERE a.x + b.x + c.x + d.x < 0",
        "SELECT sum(a.x) FROM t a JOIN t b ON a.x % 7 = b.x % 7 JOIN t c ON c.x % 5 = b.x % 5",
        "SELECT sum(value) FROM generate_series(1, 1000000000000)",
    ] {
        let runs: Vec<_> = (0..3)
            .map(|_| {
                let (query, sql, cancellation) = (query.clone(), sql.to_owned(), Cancellation::new());
                let from_elsewhere = cancellation.clone();
                (std::thread::spawn(move || query.execute_with(&sql, &[], &cancellation)), from_elsewhere)
            })
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        for (run, cancellation) in runs {
            cancellation.cancel();
            assert!(matches!(run.join().unwrap(), Err(Error::Cancelled)), "{sql}");
        }
        assert!(query.execute("SELECT a.x FROM t a JOIN t b USING (x) LIMIT 1").is_ok());
    }
}
