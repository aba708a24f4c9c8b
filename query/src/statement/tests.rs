//! SQL against an engine in a temporary directory: rows in memory, flushed, and half of each.

use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use lynxstore_storage::engine::{Engine, EngineOptions};

use crate::{Cancellation, Error, QueryEngine, QueryOptions, QueryOutput, Route, ScalarParam};

struct Fixture {
    dir: tempfile::TempDir,
    engine: Arc<Engine>,
    query: QueryEngine,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
        let query = QueryEngine::new(Arc::clone(&engine), QueryOptions::default());
        Self { dir, engine, query }
    }

    /// Two hosts, one region NULL; host `a` regular in time, host `b` not.
    fn with_cpu() -> Self {
        let fixture = Self::new();
        fixture.run(
            "CREATE TABLE cpu (time TIMESTAMP TIME, host TEXT TAG, region TEXT TAG, usage DOUBLE, n BIGINT, \
             u BIGINT UNSIGNED, ok BOOLEAN, msg TEXT)",
        );
        fixture.run(
            "INSERT INTO cpu VALUES \
             ('2026-01-01 00:00:00', 'a', 'eu', 1.5, 1, 10, true, 'x'), \
             ('2026-01-01 00:00:30', 'a', 'eu', 2.5, 2, 20, false, 'y'), \
             ('2026-01-01 00:01:00', 'a', 'eu', NULL, 3, 30, NULL, NULL), \
             ('2026-01-01 00:01:30', 'a', 'eu', 4.5, 4, 40, true, 'z')",
        );
        fixture.run(
            "INSERT INTO cpu (time, host, usage, n, msg) VALUES \
             ('2026-01-01 00:00:10', 'b', 10.0, -5, 'w'), \
             ('2026-01-01 00:02:59.5', 'b', 'nan'::double, 7, 'x'), \
             ('1969-12-31 23:59:59', 'b', 0.25, NULL, 'old')",
        );
        fixture
    }

    fn run(&self, sql: &str) -> QueryOutput {
        self.query.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The rows of a statement of any route.
    fn text(&self, sql: &str) -> String {
        lines(&self.run(sql)).join("\n")
    }

    /// The rows of a query that the vectorized executor must take.
    fn rows(&self, sql: &str) -> Vec<String> {
        let output = self.run(sql);
        assert_eq!(output.route, Route::Vectorized, "{sql}");
        lines(&output)
    }

    fn error(&self, sql: &str) -> String {
        match self.query.execute(sql) {
            Ok(_) => panic!("{sql} should fail"),
            Err(error) => error.to_string(),
        }
    }

    /// Runs a check with the rows in memory, then flushed.
    fn both_ways(&self, check: impl Fn(&Self)) {
        check(self);
        self.engine.flush().unwrap();
        check(self);
    }
}

/// The rows of a result as text, cells joined by `|`.
pub(super) fn lines(output: &QueryOutput) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in &output.batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap());
        let columns: Vec<_> = columns.collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")),
        );
    }
    rows
}

#[test]
fn aggregates_by_bucket_and_tag_are_right() {
    let fixture = Fixture::with_cpu();
    fixture.both_ways(|fixture| {
        assert_eq!(
            fixture.rows(
                "SELECT time_bucket('1 minute', time) AS minute, host, count(*), count(usage), sum(n), avg(n), min(usage), \
                 max(usage), first(n), last(n), sum(u) FROM cpu WHERE time >= '2026-01-01' GROUP BY 1, 2 ORDER BY minute, host"
            ),
            [
                "2026-01-01T00:00:00|a|2|2|3|1.5|1.5|2.5|1|2|30",
                "2026-01-01T00:00:00|b|1|1|-5|-5.0|10.0|10.0|-5|-5|NULL",
                "2026-01-01T00:01:00|a|2|1|7|3.5|4.5|4.5|3|4|70",
                "2026-01-01T00:02:00|b|1|1|7|7.0|NaN|NaN|7|7|NULL",
            ]
        );
        assert_eq!(
            fixture.rows("SELECT date_bin(INTERVAL '1 hour', time) AS t, count(*) FROM cpu GROUP BY t ORDER BY t DESC"),
            ["2026-01-01T00:00:00|6", "1969-12-31T23:00:00|1"]
        );
        assert_eq!(fixture.rows("SELECT region, sum(n) FROM cpu GROUP BY region ORDER BY region"), ["eu|10", "NULL|2"]);
        assert_eq!(
            fixture.rows("SELECT count(*), stddev(n), stddev_pop(n), min(time), max(time) FROM cpu WHERE host = 'a'"),
            ["4|1.2909944487358056|1.118033988749895|2026-01-01T00:00:00|2026-01-01T00:01:30"]
        );
        assert_eq!(fixture.rows("SELECT count(*), sum(n), max(usage) FROM cpu WHERE host = 'none'"), ["0|NULL|NULL"]);
        assert!(fixture.rows("SELECT host, count(*) FROM cpu WHERE host = 'none' GROUP BY host").is_empty());
    });
}

