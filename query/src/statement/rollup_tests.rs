//! Rollups change no answer: generated tables and queries, with rollups and without.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Float64Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lynxstore_storage::engine::{Ack, Engine, EngineOptions};
use lynxstore_storage::ingest::group_rows;

use crate::{QueryEngine, QueryOptions, QueryOutput, RollupMode, Route};

const HOUR_NS: i64 = 3_600_000_000_000;
/// Two hours before the epoch, so that hours on both sides of it are there.
const START_NS: i64 = -2 * HOUR_NS;

/// A generator of the sequence of a seed, after Knuth.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ (self.0 >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// An engine with one table and the two ways to ask it.
struct Fixture {
    _dir: tempfile::TempDir,
    engine: Arc<Engine>,
    with: QueryEngine,
    without: QueryEngine,
}

impl Fixture {
    fn new(dedup: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
        let query = |rollups| {
            QueryEngine::new(Arc::clone(&engine), QueryOptions { threads: 2, rollups, ..QueryOptions::default() })
        };
        let (with, without) = (query(RollupMode::On), query(RollupMode::Off));
        with.execute(&format!(
            "CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, region TEXT TAG, i BIGINT, f DOUBLE, u BIGINT UNSIGNED, \
             n DOUBLE, b BOOLEAN, s TEXT) WITH (dedup = '{dedup}')"
        ))
        .unwrap();
        Self { _dir: dir, engine, with, without }
    }

    /// Writes a row per time for one host.
    fn write(&self, host: u64, times: &[i64], random: &mut Random) {
        let rows = times.len();
        let nulls_per_hundred = [0, 3, 60][host as usize % 3];
        let is_there = |random: &mut Random| random.below(100) >= nulls_per_hundred;
        let i: Int64Array = (0..rows).map(|_| is_there(random).then(|| random.next().cast_signed() >> 4)).collect();
        let floats = |random: &mut Random| match random.below(3_000) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            _ => (random.next() as f64 - (1u64 << 47) as f64) / 7.0,
        };
        let f: Float64Array = (0..rows).map(|_| is_there(random).then(|| floats(random))).collect();
        let u: UInt64Array = (0..rows).map(|_| is_there(random).then(|| random.next() << 4)).collect();
        // NULL for hours, and the whole series of some hosts.
        let n: Float64Array = times
            .iter()
            .map(|time| (host > 1 && time / HOUR_NS % 3 == 1).then(|| random.next() as f64 / 3.0))
            .collect();
        let b: BooleanArray = (0..rows).map(|_| is_there(random).then(|| random.below(2) == 1)).collect();
        let s: StringArray =
            (0..rows).map(|_| is_there(random).then(|| ["a", "bb", ""][random.below(3) as usize])).collect();
        let region = [Some("eu"), Some("us"), None][host as usize % 3];
        let columns: [(&str, ArrayRef); 9] = [
            ("time", Arc::new(TimestampNanosecondArray::from(times.to_vec()))),
            ("host", Arc::new(StringArray::from(vec![format!("h{host}"); rows]))),
            ("region", Arc::new(StringArray::from(vec![region; rows]))),
            ("i", Arc::new(i)),
            ("f", Arc::new(f)),
            ("u", Arc::new(u)),
            ("n", Arc::new(n)),
            ("b", Arc::new(b)),
            ("s", Arc::new(s)),
        ];
        let nullable = columns.map(|(name, array)| (name, array, name != "time"));
        let batch = RecordBatch::try_from_iter_with_nullable(nullable).unwrap();
        let schema = self.engine.table("public", "t").unwrap();
        self.engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Volatile).unwrap();
    }

    /// Several sections, rows in memory, late rows and rows of equal time.
    fn fill(&self, random: &mut Random) {
        let mut next = [START_NS; 5];
        for part in 0..4 {
            for host in 0..5 {
                let rows = 400 + random.below(500) as usize;
                let is_regular = host < 3;
                let times: Vec<i64> = (0..rows)
                    .map(|_| {
                        let step_s = if is_regular { 20 } else { 1 + random.below(40) };
                        next[host as usize] += step_s.cast_signed() * 1_000_000_000;
                        next[host as usize]
                    })
                    .collect();
                self.write(host, &times, random);
                if random.below(3) == 0 {
                    let late: Vec<i64> =
                        (0..1 + random.below(4)).map(|_| times[random.below(rows as u64) as usize]).collect();
                    self.engine.flush().unwrap();
                    self.write(host, &late, random);
                }
            }
            // The last part stays in memory.
            if part < 3 {
                self.engine.flush().unwrap();
            }
        }
    }

    fn assert_same(&self, sql: &str) {
        let run = |query: &QueryEngine| query.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let (with, without) = (run(&self.with), run(&self.without));
        assert_eq!(with.route, Route::Vectorized, "{sql}");
        assert_eq!(rows(&with), rows(&without), "{sql}");
    }

    fn rollup_line(&self, sql: &str) -> Option<String> {
        let plan = self.with.execute(&format!("EXPLAIN {sql}")).unwrap();
        let lines =
            plan.batches[0].column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>();
        lines.into_iter().find(|line| line.starts_with("rollups: "))
    }
}

