//! Rows through the writer into an engine on a simulated disk, read back by SQL.

use std::path::Path;
use std::sync::Arc;

use lynxstore_query::{QueryEngine, QueryOptions};
use lynxstore_storage::engine::{Background, Engine, EngineOptions};
use lynxstore_storage::io::sim::SimIo;
use lynxstore_storage::types::{Dedup, SchemaMode};

use super::*;
use crate::field_builder::FieldValue;
use crate::ingest::quota::{IngestQuota, TenantLimits};

struct Fixture {
    engine: Arc<Engine>,
    query: QueryEngine,
    writer: RowWriter,
}

/// A row: table, tags, fields, time.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, FieldValue<'a>)], i64);

impl Fixture {
    fn new() -> Self {
        Self::with_limits(RowLimits::default())
    }

    fn with_limits(limits: RowLimits) -> Self {
        let options = EngineOptions { background: Background::Caller, ..EngineOptions::default() };
        let engine = Arc::new(Engine::open_with(Arc::new(SimIo::new()), Path::new("/db"), options).unwrap());
        let query = QueryEngine::new(Arc::clone(&engine), QueryOptions::default());
        Self { writer: RowWriter::new(Arc::clone(&engine), "public", limits, 1 << 20), query, engine }
    }

    fn run(&self, sql: &str) {
        self.query.execute(sql).unwrap();
    }

    /// The rows of a query as CSV without the head.
    fn rows(&self, sql: &str) -> Vec<String> {
        let output = self.query.execute(sql).unwrap();
        let mut lines = Vec::new();
        for batch in &output.batches {
            for row in 0..batch.num_rows() {
                let cells = batch.columns().iter().map(|column| {
                    let options = arrow::util::display::FormatOptions::default().with_null("-");
                    arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string()
                });
                lines.push(cells.collect::<Vec<_>>().join(","));
            }
        }
        lines
    }