#[test]
fn the_general_way_agrees_with_the_fast_one() {
    let fixture = Fixture::with_cpu();
    fixture.both_ways(|fixture| {
        // A condition over two columns takes the general way.
        for aggregates in ["count(*), count(usage), sum(n), min(n), max(n), first(n), last(n), sum(u), min(u)", "stddev(n), avg(u)"] {
            let fast = format!("SELECT host, {aggregates} FROM cpu GROUP BY host ORDER BY host");
            let general =
                format!("SELECT host, {aggregates} FROM cpu WHERE n = n OR usage IS NULL OR n IS NULL GROUP BY host ORDER BY host");
            assert_eq!(fixture.rows(&fast), fixture.rows(&general));
        }
        assert_eq!(
            fixture.rows("SELECT msg, count(*) AS c, min(msg), max(ok) FROM cpu GROUP BY msg HAVING count(*) > 1 ORDER BY c, msg"),
            ["x|2|x|true"]
        );
        assert_eq!(
            fixture.rows("SELECT n % 2 AS odd, sum(n * 2) FROM cpu WHERE host = 'a' GROUP BY n % 2 ORDER BY 1"),
            ["0|12", "1|8"]
        );
        assert_eq!(fixture.rows("SELECT first(msg), last(msg), first(host) FROM cpu"), ["old|x|b"]);
    });
}

#[test]
fn projections_filter_sort_and_limit() {
    let fixture = Fixture::with_cpu();
    fixture.both_ways(|fixture| {
        assert_eq!(fixture.rows("SELECT host, n FROM cpu WHERE n > 2.5 ORDER BY n"), ["a|3", "a|4", "b|7"]);
        assert_eq!(fixture.rows("SELECT n FROM cpu WHERE u >= 30 ORDER BY time DESC LIMIT 1"), ["4"]);
        assert_eq!(fixture.rows("SELECT n FROM cpu ORDER BY n NULLS FIRST LIMIT 2 OFFSET 1"), ["-5", "1"]);
        assert_eq!(fixture.rows("SELECT n FROM cpu WHERE usage > 4 AND usage < 10.5 ORDER BY n DESC"), ["4", "-5"]);
        assert_eq!(fixture.rows("SELECT usage FROM cpu WHERE usage > 9 ORDER BY usage"), ["10.0", "NaN"]);
        assert_eq!(fixture.rows("SELECT DISTINCT host FROM cpu ORDER BY host DESC"), ["b", "a"]);
        assert_eq!(fixture.rows("SELECT DISTINCT ok FROM cpu ORDER BY ok"), ["false", "true", "NULL"]);
        assert_eq!(
            fixture.rows("SELECT upper(host) || '-' || msg AS label FROM cpu WHERE msg LIKE '_' AND NOT ok"),
            ["A-y"]
        );
        assert_eq!(
            fixture.rows("SELECT CASE WHEN n > 0 THEN 10 / n ELSE 0 END FROM cpu WHERE host = 'a' ORDER BY n DESC"),
            ["2", "3", "5", "10"]
        );
        assert_eq!(fixture.rows("SELECT coalesce(usage, -1), round(usage, 1) FROM cpu WHERE n = 3"), ["-1.0|NULL"]);
        assert_eq!(fixture.rows("SELECT count(*) FROM cpu WHERE msg IN ('x', 'z') AND host IN ('a', 'b')"), ["3"]);
        assert_eq!(fixture.rows("SELECT n FROM cpu WHERE time = TIMESTAMP '2026-01-01 00:00:30'"), ["2"]);
        assert_eq!(fixture.run("SELECT * FROM cpu").row_count(), 7);
        assert_eq!(fixture.run("SELECT * FROM cpu LIMIT 3").row_count(), 3);
        assert_eq!(fixture.run("SELECT n FROM cpu LIMIT 0").row_count(), 0);
    });
    assert_eq!(fixture.rows("SELECT 1 + 1 AS two, 'a' || 'b', 7 / 2, INTERVAL '1 hour' IS NULL"), ["2|ab|3|false"]);
    assert_eq!(fixture.rows("SELECT now() > '2020-01-01'"), ["true"]);
}