/// The rows as sorted text; sums of floats to ten digits, since the order of additions differs, all else exactly.
fn rows(output: &QueryOutput) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in &output.batches {
        for row in 0..batch.num_rows() {
            let mut line = String::new();
            for (field, column) in output.schema.fields().iter().zip(batch.columns()) {
                let is_sum = field.name().starts_with("sum") || field.name().starts_with("avg");
                match column.data_type() {
                    DataType::Float64 if column.is_valid(row) && is_sum => {
                        write!(line, "{:.9e}|", column.as_primitive::<Float64Type>().value(row)).unwrap();
                    }
                    DataType::Float64 if column.is_valid(row) => {
                        write!(line, "{:x}|", column.as_primitive::<Float64Type>().value(row).to_bits()).unwrap();
                    }
                    _ => {
                        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
                        write!(line, "{}|", formatter.value(row)).unwrap();
                    }
                }
            }
            rows.push(line);
        }
    }
    rows.sort_unstable();
    rows
}

const AGGREGATES: [&str; 24] = [
    "count(*)",
    "count(i)",
    "count(f)",
    "count(n)",
    "count(b)",
    "sum(i)",
    "sum(f)",
    "sum(u)",
    "sum(n)",
    "avg(i)",
    "avg(f)",
    "avg(u)",
    "min(i)",
    "max(i)",
    "min(f)",
    "max(f)",
    "min(u)",
    "max(n)",
    "first(i)",
    "last(f)",
    "last(u)",
    "first(n)",
    "min(time)",
    "last(time)",
];

const KEYS: [&str; 10] = [
    "host",
    "region",
    "time_bucket('1 hour', time)",
    "time_bucket('2 hours', time)",
    "time_bucket('1 day', time)",
    "time_bucket('30 minutes', time)",
    "date_bin(INTERVAL '90 minutes', time)",
    "date_bin(INTERVAL '3 hours', time, TIMESTAMP '1970-01-01 01:00:00')",
    "date_bin(INTERVAL '1 hour', time, TIMESTAMP '1970-01-01 00:20:00')",
    "date_trunc('month', time)",
];

fn query(random: &mut Random) -> String {
    let mut conditions = Vec::new();
    for operator in [">=", "<"] {
        let hours = random.below(14).cast_signed();
        let edge_ns = START_NS + hours * HOUR_NS + [0, 0, 1, -1, 1_234_567_890_123][random.below(5) as usize];
        if random.below(2) == 0 {
            conditions.push(format!("time {operator} TIMESTAMP '{}'", timestamp(edge_ns)));
        }
    }
    if random.below(4) == 0 {
        conditions
            .push(random.pick(&["host = 'h3'", "region = 'eu'", "host <> 'h0'", "i > 5", "region IS NULL"]).into());
    }
    let mut keys: Vec<&str> = Vec::new();
    for _ in 0..random.below(3) {
        let key = random.pick(&KEYS);
        let is_bucket = |key: &str| key.contains("time");
        if keys.iter().all(|known| *known != key && !(is_bucket(known) && is_bucket(key))) {
            keys.push(key);
        }
    }
    let mut aggregates: Vec<&str> = Vec::new();
    for _ in 0..=random.below(4) {
        let aggregate = random.pick(&AGGREGATES);
        if !aggregates.contains(&aggregate) {
            aggregates.push(aggregate);
        }
    }
    let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
    let columns = keys.iter().chain(&aggregates).copied().collect::<Vec<_>>().join(", ");
    format!("SELECT {columns} FROM t{filter}{group}")
}

