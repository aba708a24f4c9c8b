//! What is read from the ends of series and from parts of vectors, against the rows themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampNanosecondType};
use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::{Ack, Engine, EngineOptions};
use lynxstore_storage::ingest::group_rows;

use crate::{QueryEngine, QueryOptions, QueryOutput, RollupMode, Route};

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_S: i64 = 3_600;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound).cast_signed()
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    host: Option<String>,
    time_ns: i64,
    w: i64,
    n: Option<i64>,
    f: Option<f64>,
    s: Option<String>,
}

struct Fixture {
    _dir: tempfile::TempDir,
    engine: Arc<Engine>,
    with: QueryEngine,
    without: QueryEngine,
}

/// Where the last of three parts of the rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastPart {
    Memory,
    Segment,
}

impl Fixture {
    /// Three parts, one after the other: regular and irregular series, one of few rows, a NULL tag, a series whose parts
    /// overlap, one that ends early and one with several rows of one time.
    fn new(dedup: &str, last_part: LastPart) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
        let query = |rollups| {
            QueryEngine::new(Arc::clone(&engine), QueryOptions { threads: 2, rollups, ..QueryOptions::default() })
        };
        let (with, without) = (query(RollupMode::On), query(RollupMode::Off));
        with.execute(&format!(
            "CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, w BIGINT, n BIGINT, f DOUBLE, s TEXT) WITH (dedup = '{dedup}')"
        ))
        .unwrap();
        let fixture = Self { _dir: dir, engine, with, without };
        let random = &mut Random(11);
        for part in 0..3 {
            let start_s = part * 4 * HOUR_S + 1_234;
            let regular = |count: i64| -> Vec<i64> { (0..count).map(|row| start_s + row * 10).collect() };
            let irregular: Vec<i64> = (0..1_100).map(|row| start_s + row * 12 + random.below(7)).collect();
            let repeated: Vec<i64> = (0..700).map(|row| start_s + row / 2 * 20).collect();
            let overlapping: Vec<i64> = (0..900).map(|row| start_s - part * 3 * HOUR_S + row * 15).collect();
            fixture.write(Some("h0"), &regular(1_430), random);
            fixture.write(Some("h1"), &irregular, random);
            fixture.write(Some("h2"), &regular(1), random);
            fixture.write(None, &regular(60), random);
            fixture.write(Some("h3"), &overlapping, random);
            if part < 2 {
                fixture.write(Some("h4"), &regular(1_300), random);
            }
            fixture.write(Some("h5"), &repeated, random);
            if part < 2 || last_part == LastPart::Segment {
                fixture.engine.flush().unwrap();
            }
        }
        fixture
    }

    fn write(&self, host: Option<&str>, times_s: &[i64], random: &mut Random) {
        let rows = times_s.len();
        let mut value = 50;
        let walk: Vec<i64> = (0..rows)
            .map(|_| {
                value += random.below(7) - 3 + if random.below(400) == 0 { random.below(2_000) - 1_000 } else { 0 };
                value
            })
            .collect();
        let n: Int64Array = walk.iter().map(|value| (random.below(10) > 2).then_some(value - 20)).collect();
        let f: Float64Array = walk.iter().map(|value| (random.below(10) > 0).then_some(*value as f64 / 4.0)).collect();
        let s: StringArray = walk.iter().map(|value| (value % 3 > 0).then(|| format!("s{}", value % 50))).collect();
        let columns: [(&str, ArrayRef, bool); 6] = [
            (
                "time",
                Arc::new(times_s.iter().map(|time| Some(time * SECOND_NS)).collect::<TimestampNanosecondArray>()),
                false,
            ),
            ("host", Arc::new(std::iter::repeat_n(host, rows).collect::<StringArray>()), true),
            ("w", Arc::new(Int64Array::from(walk)), true),
            ("n", Arc::new(n), true),
            ("f", Arc::new(f), true),
            ("s", Arc::new(s), true),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let schema = self.engine.table("public", "t").unwrap();
        self.engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Volatile).unwrap();
    }

    fn run(&self, query: &QueryEngine, sql: &str) -> QueryOutput {
        let output = query.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(output.route, Route::Vectorized, "{sql}");
        output
    }

    fn rows(&self) -> Vec<Row> {
        rows_of(&self.run(&self.without, "SELECT time, host, w, n, f, s FROM t"))
    }

    fn both(&self, sql: &str) -> [QueryOutput; 2] {
        [self.run(&self.with, sql), self.run(&self.without, sql)]
    }
}