#[test]
fn ordered_and_limited_results_are_right_when_rows_are_cut_on_the_way() {
    let fixture = Fixture::new();
    fixture.run("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, n BIGINT)");
    // Far more rows than a batch, so that the range of times narrows while the scan runs.
    let mut all = Vec::new();
    for host in 0..9i64 {
        let rows: Vec<(i64, i64)> =
            (0..9_000i64).map(|row| (((row + host * 4_001) % 9_000) * 1_000 + host, row * 7_919 % 10_007)).collect();
        for part in rows.chunks(3_000) {
            let values: Vec<String> = part.iter().map(|(time, n)| format!("({time}, 'h{host}', {n})")).collect();
            fixture.run(&format!("INSERT INTO t VALUES {}", values.join(",")));
        }
        all.extend(rows);
        if host == 4 {
            fixture.engine.flush().unwrap();
        }
    }
    all.sort_unstable();
    let expected = |rows: &mut dyn Iterator<Item = &(i64, i64)>| rows.map(|(_, n)| n.to_string()).collect::<Vec<_>>();
    assert_eq!(fixture.rows("SELECT n FROM t ORDER BY time LIMIT 20"), expected(&mut all.iter().take(20)));
    assert_eq!(fixture.rows("SELECT n FROM t ORDER BY time DESC LIMIT 20"), expected(&mut all.iter().rev().take(20)));
    assert_eq!(
        fixture.rows("SELECT n FROM t ORDER BY time DESC LIMIT 5 OFFSET 700"),
        expected(&mut all.iter().rev().skip(700).take(5))
    );
    all.sort_unstable_by_key(|(time, n)| (*n, *time));
    assert_eq!(fixture.rows("SELECT n FROM t ORDER BY n, time LIMIT 30"), expected(&mut all.iter().take(30)));
}

#[test]
fn long_chains_of_operators_run_without_overflowing_the_stack() {
    let fixture = Fixture::with_cpu();
    let sum = format!("SELECT n{} FROM cpu WHERE n = 4", " + 1".repeat(998));
    assert_eq!(fixture.rows(&sum), ["1002"]);
    let either = format!("SELECT n FROM cpu WHERE n = 4{}", " OR n = 100".repeat(499));
    assert_eq!(fixture.rows(&either), ["4"]);
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let fixture = Fixture::with_cpu();
    for (sql, part) in [
        ("SELECT nope FROM cpu", "has no column 'nope': it has time, host"),
        ("SELECT host, n FROM cpu GROUP BY host", "add it to GROUP BY"),
        ("SELECT * FROM missing", "does not exist"),
        ("SELECT n FROM cpu WHERE n", "must be BOOLEAN"),
        ("SELECT sum(sum(n)) FROM cpu", "cannot stand in"),
        ("SELECT n FROM cpu LIMIT -1", "no number of rows"),
        ("SELECT n / 0 FROM cpu", "division by zero"),
        ("SELECT n FROM cpu WHERE time > 'soon'", "write it like"),
        ("SELECT n FROM cpu ORDER BY 2", "has 1 columns"),
        ("SELECT $1", "parameter $1 has no value"),
        ("INSERT INTO cpu (time, n) VALUES ('2026-01-01', 'x')", "row 1"),
        ("INSERT INTO cpu (time, n) VALUES ('2026-01-01')", "1 values for 2 columns"),
        ("CREATE TABLE cpu (time TIMESTAMP TIME)", "exists already"),
        ("DROP TABLE nope", "does not exist"),
    ] {
        let message = fixture.error(sql);
        assert!(message.contains(part), "{sql}: {message}");
    }
}

#[test]
fn prepared_statements_see_new_rows_and_take_parameters() {
    let fixture = Fixture::with_cpu();
    let count = fixture.query.prepare("SELECT count(*) AS c FROM cpu").unwrap();
    let by_host = fixture.query.prepare("SELECT sum(n) FROM cpu WHERE host = $1 AND time < $2").unwrap();
    let sum = |host: &str| lines(&by_host.execute(&[host.into(), ScalarParam::Time(i64::MAX)]).unwrap()).remove(0);
    assert_eq!(lines(&count.execute(&[]).unwrap()), ["7"]);
    assert_eq!((sum("a").as_str(), sum("b").as_str()), ("10", "2"));
    fixture.run("INSERT INTO cpu (time, host, n) VALUES ('2026-01-02', 'a', 90)");
    assert_eq!(lines(&count.execute(&[]).unwrap()), ["8"]);
    assert_eq!(sum("a"), "100");
    fixture.run("DROP TABLE cpu");
    assert!(matches!(count.execute(&[]), Err(Error::Storage(_))));
}

