//! Types of parameters.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use lynxstore_storage::engine::{Engine, EngineOptions};

use crate::{Error, QueryEngine, QueryOptions, ScalarParam};

fn query_engine(dir: &tempfile::TempDir) -> QueryEngine {
    let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
    let query = QueryEngine::new(engine, QueryOptions::default());
    query
        .execute("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, x BIGINT, f DOUBLE, u BIGINT UNSIGNED)")
        .unwrap();
    query
        .execute(
            "INSERT INTO t VALUES ('2026-01-01', 'a', 1, 0.5, 7), ('2026-01-01T01:00:00', 'b', 2, 1.5, 8), \
             ('2026-01-01T02:00:00', 'a', 3, 2.5, 9)",
        )
        .unwrap();
    query
}

const TIME: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

#[test]
fn parameters_have_the_types_of_what_stands_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let query = query_engine(&dir);
    let (text, integer) = (Some(DataType::Utf8), Some(DataType::Int64));
    for (sql, types) in [
        ("SELECT x FROM t WHERE host = $1 AND x > $2", vec![text.clone(), integer.clone()]),
        ("SELECT x FROM t WHERE $1 < f AND u <> $2", vec![Some(DataType::Float64), Some(DataType::UInt64)]),
        ("SELECT x FROM t WHERE time BETWEEN $1 AND $2", vec![Some(TIME), Some(TIME)]),
        (
            "SELECT x FROM t WHERE time > now() - $1 LIMIT $2 OFFSET $3",
            vec![Some(INTERVAL), integer.clone(), integer.clone()],
        ),
        (
            "SELECT time_bucket($2, time), count(*) FROM t WHERE host IN ($1, $3) GROUP BY 1",
            vec![text.clone(), Some(INTERVAL), text.clone()],
        ),
        ("SELECT x FROM t WHERE host LIKE $1", vec![text]),
        ("SELECT $1", vec![None]),
        ("SELECT x FROM t", vec![]),
    ] {
        let description = query.prepare(sql).unwrap().describe().unwrap();
        assert_eq!(description.parameters, types, "{sql}");
        assert!(!description.columns.fields().is_empty(), "{sql}");
    }
    let clash = query.prepare("SELECT x FROM t WHERE host = $1 OR x = $1").unwrap();
    assert!(clash.describe().unwrap_err().to_string().contains("$1 stands for TEXT and for BIGINT"));
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_that_names_the_parameter() {
    let dir = tempfile::tempdir().unwrap();
    let query = query_engine(&dir);
    for (sql, values, message) in [
        ("SELECT x FROM t WHERE x > $1", vec![ScalarParam::from("many")], "$1 must be BIGINT, but TEXT 'many'"),
        ("SELECT x FROM t WHERE time > $1", vec![ScalarParam::from("soon")], "$1 must be TIMESTAMP, but TEXT 'soon'"),
        ("SELECT x FROM t WHERE host = $1", vec![ScalarParam::from(5_i64)], "$1 must be TEXT, but BIGINT"),
        ("SELECT x FROM t LIMIT $1", vec![ScalarParam::from("ten")], "$1 must be BIGINT, but TEXT 'ten'"),
        ("SELECT x FROM t LIMIT $1", vec![ScalarParam::from(-1_i64)], "is no number of rows"),
        ("SELECT x FROM t WHERE x = $2", vec![ScalarParam::from(1_i64)], "$2 has no value"),
    ] {
        match query.prepare(sql).unwrap().execute(&values) {
            Err(Error::Plan { message: found }) => assert!(found.contains(message), "{sql}: {found}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn parameters_stand_in_limits_lists_times_and_buckets() {
    let dir = tempfile::tempdir().unwrap();
    let query = query_engine(&dir);
    let rows = |sql: &str, values: &[ScalarParam]| query.prepare(sql).unwrap().execute(values).unwrap().row_count();
    assert_eq!(rows("SELECT x FROM t ORDER BY x LIMIT $1 OFFSET $2", &[5_i64.into(), 1_i64.into()]), 2);
    assert_eq!(rows("SELECT x FROM t WHERE host IN ($1, $2)", &["a".into(), "z".into()]), 2);
    assert_eq!(rows("SELECT x FROM t WHERE x IN ($1, 3)", &[1_i64.into()]), 2);
    assert_eq!(rows("SELECT x FROM t WHERE time >= $1", &["2026-01-01T01:00:00".into()]), 2);
    assert_eq!(rows("SELECT x FROM t WHERE time >= $1", &[ScalarParam::Time(1_767_229_200_000_000_000)]), 2);
    assert_eq!(rows("SELECT time_bucket($1, time), sum(x) FROM t GROUP BY 1", &["2 hours".into()]), 2);
    assert_eq!(rows("SELECT x FROM t WHERE x > $1", &[1.5.into()]), 2);
    assert_eq!(rows("SELECT x FROM t WHERE x > $1", &[ScalarParam::Null]), 0);
}

#[cfg(feature = "datafusion")]
#[test]
fn general_statements_tell_their_types_too() {
    let dir = tempfile::tempdir().unwrap();
    let query = query_engine(&dir);
    let sql = "SELECT a.x, b.f FROM t a JOIN t b ON a.x = b.x WHERE a.x > $1 AND b.host = $2";
    let prepared = query.prepare(sql).unwrap();
    let description = prepared.describe().unwrap();
    assert_eq!(description.parameters.len(), 2);
    assert_eq!(description.parameters[0], Some(DataType::Int64));
    assert_eq!(description.columns.fields().len(), 2);
    assert_eq!(prepared.execute(&[1_i64.into(), "a".into()]).unwrap().row_count(), 1);
}