fn texts(array: &ArrayRef) -> Vec<Option<String>> {
    let array = cast(array, &DataType::Utf8).unwrap();
    array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn integers(array: &ArrayRef) -> Vec<Option<i64>> {
    match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().iter().collect(),
        _ => array.as_primitive::<TimestampNanosecondType>().iter().collect(),
    }
}

fn floats(array: &ArrayRef) -> Vec<Option<f64>> {
    array.as_primitive::<Float64Type>().iter().collect()
}

fn rows_of(output: &QueryOutput) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in &output.batches {
        let (times, hosts) = (integers(batch.column(0)), texts(batch.column(1)));
        let (w, n, f, s) =
            (integers(batch.column(2)), integers(batch.column(3)), floats(batch.column(4)), texts(batch.column(5)));
        rows.extend((0..batch.num_rows()).map(|row| Row {
            host: hosts[row].clone(),
            time_ns: times[row].unwrap(),
            w: w[row].unwrap(),
            n: n[row],
            f: f[row],
            s: s[row].clone(),
        }));
    }
    rows
}

fn fixtures() -> Vec<(String, Fixture)> {
    let mut fixtures = Vec::new();
    for dedup in ["last", "first", "off"] {
        for last_part in [LastPart::Memory, LastPart::Segment] {
            fixtures.push((format!("{dedup}, last part in {last_part:?}"), Fixture::new(dedup, last_part)));
        }
    }
    let deleted = Fixture::new("last", LastPart::Segment);
    for condition in ["host = 'h0' AND time >= '1970-01-01 11:00:00'", "host = 'h1' AND time < '1970-01-01 03:00:00'"] {
        deleted.with.execute(&format!("DELETE FROM t WHERE {condition}")).unwrap();
    }
    fixtures.push(("with deletes".into(), deleted));
    fixtures
}