    fn write(&self, rows: &[Row<'_>]) -> RowOutcome {
        self.write_with(&RowOptions::default(), rows).unwrap()
    }

    fn write_with(&self, options: &RowOptions, rows: &[Row<'_>]) -> Result<RowOutcome, RowsError> {
        self.writer.write(options, |request| {
            for (line, (table, tags, fields, time_ns)) in (1..).zip(rows) {
                let raw = format!("{table} {tags:?}");
                let name = || {
                    let tags = tags.iter().map(|(name, value)| ((*name).into(), (*value).into()));
                    Ok(SeriesName { table: (*table).into(), tags: tags.collect() })
                };
                request.push(line, raw.as_bytes(), name, fields.iter().copied(), *time_ns)?;
            }
            Ok(())
        })
    }
}

fn reasons(outcome: &RowOutcome) -> Vec<(usize, RowReason)> {
    outcome.rejected.shown().iter().map(|row| (row.line, row.fault.reason)).collect()
}

const ONE: FieldValue<'static> = FieldValue::F64(1.0);

#[test]
fn rows_of_several_tables_are_one_commit_and_make_what_is_missing() {
    let fixture = Fixture::new();
    let outcome = fixture.write(&[
        ("cpu", &[("host", "a")], &[("usage", ONE), ("n", FieldValue::I64(3))], 1),
        ("mem", &[], &[("used", FieldValue::U64(7))], 1),
        ("cpu", &[("dc", "eu"), ("host", "b")], &[("ok", FieldValue::Bool(true))], 2),
        ("cpu", &[("host", "b"), ("dc", "eu")], &[("note", FieldValue::String("x"))], 3),
    ]);
    assert_eq!((outcome.written, outcome.rejected.count()), (4, 0));
    assert_eq!(fixture.engine.stats().commits, 1);
    let rows = fixture.rows("SELECT host, dc, usage, n, ok, note FROM cpu ORDER BY time");
    assert_eq!(rows, ["a,-,1.0,3,-,-", "b,eu,-,-,true,-", "b,eu,-,-,-,x"]);
    assert_eq!(fixture.rows("SELECT used FROM mem"), ["7"]);
    // The same again, and a series by its other spelling, from what the writer remembers.
    let outcome = fixture.write(&[
        ("cpu", &[("host", "a")], &[("usage", FieldValue::F64(2.0))], 1),
        ("cpu", &[("dc", "eu"), ("host", "b")], &[("usage", ONE)], 4),
        ("cpu", &[("host", "b"), ("dc", "eu")], &[("usage", ONE)], 5),
    ]);
    assert_eq!((outcome.written, outcome.rejected.count()), (3, 0));
    assert_eq!(fixture.writer.cached_series(), 3);
    let rows = fixture.rows("SELECT host, usage, n FROM cpu ORDER BY time");
    assert_eq!(rows, ["a,2.0,3", "b,-,-", "b,-,-", "b,1.0,-", "b,1.0,-"]);
}

#[test]
fn a_row_whose_types_do_not_fit_is_left_out_whole_and_integers_go_into_floats() {
    let fixture = Fixture::new();
    fixture
        .run("CREATE TABLE t (time TIMESTAMP TIME, host STRING TAG, f DOUBLE, i BIGINT, u BIGINT UNSIGNED, s STRING)");
    let plain = RowOptions { integers: IntegerTyping::Plain, ..RowOptions::default() };
    let rows: &[Row<'_>] = &[
        ("t", &[], &[("f", FieldValue::I64(-5))], 1),
        ("t", &[], &[("i", ONE)], 2),
        ("t", &[], &[("new", ONE), ("u", FieldValue::I64(5))], 3),
        ("t", &[], &[("u", FieldValue::I64(-5))], 4),
        ("t", &[], &[("f", FieldValue::String("x"))], 5),
        ("t", &[], &[("host", ONE)], 6),
        ("t", &[], &[("time", ONE)], 7),
        ("t", &[("f", "x")], &[("i", FieldValue::I64(1))], 8),
        ("t", &[], &[("i", FieldValue::I64(1)), ("i", FieldValue::I64(2))], 9),
        ("t", &[], &[("f", ONE), ("s", FieldValue::String("y"))], 10),
    ];
    let outcome = fixture.write(rows);
    use RowReason::{DuplicateColumn, SchemaConflict, TypeConflict};
    let expected = [
        (2, TypeConflict),
        (3, TypeConflict),
        (4, TypeConflict),
        (5, TypeConflict),
        (6, SchemaConflict),
        (7, SchemaConflict),
        (8, SchemaConflict),
        (9, DuplicateColumn),
    ];
    assert_eq!(reasons(&outcome), expected);
    assert_eq!(fixture.rows("SELECT f, i, u, s FROM t ORDER BY time"), ["-5.0,-,-,-", "1.0,-,-,y"]);
    assert!(fixture.query.execute("SELECT new FROM t").is_err(), "a row that was left out made a column");
    let outcome = fixture.write_with(&plain, rows).unwrap();
    assert_eq!(reasons(&outcome)[..2], [(2, TypeConflict), (4, TypeConflict)]);
    assert_eq!(fixture.rows("SELECT new, u FROM t WHERE u IS NOT NULL"), ["1.0,5"]);
}

#[test]
fn a_new_column_gets_the_type_of_its_values() {
    let fixture = Fixture::new();
    let outcome = fixture.write(&[
        ("t", &[], &[("a", FieldValue::I64(1)), ("b", FieldValue::Bool(true)), ("b", ONE)], 1),
        ("t", &[], &[("b", FieldValue::String("x"))], 2),
        ("t", &[], &[("a", FieldValue::I64(2))], 3),
        ("t", &[], &[("a", FieldValue::F64(2.5))], 4),
        ("t", &[], &[("b", ONE)], 5),
        ("t", &[], &[("a", FieldValue::U64(3))], 6),
        ("t", &[("b", "tag")], &[("a", ONE)], 7),
    ]);
    assert_eq!(
        reasons(&outcome),
        [(1, RowReason::DuplicateColumn), (5, RowReason::TypeConflict), (7, RowReason::SchemaConflict)]
    );
    assert_eq!(fixture.rows("SELECT a, b FROM t ORDER BY time"), ["-,x", "2.0,-", "2.5,-", "3.0,-"]);
}

#[test]
fn strict_tables_get_no_columns_and_refused_rows_make_no_table() {
    let fixture = Fixture::new();
    fixture.run("CREATE TABLE t (time TIMESTAMP TIME, host STRING TAG, f DOUBLE) WITH (schema = 'strict')");
    let outcome = fixture.write(&[
        ("t", &[("host", "a")], &[("f", ONE)], 1),
        ("t", &[("host", "a")], &[("g", ONE)], 2),
        ("t", &[("dc", "a")], &[("f", ONE)], 3),
        ("none", &[("x", "")], &[("time", ONE)], 3),
        ("none", &[("a", "1"), ("a", "2")], &[("f", ONE)], 3),
        ("", &[], &[("f", ONE)], 3),
        ("none", &[], &[("", ONE)], 3),
    ]);
    assert_eq!((outcome.written, outcome.rejected.count()), (1, 6));
    let schema = fixture.writer.table("t").unwrap().unwrap();
    assert_eq!((schema.options.schema_mode, schema.fields.len(), schema.tags.len()), (SchemaMode::Strict, 1, 1));
    assert!(fixture.writer.table("none").unwrap().is_none());
}

#[test]
fn tables_that_are_dropped_or_changed_by_others_are_found_anew() {
    let fixture = Fixture::new();
    let rows: &[Row<'_>] = &[("t", &[("host", "a")], &[("f", ONE)], 1)];
    fixture.write(rows);
    fixture.run("DROP TABLE t");
    assert_eq!(fixture.write(rows).written, 1);
    fixture.run("ALTER TABLE t RENAME COLUMN host TO machine");
    assert_eq!(fixture.write(rows).written, 1);
    assert_eq!(fixture.rows("SELECT machine, host, f FROM t ORDER BY machine"), ["a,-,1.0", "-,a,1.0"]);
    fixture.run("DROP TABLE t");
    fixture.run("CREATE TABLE t (time TIMESTAMP TIME, host STRING TAG, f BIGINT)");
    assert_eq!(reasons(&fixture.write(rows)), [(1, RowReason::TypeConflict)]);
}

#[test]
fn a_table_that_goes_while_its_rows_come_in_is_made_again() {
    let fixture = Fixture::new();
    fixture.write(&[("t", &[("host", "a")], &[("f", ONE)], 1)]);
    let mut runs = 0;
    let outcome = fixture
        .writer
        .write(&RowOptions::default(), |request| {
            let name = || Ok(SeriesName { table: "t".into(), tags: vec![("host".into(), "b".into())] });
            request.push(1, b"b", name, [("f", ONE)].into_iter(), 1)?;
            if runs == 0 {
                fixture.run("DROP TABLE t");
            }
            runs += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!((outcome.written, runs), (1, 2));
    assert_eq!(fixture.rows("SELECT host FROM t"), ["b"]);
}

#[test]
fn a_request_over_a_limit_is_refused_whole_and_a_name_over_one_with_its_row() {
    let small = RowLimits {
        rows_max: 3,
        tables_max: 2,
        columns_max: 6,
        cells_max: 12,
        tags_max: 2,
        fields_max: 4,
        name_bytes_max: 5,
        ..RowLimits::default()
    };
    let fixture = Fixture::with_limits(small);
    let row = ("t", &[][..], &[("f", ONE)][..], 1);
    let wide = ("t", &[][..], &[("a", ONE), ("b", ONE), ("c", ONE), ("d", ONE)][..], 1);
    let three_tables = vec![row, ("u", &[], &[("f", ONE)], 1), ("v", &[], &[("f", ONE)], 1)];
    let many_columns = vec![wide, ("u", wide.1, wide.2, 1)];
    for rows in [vec![row; 4], three_tables, many_columns, vec![wide; 3]] {
        assert!(
            matches!(fixture.write_with(&RowOptions::default(), &rows), Err(RowsError::TooLarge { .. })),
            "{rows:?}"
        );
        assert!(fixture.engine.tables().is_empty());
    }
    assert_eq!(fixture.write(&[wide, wide]).written, 2);
    let outcome = fixture.write(&[
        ("t", &[], &[("e", ONE)], 2),
        ("t", &[("t1", ""), ("t2", ""), ("t3", "")], &[("a", ONE)], 2),
        ("t", &[], &[("toolong", ONE)], 2),
    ]);
    assert_eq!(
        reasons(&outcome),
        [(1, RowReason::TooManyColumns), (2, RowReason::TooManyColumns), (3, RowReason::InvalidName)]
    );
}

#[test]
fn one_bad_row_refuses_the_others_when_that_is_asked_for() {
    let fixture = Fixture::new();
    let options = RowOptions { unfit: Unfit::RefuseAll, ..RowOptions::default() };
    let outcome = fixture.write_with(&options, &[("t", &[], &[("f", ONE)], 1), ("t", &[], &[("", ONE)], 1)]).unwrap();
    assert_eq!((outcome.written, outcome.rejected.count()), (0, 1));
    assert!(fixture.engine.tables().is_empty());
    assert_eq!(fixture.write_with(&options, &[("t", &[], &[("f", ONE)], 1)]).unwrap().written, 1);
}

/// Events of a device, told apart by `id` (a field) and `kind` (a tag).
fn event<'a>(kind: &'a [(&'a str, &'a str)], id: &'a [(&'a str, FieldValue<'a>)], time_ns: i64) -> Row<'a> {
    ("events", kind, id, time_ns)
}

#[test]
fn events_of_one_key_and_time_are_stored_once_whatever_is_sent_again() {
    let fixture = Fixture::new();
    let options =
        RowOptions { dedup: Dedup::Off, dedup_key: vec!["id".into(), "kind".into()], ..RowOptions::default() };
    let (click, view) = ([("kind", "click")], [("kind", "view")]);
    let (one, two) = ([("id", FieldValue::String("1")), ("n", ONE)], [("id", FieldValue::String("2"))]);
    let rows = [
        event(&click, &one, 5),
        event(&click, &two, 5),
        event(&view, &one, 5),
        event(&click, &one, 6),
        event(&click, &one, 5),
    ];
    let outcome = fixture.write_with(&options, &rows).unwrap();
    assert_eq!((outcome.written, outcome.duplicates), (4, 1));
    for _ in 0..2 {
        let outcome = fixture.write_with(&options, &rows).unwrap();
        assert_eq!((outcome.written, outcome.duplicates), (0, 5));
        // From segments as well.
        fixture.engine.flush().unwrap();
    }
    // A part that is absent is a value of its own.
    let outcome =
        fixture.write_with(&options, &[event(&[], &one, 5), event(&click, &[("n", ONE)], 5), rows[0]]).unwrap();
    assert_eq!((outcome.written, outcome.duplicates), (2, 1));
    assert_eq!(fixture.rows("SELECT count(*), count(n) FROM events"), ["6,5"]);
}

#[test]
fn an_event_that_is_sent_many_times_at_once_is_stored_once() {
    let fixture = Fixture::new();
    let options = RowOptions { dedup: Dedup::Off, dedup_key: vec!["id".into()], ..RowOptions::default() };
    let ids: Vec<String> = (0..200).map(|id| id.to_string()).collect();
    let written: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    ids.chunks(20)
                        .map(|chunk| {
                            let fields: Vec<_> = chunk.iter().map(|id| [("id", FieldValue::String(id))]).collect();
                            let rows: Vec<_> = fields.iter().map(|fields| event(&[], fields, 7)).collect();
                            fixture.write_with(&options, &rows).unwrap().written
                        })
                        .sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(written, 200);
    assert_eq!(fixture.rows("SELECT count(*), count(DISTINCT id) FROM events"), ["200,200"]);
}

fn row<'a>(tags: &'a [(&'a str, &'a str)], time_ns: i64) -> Row<'a> {
    ("cpu", tags, &[("usage", ONE)], time_ns)
}

#[test]
fn series_that_are_there_go_on_when_a_tenant_may_begin_no_more() {
    let fixture = Fixture::new();
    let limits = TenantLimits { samples_per_second: 0, new_series_per_minute: 0, series_per_table: 2, series: 0 };
    let hosts = ["a", "b", "c", "d"].map(|host| [("host", host)]);
    fixture.write(&[row(&hosts[0], 1), row(&hosts[1], 1)]);
    // A writer that knows nothing yet, as after a restart.
    let quota = IngestQuota::new("public", limits);
    let writer = RowWriter::new(Arc::clone(&fixture.engine), "public", RowLimits::default(), 1 << 20);
    let fixture = Fixture { writer: writer.with_quota(quota), ..fixture };
    let all = |time_ns| hosts.each_ref().map(|host| row(host, time_ns));
    for round in 2..4 {
        let outcome = fixture.write(&all(round));
        assert_eq!(outcome.written, 2, "{round}");
        assert_eq!(reasons(&outcome), [(3, RowReason::SeriesLimit), (4, RowReason::SeriesLimit)], "{round}");
    }
    assert_eq!(fixture.rows("SELECT host, count(*) FROM cpu GROUP BY host ORDER BY host"), ["a,3", "b,3"]);
}

#[test]
fn rows_over_the_rate_of_a_tenant_are_refused_whole_and_fit_later() {
    let fixture = Fixture::new();
    let limits = TenantLimits { samples_per_second: 1, new_series_per_minute: 0, series_per_table: 0, series: 0 };
    let fixture = Fixture { writer: fixture.writer.with_quota(IngestQuota::new("public", limits)), ..fixture };
    let rows: Vec<Row<'_>> = (0..10).map(|time_ns| row(&[("host", "a")], time_ns)).collect();
    assert_eq!(fixture.write(&rows).written, 10, "ten seconds are let through at once");
    let refused = fixture.write_with(&RowOptions::default(), &rows).unwrap_err();
    assert!(matches!(refused, RowsError::Rate(_)), "{refused}");
    assert_eq!(fixture.rows("SELECT count(*) FROM cpu"), ["10"]);
}

#[test]
fn rows_that_are_not_written_cost_nothing_and_their_series_ask_again() {
    let fixture = Fixture::new();
    let limits = TenantLimits { samples_per_second: 1, new_series_per_minute: 2, series_per_table: 0, series: 0 };
    let quota = IngestQuota::new("public", limits);
    let fixture = Fixture { writer: fixture.writer.with_quota(Arc::clone(&quota)), ..fixture };
    fixture.run("CREATE TABLE cpu (time TIMESTAMP TIME, host STRING TAG, usage DOUBLE)");
    let hosts = ["a", "b", "c"].map(|host| [("host", host)]);
    let bad = ("cpu", &hosts[1][..], &[("usage", FieldValue::String("text"))][..], 1);
    // One that does not fit refuses all, or is left out alone.
    let all_or_none = RowOptions { unfit: Unfit::RefuseAll, ..RowOptions::default() };
    for _ in 0..20 {
        let outcome = fixture.write_with(&all_or_none, &[row(&hosts[0], 1), bad]).unwrap();
        assert_eq!((outcome.written, reasons(&outcome)), (0, vec![(2, RowReason::TypeConflict)]));
    }
    assert_eq!((quota.accepted_samples(), quota.series()), (0, 0));
    for time_ns in 0..5 {
        assert_eq!(fixture.write(&[row(&hosts[0], time_ns), bad]).written, 1);
    }
    assert_eq!((quota.accepted_samples(), quota.series()), (5, 1));
    assert_eq!(fixture.write(&[row(&hosts[2], 1)]).written, 1, "the second of the minute");
    // It was let in again and again and never came: it is still new.
    assert_eq!(reasons(&fixture.write(&[row(&hosts[1], 2)])), [(1, RowReason::SeriesRate)]);
    assert_eq!(fixture.write(&[row(&hosts[0], 9)]).written, 1);
}

#[test]
fn a_body_that_the_engine_does_not_take_costs_nothing() {
    let fixture = Fixture::new();
    let limits = TenantLimits { samples_per_second: 1, new_series_per_minute: 2, series_per_table: 0, series: 0 };
    let quota = IngestQuota::new("public", limits);
    let fixture = Fixture { writer: fixture.writer.with_quota(Arc::clone(&quota)), ..fixture };
    fixture.run("CREATE TABLE cpu (time TIMESTAMP TIME, host STRING TAG, usage DOUBLE)");
    let schema = fixture.writer.table("cpu").unwrap().unwrap();
    let batch = |hosts: &[&str]| {
        let times: Vec<i64> = (0..hosts.len() as i64).collect();
        let columns: [(&str, arrow::array::ArrayRef); 3] = [
            ("time", Arc::new(arrow::array::TimestampNanosecondArray::from(times))),
            ("host", Arc::new(arrow::array::StringArray::from(hosts.to_vec()))),
            ("usage", Arc::new(arrow::array::Float64Array::from(vec![1.0; hosts.len()]))),
        ];
        arrow::record_batch::RecordBatch::try_from_iter(columns).unwrap()
    };
    for _ in 0..10 {
        let refused = fixture.writer.write_batch(&schema, &batch(&["a", "b", "c"])).unwrap_err();
        assert!(matches!(&refused, RowsError::Series(fault) if fault.reason == RowReason::SeriesRate), "{refused}");
    }
    assert_eq!((quota.accepted_samples(), quota.series()), (0, 0));
    assert_eq!(fixture.writer.write_batch(&schema, &batch(&["a", "b", "a"])).unwrap().written, 3);
    assert_eq!((quota.accepted_samples(), quota.series()), (3, 2));
    fixture.run("DROP TABLE cpu");
    for _ in 0..10 {
        let gone = fixture.writer.write_batch(&schema, &batch(&["a", "a", "a"])).unwrap_err();
        assert!(matches!(gone, RowsError::Store(_)), "{gone}");
    }
    assert_eq!(quota.accepted_samples(), 3);
}
