//! The library as a program uses it: batches, rows, SQL, prepared statements, async, and errors that say what to do.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{Float64Type, Int64Type};
use lynxstore::{Ack, Database, ErrorKind, FieldType, Options, ScalarParam, TableSpec};

use crate::support::scratch_dir;

fn cpu_spec() -> TableSpec {
    TableSpec::new("cpu").tag("host").field("usage", FieldType::F64).field("reads", FieldType::I64)
}

fn cpu_batch(host: &str, times: &[i64], usage: &[f64]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("time", Arc::new(TimestampNanosecondArray::from(times.to_vec())) as Arc<dyn Array>),
        ("host", Arc::new(StringArray::from(vec![host; times.len()]))),
        ("usage", Arc::new(Float64Array::from(usage.to_vec()))),
    ])
    .unwrap()
}

fn one_float(database: &Database, sql: &str) -> f64 {
    database.query(sql).unwrap().batches[0].column(0).as_primitive::<Float64Type>().value(0)
}

fn one_integer(database: &Database, sql: &str) -> i64 {
    database.query(sql).unwrap().batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[test]
fn what_is_written_is_answered_before_and_after_reopening() {
    let scratch = scratch_dir();
    let database = Database::open(scratch.path()).unwrap();
    database.create_table(&cpu_spec()).unwrap();
    for (ack, host) in [(Ack::Durable, "a"), (Ack::Logged, "b"), (Ack::Volatile, "c")] {
        let receipt = database.write_with("cpu", &cpu_batch(host, &[1, 2], &[0.5, 1.5]), ack).unwrap();
        assert_eq!((receipt.ack, receipt.rows), (ack, 2));
        assert_eq!(receipt.lsn.is_some(), ack != Ack::Volatile);
    }
    let mut appender = database.appender("cpu").unwrap();
    appender.row(3).unwrap().tag("host", "a").unwrap().field("reads", 7_i64).unwrap();
    appender.row(4).unwrap().field("usage", 10.0).unwrap();
    assert_eq!(appender.row_count(), 2);
    assert_eq!(appender.finish().unwrap().unwrap().rows, 2);
    let check = |database: &Database| {
        assert_eq!(one_integer(database, "SELECT count(*) FROM cpu"), 8);
        assert_eq!(one_float(database, "SELECT sum(usage) FROM cpu"), 16.0);
        assert_eq!(one_integer(database, "SELECT sum(reads) FROM cpu WHERE host = 'a'"), 7);
        assert_eq!(one_float(database, "SELECT max(usage) FROM cpu WHERE host IS NULL"), 10.0);
    };
    check(&database);
    database.flush().unwrap();
    check(&database);
    database.close().unwrap();
    // Closing flushes what was volatile.
    check(&Database::open(scratch.path()).unwrap());
}

#[test]
fn a_prepared_statement_runs_with_other_parameters() {
    let scratch = scratch_dir();
    let database = Database::open(scratch.path()).unwrap();
    database.create_table(&cpu_spec()).unwrap();
    database.write("cpu", &cpu_batch("a", &[1, 2, 3], &[1.0, 2.0, 3.0])).unwrap();
    database.write("cpu", &cpu_batch("b", &[1], &[40.0])).unwrap();
    let statement = database.prepare("SELECT sum(usage) FROM cpu WHERE host = $1 AND usage > $2").unwrap();
    for (host, above, sum) in [("a", 0.0, 6.0), ("a", 1.5, 5.0), ("b", 0.0, 40.0)] {
        let output = statement.execute(&[ScalarParam::Text(host.into()), ScalarParam::F64(above)]).unwrap();
        assert_eq!(output.batches[0].column(0).as_primitive::<Float64Type>().value(0), sum);
    }
    // A statement sees what was written after it was prepared.
    database.write("cpu", &cpu_batch("b", &[2], &[2.0])).unwrap();
    let output = statement.execute(&[ScalarParam::Text("b".into()), ScalarParam::F64(0.0)]).unwrap();
    assert_eq!(output.batches[0].column(0).as_primitive::<Float64Type>().value(0), 42.0);
}

#[test]
fn errors_have_a_kind_that_says_what_to_do() {
    let scratch = scratch_dir();
    let database = Database::open(scratch.path()).unwrap();
    database.create_table(&cpu_spec()).unwrap();
    let kind = |sql: &str| database.query(sql).unwrap_err().kind();
    assert_eq!(kind("SELEC 1"), ErrorKind::InvalidInput);
    assert_eq!(kind("SELECT nothing FROM cpu"), ErrorKind::InvalidInput);
    assert_eq!(kind("SELECT * FROM nothing"), ErrorKind::NotFound);
    assert_eq!(database.create_table(&cpu_spec()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(database.drop_table("nothing").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(database.appender("nothing").unwrap_err().kind(), ErrorKind::NotFound);
    let locked = Database::open(scratch.path()).unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Busy, "{locked}");

    let misfit = RecordBatch::try_from_iter([
        ("time", Arc::new(Int64Array::from(vec![1])) as Arc<dyn Array>),
        ("usage", Arc::new(StringArray::from(vec!["high"]))),
    ])
    .unwrap();
    let error = database.write("cpu", &misfit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("time") || error.to_string().contains("usage"), "{error}");
    assert_eq!(one_integer(&database, "SELECT count(*) FROM cpu"), 0, "a refused batch leaves nothing behind");

    database.close().unwrap();
    let error = database.write("cpu", &cpu_batch("a", &[1], &[1.0])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[test]
fn sql_from_elsewhere_can_be_kept_from_files() {
    let scratch = scratch_dir();
    let options = Options::default().file_access(lynxstore::FileAccess::Denied);
    let database = Database::open_with(scratch.path(), options).unwrap();
    let secret = scratch.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n").unwrap();
    let error = database.query(&format!("SELECT * FROM '{}'", secret.display())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    // A path that does not look like a file is a table name, and no such table is there.
    assert_eq!(database.query("SELECT * FROM '/etc/passwd'").unwrap_err().kind(), ErrorKind::NotFound);
    let target = scratch.path().join("out.csv");
    database.create_table(&cpu_spec()).unwrap();
    assert!(database.query(&format!("COPY cpu TO '{}'", target.display())).is_err());
    assert!(!target.exists());
}

#[test]
fn the_async_facade_gives_the_same_answers() {
    let scratch = scratch_dir();
    let database = Database::open(scratch.path()).unwrap();
    database.create_table(&cpu_spec()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let receipt = database.write_async("cpu", cpu_batch("a", &[1, 2], &[1.0, 3.0]), Ack::Durable).await.unwrap();
        assert_eq!(receipt.rows, 2);
        let mut statements = vec!["SELECT avg(usage) FROM cpu"];
        if cfg!(feature = "datafusion") {
            // DataFusion has a runtime of its own below this one.
            statements.push("SELECT avg(x.usage) FROM cpu x JOIN cpu y ON x.time = y.time");
        }
        for sql in statements {
            let output = database.query_async(sql).await.unwrap();
            assert_eq!(output.batches[0].column(0).as_primitive::<Float64Type>().value(0), 2.0, "{sql}");
        }
        database.flush_async().await.unwrap();
        database.close_async().await.unwrap();
    });
    assert_eq!(one_integer(&Database::open(scratch.path()).unwrap(), "SELECT count(*) FROM cpu"), 2);
}
