//! Queries that read series from an end, cut time by zones or join by time: against the same rows asked in another way.

#![cfg(feature = "datafusion")]

use std::fmt::Write as _;
use std::sync::Arc;

use lynxstore_storage::engine::{Engine, EngineOptions};

use super::tests::lines;
use crate::{QueryEngine, QueryOptions, QueryOutput, RollupMode, Route};

/// A generator of the sequence of a seed, after Knuth.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

struct Fixture {
    _dir: tempfile::TempDir,
    engine: Arc<Engine>,
    query: QueryEngine,
}

impl Fixture {
    fn new(options: QueryOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
        let query = QueryEngine::new(Arc::clone(&engine), options);
        query
            .execute("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, region TEXT TAG, i BIGINT, f DOUBLE, s TEXT)")
            .unwrap();
        Self { _dir: dir, engine, query }
    }

    /// Rows at times that no two have in common, in three runs that overlap; the last of them is in memory.
    fn with_rows(rows: u64, random: &mut Random) -> Self {
        let fixture = Self::new(QueryOptions { threads: 2, ..QueryOptions::default() });
        for run in 0..3 {
            let mut sql = String::from("INSERT INTO t VALUES ");
            for row in (0..rows).filter(|row| (row / 50 + row % 2) % 3 == run) {
                let host = random.pick(&["'h0'", "'h1'", "'h2'", "'h3'", "NULL"]);
                let region = random.pick(&["'eu'", "'us'", "NULL"]);
                let (i, f) = (random.below(100), random.below(1_000) as f64 / 8.0);
                let f = if random.below(4) == 0 { "NULL".to_owned() } else { f.to_string() };
                write!(
                    sql,
                    "(TIMESTAMP '2026-01-01' + INTERVAL '{row} seconds', {host}, {region}, {i}, {f}, 's{row}'),"
                )
                .unwrap();
            }
            fixture.query.execute(sql.trim_end_matches(',')).unwrap();
            if run < 2 {
                fixture.engine.flush().unwrap();
            }
        }
        fixture
    }