#[test]
fn statements_about_tables_work() {
    let fixture = Fixture::with_cpu();
    fixture.run("CREATE TABLE IF NOT EXISTS cpu (time TIMESTAMP TIME)");
    assert_eq!(fixture.text("SHOW TABLES"), "cpu|time|host, region|usage, n, u, ok, msg");
    assert!(fixture.text("DESC cpu").contains("u|BIGINT UNSIGNED|field"));
    let plan = fixture.text("EXPLAIN SELECT host, max(n) FROM cpu WHERE host = 'a' AND n > 1 GROUP BY host");
    for part in ["route: vectorized", "series: 1 of 2", "n > 1", "on encoded vectors"] {
        assert!(plan.contains(part), "{part} in {plan}");
    }
    fixture.run("CREATE TABLE copy (time TIMESTAMP TIME, host TEXT TAG, n BIGINT)");
    let inserted = fixture.run("INSERT INTO copy SELECT time, host, n FROM cpu");
    assert_eq!(inserted.rows_affected, Some(7));
    assert_eq!(fixture.rows("SELECT sum(n), count(*) FROM copy"), ["12|7"]);
    fixture.run("DROP TABLE copy, cpu");
    fixture.run("DROP TABLE IF EXISTS cpu");
}

#[test]
fn limits_and_cancellation_stop_a_statement() {
    let fixture = Fixture::with_cpu();
    let options = QueryOptions { rows_out_max: 3, groups_max: 1, ..QueryOptions::default() };
    let limited = QueryEngine::new(Arc::clone(&fixture.engine), options);
    for sql in
        ["SELECT n FROM cpu", "SELECT host, count(*) FROM cpu GROUP BY host", "SELECT n, count(*) FROM cpu GROUP BY n"]
    {
        assert!(matches!(limited.execute(sql), Err(Error::LimitExceeded { .. })), "{sql}");
    }
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let result = fixture.query.execute_with("SELECT count(*) FROM cpu", &[], &cancellation);
    assert!(matches!(result, Err(Error::Cancelled)));
}

#[test]
fn a_read_only_engine_answers_questions_and_refuses_changes() {
    let fixture = Fixture::with_cpu();
    let reader = Arc::new(Engine::open_read_only(fixture.dir.path(), EngineOptions::default()).unwrap());
    let query = QueryEngine::new(Arc::clone(&reader), QueryOptions::default());
    let answers = |sql: &str| lines(&query.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))).join("\n");
    let questions = [
        "SELECT host, count(*), sum(n) FROM cpu GROUP BY host ORDER BY host",
        "SELECT time, msg FROM cpu WHERE host = 'b' ORDER BY time",
        "SHOW TABLES",
        "DESCRIBE cpu",
        "EXPLAIN SELECT max(n) FROM cpu",
    ];
    for sql in questions {
        assert_eq!(answers(sql), fixture.text(sql), "{sql}");
    }
    for sql in [
        "INSERT INTO cpu (time, host, n) VALUES ('2026-01-02', 'c', 1)",
        "INSERT INTO cpu (time, host, n) SELECT time, host, n FROM cpu",
        "CREATE TABLE other (time TIMESTAMP TIME)",
        "CREATE TABLE IF NOT EXISTS cpu (time TIMESTAMP TIME)",
        "DROP TABLE cpu",
        "DELETE FROM cpu WHERE host = 'a'",
        "TRUNCATE TABLE cpu",
        "ALTER TABLE cpu ADD COLUMN more DOUBLE",
        "OPTIMIZE",
        "CHECKPOINT",
    ] {
        let refused = query.execute(sql);
        let is_read_only = matches!(refused, Err(Error::Storage(lynxstore_storage::Error::ReadOnly { .. })));
        assert!(is_read_only, "{sql}: {refused:?}");
    }
    fixture.run("INSERT INTO cpu (time, host, n) VALUES ('2026-01-02', 'c', 1)");
    assert_eq!(answers("SELECT count(*) FROM cpu"), "7");
    reader.refresh().unwrap();
    assert_eq!(answers("SELECT count(*) FROM cpu"), "8");
}