/// Conditions and what they mean.
type Condition = (&'static str, fn(&Row) -> bool);

const CONDITIONS: [Condition; 6] = [
    ("true", |_| true),
    ("time < '1970-01-01 09:17:31'", |row| row.time_ns < (9 * HOUR_S + 17 * 60 + 31) * SECOND_NS),
    ("time < '1970-01-01 00:30:00'", |row| row.time_ns < HOUR_S / 2 * SECOND_NS),
    ("time >= '1970-01-01 05:00:05'", |row| row.time_ns >= (5 * HOUR_S + 5) * SECOND_NS),
    ("host = 'h0'", |row| row.host.as_deref() == Some("h0")),
    ("host IS NULL", |row| row.host.is_none()),
];

#[test]
fn the_latest_row_of_a_series_is_one_of_its_greatest_time() {
    for (name, fixture) in fixtures() {
        let all = fixture.rows();
        for (condition, accepts) in CONDITIONS {
            let mut last_ns: BTreeMap<Option<String>, i64> = BTreeMap::new();
            for row in all.iter().filter(|row| accepts(row)) {
                let last = last_ns.entry(row.host.clone()).or_insert(row.time_ns);
                *last = row.time_ns.max(*last);
            }
            for columns in ["time, host, w, n, f, s", "*"] {
                let sql = format!("SELECT {columns} FROM t WHERE {condition} LATEST ON time PARTITION BY host");
                for output in fixture.both(&sql) {
                    let found = rows_of(&output);
                    let hosts: BTreeSet<_> = found.iter().map(|row| row.host.clone()).collect();
                    assert_eq!((found.len(), hosts.len()), (last_ns.len(), last_ns.len()), "{name}: {sql}");
                    for row in found {
                        assert_eq!(last_ns.get(&row.host), Some(&row.time_ns), "{name}: {sql}");
                        assert!(all.contains(&row), "{name}: {sql}: no such row: {row:?}");
                    }
                }
            }
        }
    }
}

/// The values of the first and the last time among rows, at equal times the least and the greatest.
fn ends<T: Copy + PartialOrd>(rows: &[&Row], value: impl Fn(&Row) -> Option<T>) -> (Option<T>, Option<T>) {
    let values = rows.iter().filter_map(|row| Some((row.time_ns, value(row)?)));
    let least = |a: (i64, T), b: (i64, T)| if b < a { b } else { a };
    let greatest = |a: (i64, T), b: (i64, T)| if b > a { b } else { a };
    (values.clone().reduce(least).map(|end| end.1), values.reduce(greatest).map(|end| end.1))
}

#[test]
fn first_and_last_values_and_times_of_a_series_are_those_of_its_rows() {
    for (name, fixture) in fixtures() {
        let all = fixture.rows();
        for (condition, accepts) in CONDITIONS {
            let mut by_host: BTreeMap<Option<String>, Vec<&Row>> = BTreeMap::new();
            for row in all.iter().filter(|row| accepts(row)) {
                by_host.entry(row.host.clone()).or_default().push(row);
            }
            let last = "max(time), last(w), last(n), last(f), last(time)";
            let first = "min(time), first(w), first(n), first(f), first(time)";
            for (aggregates, wants_first) in
                [(last.to_owned(), false), (first.to_owned(), true), (format!("{last}, {first}"), false)]
            {
                let sql = format!("SELECT host, {aggregates} FROM t WHERE {condition} GROUP BY host");
                for output in fixture.both(&sql) {
                    let mut groups = 0;
                    for batch in &output.batches {
                        let hosts = texts(batch.column(0));
                        for (row, host) in hosts.iter().enumerate() {
                            let rows = &by_host[host];
                            let check = |first_column: usize, is_first: bool| {
                                let of = |(first, last)| if is_first { first } else { last };
                                let time = of(ends(rows, |row| Some(row.time_ns)));
                                let column = |index: usize| batch.column(first_column + index);
                                assert_eq!(integers(column(0))[row], time, "{name}: {sql}");
                                assert_eq!(
                                    integers(column(1))[row],
                                    of(ends(rows, |row| Some(row.w))),
                                    "{name}: {sql}"
                                );
                                assert_eq!(integers(column(2))[row], of(ends(rows, |row| row.n)), "{name}: {sql}");
                                let (first, last) = ends(rows, |row| row.f);
                                let f = if is_first { first } else { last };
                                assert_eq!(floats(column(3))[row], f, "{name}: {sql}");
                                assert_eq!(integers(column(4))[row], time, "{name}: {sql}");
                            };
                            check(1, wants_first);
                            if batch.num_columns() > 6 {
                                check(6, true);
                            }
                            groups += 1;
                        }
                    }
                    assert_eq!(groups, by_host.len(), "{name}: {sql}");
                }
            }
        }
    }
}

/// A time of the first day.
fn clock(second: i64) -> String {
    format!("1970-01-01 {:02}:{:02}:{:02}", second / HOUR_S, second / 60 % 60, second % 60)
}

/// Sum of `w`, rows, sum of `n` and its values.
#[derive(Debug, Default, PartialEq)]
struct Sums(i64, i64, i64, i64);

#[test]
fn sums_of_cut_hours_are_those_of_their_rows() {
    for (name, fixture) in fixtures() {
        let all = fixture.rows();
        for (from_s, to_s) in [(0, 20 * HOUR_S), (5_003, 35_017), (9_999, 10_100), (1_234, 1_235), (14_000, 43_210)] {
            for width_s in [HOUR_S, 600, 7_200] {
                let sql = format!(
                    "SELECT time_bucket('{} minutes', time) AS b, host, sum(w), avg(w), sum(n), count(n), count(*) FROM t \
                     WHERE time >= '{}' AND time < '{}' GROUP BY b, host ORDER BY b, host",
                    width_s / 60,
                    clock(from_s),
                    clock(to_s)
                );
                let mut expected: BTreeMap<(i64, bool, Option<String>), Sums> = BTreeMap::new();
                let in_range = |row: &&Row| (from_s * SECOND_NS..to_s * SECOND_NS).contains(&row.time_ns);
                for row in all.iter().filter(in_range) {
                    let bucket_ns = row.time_ns.div_euclid(width_s * SECOND_NS) * width_s * SECOND_NS;
                    // NULL stands last.
                    let key = (bucket_ns, row.host.is_none(), row.host.clone());
                    let Sums(sum, count, n_sum, n_count) = expected.entry(key).or_default();
                    (*sum, *count) = (*sum + row.w, *count + 1);
                    (*n_sum, *n_count) = (*n_sum + row.n.unwrap_or(0), *n_count + i64::from(row.n.is_some()));
                }
                for output in fixture.both(&sql) {
                    let mut expected = expected.iter();
                    for batch in &output.batches {
                        let (buckets, hosts) = (integers(batch.column(0)), texts(batch.column(1)));
                        let (sums, averages) = (integers(batch.column(2)), floats(batch.column(3)));
                        let [n_sums, n_counts, counts] = [4, 5, 6].map(|column| integers(batch.column(column)));
                        for row in 0..batch.num_rows() {
                            let ((bucket_ns, _, host), Sums(sum, count, n_sum, n_count)) = expected.next().unwrap();
                            assert_eq!((buckets[row], &hosts[row]), (Some(*bucket_ns), host), "{name}: {sql}");
                            assert_eq!((sums[row], counts[row]), (Some(*sum), Some(*count)), "{name}: {sql}");
                            assert_eq!(averages[row], Some(*sum as f64 / *count as f64), "{name}: {sql}");
                            assert_eq!(n_counts[row], Some(*n_count), "{name}: {sql}");
                            assert_eq!(n_sums[row], (*n_count > 0).then_some(*n_sum), "{name}: {sql}");
                        }
                    }
                    assert_eq!(expected.next(), None, "{name}: {sql}");
                }
            }
        }
    }
}

#[test]
fn groups_come_in_the_order_that_is_asked_for() {
    let fixture = Fixture::new("last", LastPart::Segment);
    let groups = |order: &str| -> Vec<(Option<i64>, Option<String>)> {
        let sql =
            format!("SELECT time_bucket('1 hour', time) AS b, host, avg(w) FROM t GROUP BY b, host ORDER BY {order}");
        let output = fixture.run(&fixture.with, &sql);
        let rows =
            |batch: &RecordBatch| integers(batch.column(0)).into_iter().zip(texts(batch.column(1))).collect::<Vec<_>>();
        output.batches.iter().flat_map(rows).collect()
    };
    let last = |key: &(Option<i64>, Option<String>)| (key.1.is_none(), key.1.clone());
    let first = |key: &(Option<i64>, Option<String>)| (key.1.is_some(), key.1.clone());
    let mut expected = groups("b, host");
    assert!(expected.len() > 30 && expected.is_sorted_by_key(|key| (key.0, last(key))));
    expected.sort_by_key(|key| (last(key), key.0));
    assert_eq!(groups("host, b"), expected);
    assert_eq!(groups("host NULLS LAST, b"), expected);
    expected.sort_by_key(|key| (first(key), key.0));
    assert_eq!(groups("host NULLS FIRST, b"), expected);
    expected.sort_by_key(|key| (key.0, first(key)));
    assert_eq!(groups("b, host NULLS FIRST"), expected);
    expected.sort_by_key(|key| (std::cmp::Reverse(key.0), last(key)));
    assert_eq!(groups("b DESC, host"), expected);
    expected.sort_by_key(|key| std::cmp::Reverse((key.0, last(key))));
    assert_eq!(groups("b DESC, host DESC"), expected);
    expected.sort_by_key(|key| std::cmp::Reverse((last(key), key.0)));
    assert_eq!(groups("host DESC, b DESC"), expected);
    expected.sort_by_key(|key| (std::cmp::Reverse(key.0), std::cmp::Reverse(first(key))));
    assert_eq!(groups("b DESC, host DESC NULLS LAST"), expected);
}

#[test]
fn rows_that_pass_a_filter_come_whole() {
    for (name, fixture) in fixtures() {
        let mut expected: Vec<Row> = fixture.rows().into_iter().filter(|row| row.w > 55 && row.n.is_some()).collect();
        let output = fixture.run(&fixture.with, "SELECT time, host, w, n, f, s FROM t WHERE w > 55 AND n > -100000");
        let mut found = rows_of(&output);
        let key = |row: &Row| (row.host.clone(), row.time_ns, row.w, row.n, row.s.clone());
        found.sort_by_key(key);
        expected.sort_by_key(key);
        assert!(!expected.is_empty());
        assert!(found == expected, "{name}: {} rows, {} expected", found.len(), expected.len());
    }
}