    fn run(&self, sql: &str) -> QueryOutput {
        self.query.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn vectorized(&self, sql: &str) -> Vec<String> {
        let output = self.run(sql);
        assert_eq!(output.route, Route::Vectorized, "{sql}");
        lines(&output)
    }

    fn by_datafusion(&self, sql: &str) -> Vec<String> {
        let output = self.run(sql);
        assert_eq!(output.route, Route::DataFusion, "{sql}");
        lines(&output)
    }
}

const CONDITIONS: [&str; 9] = [
    "true",
    "i < 20",
    "f IS NOT NULL",
    "f > 100",
    "host = 'h1'",
    "region IS NULL",
    "time < '2026-01-01 00:07:00'",
    "i % 7 = 3",
    "i > 98 AND f < 5",
];

#[test]
fn the_last_row_of_series_is_that_of_a_window() {
    let random = &mut Random(1);
    let fixture = Fixture::with_rows(1_200, random);
    for condition in CONDITIONS {
        for tags in ["host", "region", "host, region", "region, host"] {
            let latest = format!("SELECT * FROM t WHERE {condition} LATEST ON time PARTITION BY {tags} ORDER BY time");
            let window = format!(
                "SELECT time, host, region, i, f, s FROM (SELECT *, row_number() OVER (PARTITION BY {tags} ORDER BY time \
                 DESC) AS n FROM t WHERE {condition}) WHERE n = 1 ORDER BY time"
            );
            let expected = fixture.by_datafusion(&window);
            assert_eq!(fixture.vectorized(&latest), expected, "{latest}");
            let distinct = format!("SELECT DISTINCT ON ({tags}) * FROM t WHERE {condition} ORDER BY {tags}, time DESC");
            let mut found = fixture.vectorized(&distinct);
            found.sort();
            assert_eq!(found, expected, "{distinct}");
        }
    }
}

#[test]
fn limited_orders_by_time_are_the_beginning_of_unlimited_ones() {
    let random = &mut Random(2);
    let fixture = Fixture::with_rows(1_500, random);
    for condition in CONDITIONS {
        for direction in ["DESC", "ASC"] {
            let all = format!("SELECT time, host, i, s FROM t WHERE {condition} ORDER BY time {direction}, s");
            let all_rows = fixture.vectorized(&all);
            for _ in 0..4 {
                let (limit, offset) = (1 + random.below(90) as usize, random.below(70) as usize);
                let sql = format!("{all} LIMIT {limit} OFFSET {offset}");
                let expected: Vec<_> = all_rows.iter().skip(offset).take(limit).cloned().collect();
                assert_eq!(fixture.vectorized(&sql), expected, "{sql}");
            }
        }
    }
}

#[test]
fn limited_orders_by_bucket_are_the_beginning_of_unlimited_ones() {
    let random = &mut Random(3);
    let fixture = Fixture::with_rows(1_500, random);
    let buckets = ["time_bucket('10 seconds', time)", "time_bucket('1 minute', time, 'Asia/Kathmandu')"];
    for condition in CONDITIONS {
        for (direction, bucket) in [("DESC", buckets[0]), ("ASC", buckets[0]), ("DESC", buckets[1])] {
            for (keys, having) in [("1", "true"), ("1, host", "count(*) > 2"), ("1, upper(region)", "max(i) < 40")] {
                let all = format!(
                    "SELECT {bucket}, count(*), max(i), last(s) FROM t WHERE {condition} GROUP BY {keys} HAVING {having} \
                     ORDER BY 1 {direction}, 2, 3, 4"
                );
                let all_rows = fixture.vectorized(&all);
                for _ in 0..2 {
                    let (limit, offset) = (1 + random.below(12) as usize, random.below(9) as usize);
                    let sql = format!("{all} LIMIT {limit} OFFSET {offset}");
                    let expected: Vec<_> = all_rows.iter().skip(offset).take(limit).cloned().collect();
                    assert_eq!(fixture.vectorized(&sql), expected, "{sql}");
                }
            }
        }
    }
}

#[test]
fn buckets_of_a_zone_are_the_same_with_rollups_without_them_and_by_datafusion() {
    let fixture = Fixture::new(QueryOptions::default());
    // Five weeks around each change of the clocks of Berlin, a row every 20 minutes.
    for start_s in [1_710_028_800u64, 1_728_345_600] {
        let insert = format!(
            "INSERT INTO t SELECT ({start_s} + n * 1200) * 1000000000, 'h' || (n % 2), 'eu', n, n / 8.0, 's' \
             FROM (SELECT unnest(generate_series(0, 2519)) AS n)"
        );
        fixture.run(&insert);
        fixture.engine.flush().unwrap();
    }
    let rows = QueryEngine::new(
        Arc::clone(&fixture.engine),
        QueryOptions { rollups: RollupMode::Off, ..QueryOptions::default() },
    );
    for zone in ["Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York", "UTC", "Pacific/Apia"] {
        for width in ["1 hour", "4 hours", "1 day", "7 days", "1 month", "90 minutes"] {
            let bucket = format!("time_bucket('{width}', time, '{zone}')");
            let grouped = |from: &str| {
                format!(
                    "SELECT b, count(*), sum(i), min(i), max(f), first(i, time), last(i, time) FROM (SELECT *, {bucket} AS b FROM {from}) GROUP BY b ORDER BY b"
                )
            };
            let sql = format!(
                "SELECT {bucket} AS b, count(*), sum(i), min(i), max(f), first(i), last(i) FROM t GROUP BY b ORDER BY b"
            );
            let found = fixture.vectorized(&sql);
            assert_eq!(found, lines(&rows.execute(&sql).unwrap()), "{sql}");
            assert_eq!(found, fixture.by_datafusion(&grouped("t")), "{sql}");
        }
    }
}

/// A row of one side of a join: time in seconds, key, number.
type SideRow = (i64, Option<u64>, u64);

#[test]
fn asof_joins_find_what_a_search_over_all_rows_finds() {
    let random = &mut Random(4);
    let fixture = Fixture::new(QueryOptions { threads: 2, ..QueryOptions::default() });
    let mut sides: [Vec<SideRow>; 2] = [Vec::new(), Vec::new()];
    for (name, side) in ["l", "r"].iter().zip(&mut sides) {
        fixture.run(&format!("CREATE TABLE {name} (time TIMESTAMP TIME, k TEXT TAG, n BIGINT)"));
        let mut sql = format!("INSERT INTO {name} VALUES ");
        let mut time = 0;
        for n in 0..400 {
            // No two rows of a side at one time, so that there is one answer.
            time += 1 + random.below(5) as i64;
            let key = Some(random.below(4)).filter(|key| *key > 0);
            let text = key.map_or("NULL".to_owned(), |key| format!("'k{key}'"));
            write!(sql, "(TIMESTAMP '1970-01-01' + INTERVAL '{time} seconds', {text}, {n}),").unwrap();
            side.push((time, key, n));
        }
        fixture.run(sql.trim_end_matches(','));
    }
    let [left, right] = sides;
    let nearest = |row: &SideRow, op: &str, tolerance: i64, has_keys: bool| -> Option<u64> {
        let matches = |other: &&SideRow| {
            let apart = row.0 - other.0;
            let side = match op {
                ">=" => apart >= 0,
                ">" => apart > 0,
                "<=" => apart <= 0,
                _ => apart < 0,
            };
            side && apart.abs() <= tolerance && (!has_keys || (row.1.is_some() && row.1 == other.1))
        };
        right.iter().filter(matches).min_by_key(|other| (row.0 - other.0).abs()).map(|other| other.2)
    };
    for op in [">=", ">", "<=", "<"] {
        for (tolerance, clause) in [(i64::MAX, ""), (7, "TOLERANCE '7s'"), (0, "TOLERANCE '0s'")] {
            for has_keys in [true, false] {
                let keys = if has_keys { "l.k = r.k AND" } else { "" };
                let expected: Vec<(u64, Option<u64>)> =
                    left.iter().map(|row| (row.2, nearest(row, op, tolerance, has_keys))).collect();
                let text = |rows: &mut dyn Iterator<Item = &(u64, Option<u64>)>| -> Vec<String> {
                    rows.map(|(n, m)| format!("{n}|{}", m.map_or("NULL".into(), |m| m.to_string()))).collect()
                };
                let condition = format!("ON {keys} l.time {op} r.time {clause}");
                let outer = format!("SELECT l.n, r.n FROM l ASOF LEFT JOIN r {condition} ORDER BY 1");
                assert_eq!(fixture.by_datafusion(&outer), text(&mut expected.iter()), "{outer}");
                let inner = format!("SELECT l.n, r.n FROM l ASOF JOIN r {condition} ORDER BY 1");
                let found = expected.iter().filter(|(_, found)| found.is_some());
                assert_eq!(fixture.by_datafusion(&inner), text(&mut { found }), "{inner}");
                // Conditions on the left side go below the join.
                let some = format!(
                    "SELECT l.n, r.n FROM l ASOF LEFT JOIN r {condition} WHERE l.time >= '1970-01-01 00:05:00' AND l.time < '1970-01-01 00:10:00' AND (l.k = 'k1' OR l.k IS NULL) ORDER BY 1"
                );
                let is_in = |row: &&(u64, Option<u64>)| {
                    let (time, key, _) = left[row.0 as usize];
                    (300..600).contains(&time) && matches!(key, Some(1) | None)
                };
                assert_eq!(fixture.by_datafusion(&some), text(&mut expected.iter().filter(is_in)), "{some}");
            }
        }
    }
}

#[test]
fn queries_that_fill_gaps_are_explained_inside_others_and_not_run() {
    let fixture = Fixture::with_rows(100, &mut Random(5));
    // Run, this would be an error: there are more buckets than groups may be.
    let inner = "SELECT time_bucket_gapfill('1ns', time) AS t, avg(f) AS x FROM t \
                 WHERE time >= '2026-01-01' AND time < '2027-01-01' GROUP BY t";
    let around = format!("SELECT max(x) FROM ({inner}) AS filled JOIN t ON filled.t = t.time");
    let lines = lines(&fixture.run(&format!("EXPLAIN {around}")));
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(has("route: DataFusion") && has("HashJoinExec"), "{lines:#?}");
    assert!(has("rows of query 1:") && has("route: vectorized") && has("series and time bucket"), "{lines:#?}");
    assert_eq!(fixture.query.prepare(&around).unwrap().describe().unwrap().columns.fields().len(), 1);
    let wide =
        around.replace("1ns", "1 hour").replace("2027", "2026").replace("2026-01-01' GROUP", "2026-01-02' GROUP");
    let lines = super::tests::lines(&fixture.run(&format!("EXPLAIN ANALYZE {wide}")));
    assert!(lines.iter().any(|line| line.contains("rows of query 1:")), "{lines:#?}");
    assert!(lines.iter().any(|line| line == "rows out: 1"), "{lines:#?}");
}
