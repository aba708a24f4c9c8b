//! Counters come out the same from rollups, from rows, through a hash table and through DataFusion.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray, UInt64Array};
use arrow::datatypes::Float64Type;
use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::{Ack, Engine, EngineOptions};
use lynxstore_storage::ingest::group_rows;

use crate::{QueryEngine, QueryOptions, QueryOutput, RollupMode};

const LIST: &str = "increase(i), rate(i), delta(i), increase(f), delta(f), rate(u), increase(u)";
const STEP_NS: i64 = 10_000_000_000;
const ROWS: i64 = 12_000;
const HOSTS: i64 = 4;

/// A counter of host `host` in row `row`: it starts anew every few hundred rows, and is NULL now and then.
fn counter(host: i64, row: i64) -> Option<i64> {
    let period = 300 + host * 211;
    // Noise, which no encoding makes small: rollups are kept where they take little of a segment.
    let noise = (row * 1_000 + host).wrapping_mul(0x5851_F42D_4C95_7F2D).cast_unsigned() >> 54;
    ((row + host) % 97 != 5).then_some(row % period * 1_024 + noise.cast_signed())
}

fn filled_engine(dir: &std::path::Path) -> Arc<Engine> {
    let engine = Arc::new(Engine::open(dir, EngineOptions::default()).unwrap());
    let query = QueryEngine::new(Arc::clone(&engine), QueryOptions::default());
    query
        .execute("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, i BIGINT, f DOUBLE, u BIGINT UNSIGNED)")
        .unwrap();
    let schema = engine.table("public", "t").unwrap();
    for host in 0..HOSTS {
        let values: Vec<Option<i64>> = (0..ROWS).map(|row| counter(host, row)).collect();
        let columns: [(&str, ArrayRef); 5] = [
            ("time", Arc::new((0..ROWS).map(|row| Some(row * STEP_NS)).collect::<TimestampNanosecondArray>())),
            ("host", Arc::new(StringArray::from(vec![format!("h{host}"); ROWS as usize]))),
            ("i", Arc::new(values.iter().copied().collect::<Int64Array>())),
            ("f", Arc::new(values.iter().map(|value| value.map(|value| value as f64 / 4.0)).collect::<Float64Array>())),
            ("u", Arc::new(values.iter().map(|value| value.map(i64::cast_unsigned)).collect::<UInt64Array>())),
        ];
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, name != "time")))
                .unwrap();
        engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Volatile).unwrap();
    }
    engine.flush().unwrap();
    engine
}

/// The rows of columns behind the key as numbers, sorted by the key.
fn numbers(output: &QueryOutput) -> Vec<Vec<f64>> {
    let mut rows = Vec::new();
    for batch in &output.batches {
        for row in 0..batch.num_rows() {
            let columns = batch.columns()[1..].iter();
            rows.push(columns.map(|column| column.as_primitive::<Float64Type>().value(row)).collect());
        }
    }
    rows
}

#[test]
fn counters_are_the_same_from_rollups_rows_hash_tables_and_datafusion() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled_engine(dir.path());
    let query = |rollups| {
        QueryEngine::new(Arc::clone(&engine), QueryOptions { threads: 2, rollups, ..QueryOptions::default() })
    };
    let (with, without) = (query(RollupMode::On), query(RollupMode::Off));
    let explain = with.execute(&format!("EXPLAIN SELECT host, {LIST} FROM t GROUP BY host")).unwrap();
    let lines: Vec<Option<&str>> = explain.batches[0].column(0).as_string::<i32>().iter().collect();
    let has_rollups = lines.iter().flatten().any(|line| line.contains("rollups: of whole hours"));
    assert!(has_rollups, "no rollups, so the test compares nothing: {lines:?}");

    // Of the first host by hand: differences, and the value itself where it falls.
    let host: Vec<f64> = (0..ROWS).filter_map(|row| counter(0, row)).map(|value| value as f64).collect();
    let by_hand: f64 = host.windows(2).map(|pair| if pair[1] >= pair[0] { pair[1] - pair[0] } else { pair[1] }).sum();
    for (key, source) in [("host", "t"), ("time_bucket('1 hour', time)", "t"), ("time_bucket('1 day', time)", "t")] {
        let order = "GROUP BY key ORDER BY key";
        let expected = numbers(&with.execute(&format!("SELECT {key} AS key, {LIST} FROM {source} {order}")).unwrap());
        if key == "host" {
            assert_eq!(expected[0][0], by_hand);
            assert_eq!(expected[0][2], host[host.len() - 1] - host[0]);
        }
        let rows = without.execute(&format!("SELECT {key} AS key, {LIST} FROM t {order}")).unwrap();
        let hash = with.execute(&format!("SELECT {key} AS key, {LIST} FROM t WHERE u + 1 > 0 {order}")).unwrap();
        let mut others = vec![("rows", rows), ("hash", hash)];
        if cfg!(feature = "datafusion") {
            let sql = format!("WITH c AS (SELECT * FROM t) SELECT {key} AS key, {LIST} FROM c {order}");
            others.push(("DataFusion", with.execute(&sql).unwrap()));
        }
        for (way, other) in others {
            let other = numbers(&other);
            assert_eq!(expected.len(), other.len(), "{key} by {way}");
            for (left, right) in expected.iter().flatten().zip(other.iter().flatten()) {
                assert!((left - right).abs() <= left.abs() * 1e-12, "{key} by {way}: {left}, {right}");
            }
        }
    }
}
