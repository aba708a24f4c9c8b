//! Both ways of a query give the same answer: generated queries run on the vectorized executor and on DataFusion.

#![cfg(feature = "datafusion")]

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lynxstore_storage::engine::{Engine, EngineOptions};

use crate::datafusion::{RunOptions, SqlInput, run};
use crate::{Cancellation, QueryEngine, QueryOptions, Route};

/// A generator of the sequence of a seed, after Knuth.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const CONDITIONS: [&str; 22] = [
    "time >= '2026-01-01T00:10:00'",
    "time < '2026-01-01T00:40:00'",
    "time BETWEEN '2026-01-01T00:05:00' AND '2026-01-01T00:06:00'",
    "time > TIMESTAMP '2026-01-01' + INTERVAL '20 minutes'",
    "host = 'h1'",
    "host IN ('h0', 'h3', 'none')",
    "host <> 'h2'",
    "host LIKE 'h%' AND host > 'h1'",
    "region IS NULL",
    "region = 'eu' OR region IS NULL",
    "i > 50",
    "i <= 20.5",
    "i <> 7",
    "f < 0.25",
    "f >= -3",
    "u > 9",
    "f IS NOT NULL",
    "b",
    "NOT b OR i = 3",
    "s LIKE '%a%'",
    "i + 1 > f",
    "i IN (1, 2, 3, 50)",
];

const AGGREGATES: [&str; 28] = [
    "count(*)",
    "count(f)",
    "count(s)",
    "sum(i)",
    "sum(f)",
    "sum(u)",
    "avg(i)",
    "avg(u)",
    "min(i)",
    "max(f)",
    "min(u)",
    "max(s)",
    "stddev(f)",
    "sum(i * 2 + 1)",
    "max(time)",
    "max(i) - min(i)",
    "count(DISTINCT i)",
    "count(DISTINCT host)",
    "approx_distinct(s)",
    "median(f)",
    "percentile_disc(i, 0.9)",
    "approx_percentile_cont(f, 0.9)",
    "mode(s)",
    "max_by(s, f)",
    "first(f)",
    "last(s)",
    "increase(i)",
    "time_weight(f, 'linear')",
];

const KEYS: [&str; 8] = [
    "host",
    "region",
    "date_bin(INTERVAL '7 minutes', time)",
    "date_bin(INTERVAL '1 hour', time)",
    "date_trunc('minute', time)",
    "i % 3",
    "b",
    "upper(s)",
];

const COLUMNS: [&str; 12] = [
    "time",
    "host",
    "region",
    "i",
    "f",
    "u",
    "b",
    "s",
    "i * 2 - 1",
    "f / 3",
    "CASE WHEN i > 30 THEN s ELSE host END",
    "coalesce(f, i)",
];

fn condition(random: &mut Random) -> String {
    let count = random.below(4);
    let parts: Vec<String> = (0..count).map(|_| format!("({})", random.pick(&CONDITIONS))).collect();
    if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) }
}

fn list(random: &mut Random, choices: &[&str], most: usize) -> Vec<String> {
    let mut picked: Vec<String> = Vec::new();
    for _ in 0..=random.below(most) {
        let choice = random.pick(choices).to_owned();
        if !picked.contains(&choice) {
            picked.push(choice);
        }
    }
    picked
}

fn query(random: &mut Random) -> String {
    let condition = condition(random);
    match random.below(4) {
        0 => format!("SELECT {} FROM t{condition}", list(random, &COLUMNS, 4).join(", ")),
        1 => format!("SELECT {} FROM t{condition}", list(random, &AGGREGATES, 4).join(", ")),
        _ => {
            let keys = list(random, &KEYS, 2);
            let aggregates = list(random, &AGGREGATES, 4);
            let having = if random.below(4) == 0 { " HAVING count(*) > 2" } else { "" };
            format!(
                "SELECT {}, {} FROM t{condition} GROUP BY {}{having}",
                keys.join(", "),
                aggregates.join(", "),
                keys.join(", ")
            )
        }
    }
}

/// The rows as sorted text; floats to ten digits, since the order of additions differs.
fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let mut line = String::new();
            for column in batch.columns() {
                let logical_null = column.logical_nulls().is_some_and(|nulls| nulls.is_null(row));
                match column.data_type() {
                    _ if logical_null => line.push_str("NULL"),
                    DataType::Float64 => {
                        let value = column.as_primitive::<Float64Type>().value(row);
                        write!(line, "{value:.9e}").unwrap();
                    }
                    _ => {
                        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
                        write!(line, "{}", formatter.value(row)).unwrap();
                    }
                }
                line.push('|');
            }
            rows.push(line);
        }
    }
    rows.sort_unstable();
    rows
}

fn fill(query: &QueryEngine) {
    query
        .execute(
            "CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, region TEXT TAG, i BIGINT, f DOUBLE, u BIGINT UNSIGNED, \
             b BOOLEAN, s TEXT)",
        )
        .unwrap();
    let mut random = Random(7);
    for series in 0..5 {
        let mut values = String::new();
        let mut seconds = 0;
        for row in 0..400 {
            // Two series are regular in time.
            seconds += if series < 2 { 10 } else { 1 + random.below(15) };
            let region = ["'eu'", "'us'", "NULL"][series % 3];
            let null = random.below(10) == 0;
            let time = format!("'2026-01-01T{:02}:{:02}:{:02}'", seconds / 3_600, seconds / 60 % 60, seconds % 60);
            let (i, u) = (random.below(100) as i64 - 20, random.below(20));
            let f = if null { "NULL".to_owned() } else { format!("{:.2}", random.below(1_000) as f64 / 100.0 - 5.0) };
            let b = ["true", "false", "NULL"][random.below(3)];
            let s = ["'a'", "'ba'", "''", "NULL", "'Zeta'"][random.below(5)];
            let comma = if row == 0 { "" } else { "," };
            write!(values, "{comma}({time}, 'h{series}', {region}, {i}, {f}, {u}, {b}, {s})").unwrap();
        }
        query.execute(&format!("INSERT INTO t VALUES {values}")).unwrap();
    }
}

#[test]
fn generated_queries_have_one_answer() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
    let options = QueryOptions { threads: 2, ..QueryOptions::default() };
    let ours = QueryEngine::new(Arc::clone(&engine), options.clone());
    fill(&ours);
    let mut random = Random(42);
    for number in 0..300 {
        if number == 150 {
            engine.flush().unwrap();
        }
        let sql = query(&mut random);
        let output = ours.execute(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(output.route, Route::Vectorized, "{sql}");
        let other = run(
            &engine.snapshot(),
            SqlInput::Text(sql.clone()),
            &[],
            &RunOptions::new(&options, &engine),
            &Cancellation::new(),
        )
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
        for (ours, theirs) in output.schema.fields().iter().zip(other.schema.fields()) {
            let both_text = |data_type: &DataType| {
                matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::Dictionary(..))
            };
            let same = ours.data_type() == theirs.data_type()
                || (both_text(ours.data_type()) && both_text(theirs.data_type()));
            assert!(same, "{sql}: {} is {} or {}", ours.name(), ours.data_type(), theirs.data_type());
        }
        assert_eq!(rows(&output.batches), rows(&other.batches), "query {number}: {sql}");
    }
}