#[test]
fn the_newest_and_oldest_buckets_of_a_limit_are_those_of_all_groups() {
    let fixture = Fixture::new();
    fixture.run("CREATE TABLE cpu (time TIMESTAMP TIME, host TEXT TAG, n BIGINT)");
    // Two hosts in every minute of ten hours, then three minutes a day later: fewer than the limits below ask for.
    for (host, start) in [("a", 0), ("b", 7)] {
        let rows = (0..600)
            .chain([2_000, 2_001, 2_002])
            .map(|minute| format!("({}, '{host}', {})", (minute * 60 + start) * 1_000_000_000i64, minute % 50 + start));
        fixture.run(&format!("INSERT INTO cpu (time, host, n) VALUES {}", rows.collect::<Vec<_>>().join(", ")));
    }
    let groupings = [
        ("time_bucket('1 minute', time) AS m, max(n), count(*)", "GROUP BY m"),
        ("time_bucket('1 minute', time) AS m, host, sum(n)", "GROUP BY m, host"),
        ("time_bucket('1 minute', time) AS m, sum(n)", "GROUP BY m HAVING sum(n) % 7 = 0"),
        ("time_bucket('1 minute', time) AS m, n % 3 AS k, sum(n + 1)", "GROUP BY m, k"),
    ];
    for flush in [false, true] {
        if flush {
            fixture.engine.flush().unwrap();
        }
        for (items, grouping) in groupings {
            for direction in ["ASC", "DESC"] {
                let ordered = format!("SELECT {items} FROM cpu {grouping} ORDER BY m {direction}, 2");
                let all = fixture.rows(&ordered);
                for (limit, offset) in [(0, 0), (1, 0), (5, 2), (40, 7), (5_000, 0)] {
                    let sql = format!("{ordered} LIMIT {limit} OFFSET {offset}");
                    let expected: Vec<String> = all.iter().skip(offset).take(limit).cloned().collect();
                    assert_eq!(fixture.rows(&sql), expected, "{sql}");
                }
            }
        }
    }
}

#[test]
fn sums_of_buckets_that_cut_vectors_are_those_of_the_rows() {
    let fixture = Fixture::new();
    fixture.run("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, walk BIGINT, noise BIGINT, u BIGINT UNSIGNED)");
    for (host, jitter) in [("regular", 0), ("irregular", 3)] {
        let mut walk = 1_000i64;
        let rows = (0..3_000i64).map(|row| {
            let hash = row.wrapping_mul(0x9E37_79B9).rotate_left(7) & 0xFFFF;
            walk += hash % 7 - 3;
            let seconds = row * 10 + if row % 5 == 0 { jitter } else { 0 };
            format!("({}, '{host}', {walk}, {}, {})", seconds * 1_000_000_000, hash - 30_000, u64::MAX - hash as u64)
        });
        fixture.run(&format!("INSERT INTO t VALUES {}", rows.collect::<Vec<_>>().join(", ")));
    }
    fixture.engine.flush().unwrap();
    for (width, from, to) in [
        ("1 hour", "00:20:34", "07:59:37"),
        ("17 minutes", "00:00:00", "08:20:00"),
        ("400 seconds", "01:06:41", "02:46:39"),
    ] {
        let sql = |addend: &str| {
            format!(
                "SELECT time_bucket('{width}', time) AS b, host, sum(walk{addend}), avg(noise{addend}), sum(u) FROM t \
                 WHERE time >= '1970-01-01 {from}' AND time < '1970-01-01 {to}' GROUP BY b, host ORDER BY b, host"
            )
        };
        // An expression takes all aggregates of the query through a hash table, row by row.
        assert_eq!(fixture.rows(&sql("")), fixture.rows(&sql(" + 0")), "{width}");
    }
}

#[test]
fn the_last_value_among_duplicates_is_the_greatest_of_the_last_time_in_whichever_vector_it_lies() {
    let fixture = Fixture::new();
    fixture.run("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, n BIGINT, m BIGINT) WITH (dedup = 'off')");
    // The last time has 2,500 rows, over three vectors; the greatest value came first. `m` ends a thousand rows earlier.
    let row = |row: i64| {
        let m = if row < 2_500 { (7 * row).to_string() } else { "NULL".to_owned() };
        format!("({}, 'a', {}, {m})", row.min(1_000) * 1_000_000_000, if row < 1_000 { 9_999 } else { 5_000 - row })
    };
    fixture.run(&format!("INSERT INTO t VALUES {}", (0..3_500).map(row).collect::<Vec<_>>().join(", ")));
    let sql = "SELECT host, last(n), last(m) FROM t GROUP BY host";
    assert_eq!(fixture.rows(sql), ["a|4000|17493"]);
    fixture.engine.flush().unwrap();
    assert_eq!(fixture.rows(sql), ["a|4000|17493"]);
}