fn timestamp(time_ns: i64) -> String {
    arrow::temporal_conversions::timestamp_ns_to_datetime(time_ns).unwrap().format("%Y-%m-%dT%H:%M:%S%.9f").to_string()
}

#[test]
fn generated_queries_over_generated_tables_have_one_answer_with_and_without_rollups() {
    for (seed, dedup) in [(1, "last"), (2, "off"), (3, "first"), (4, "last")] {
        let (fixture, mut random) = (Fixture::new(dedup), Random(seed));
        fixture.fill(&mut random);
        let uses = fixture.rollup_line("SELECT host, avg(u), max(i) FROM t GROUP BY host");
        assert!(uses.is_some(), "no section has rollups, so the test compares nothing");
        for _ in 0..300 {
            fixture.assert_same(&query(&mut random));
        }
        for aggregate in AGGREGATES {
            fixture.assert_same(&format!("SELECT {aggregate} FROM t"));
            fixture.assert_same(&format!("SELECT region, {aggregate} FROM t GROUP BY region"));
        }
    }
}

#[test]
fn the_last_values_of_a_series_are_found_from_its_end() {
    for dedup in ["last", "off"] {
        let (fixture, mut random) = (Fixture::new(dedup), Random(9));
        fixture.fill(&mut random);
        for keys in ["host", "region", "host, region"] {
            for condition in
                ["", " WHERE time < TIMESTAMP '1970-01-01 02:34:56'", " WHERE time < TIMESTAMP '1970-01-01 01:00:00'"]
            {
                let last = fixture
                    .with
                    .execute(&format!("SELECT {keys}, last(i), last(n), last(f) FROM t{condition} GROUP BY {keys}"));
                // With a count, all rows are read in their order.
                let all = fixture.without.execute(&format!(
                    "SELECT {keys}, last(i), last(n), last(f), count(*) FROM t{condition} GROUP BY {keys}"
                ));
                let (last, all) = (rows(&last.unwrap()), rows(&all.unwrap()));
                assert_eq!(last.len(), all.len());
                assert!(
                    last.iter().zip(&all).all(|(last, all)| all.starts_with(last)),
                    "{keys}{condition}: {last:?} {all:?}"
                );
            }
        }
    }
}

#[test]
fn explain_says_when_rollups_stand_in_for_rows() {
    let (fixture, mut random) = (Fixture::new("last"), Random(5));
    fixture.fill(&mut random);
    for (sql, is_used) in [
        ("SELECT sum(u) FROM t", true),
        ("SELECT time_bucket('1 hour', time), avg(u) FROM t GROUP BY 1", true),
        ("SELECT date_trunc('month', time), max(i) FROM t GROUP BY 1", true),
        ("SELECT time_bucket('10 minutes', time), avg(u) FROM t GROUP BY 1", false),
        ("SELECT avg(u) FROM t WHERE i > 5", false),
        ("SELECT stddev(i) FROM t", false),
        ("SELECT count(s) FROM t", false),
        ("SELECT max(b) FROM t", false),
    ] {
        assert_eq!(fixture.rollup_line(sql).is_some(), is_used, "{sql}");
        let output = fixture.with.execute(&format!("EXPLAIN ANALYZE {sql}")).unwrap();
        let lines = output.batches[0].column(0).as_string::<i32>();
        let has_read = lines.iter().flatten().any(|line| line.starts_with("rollups read: ") && !line.contains(": 0,"));
        assert_eq!(has_read, is_used, "{sql}");
    }
}
