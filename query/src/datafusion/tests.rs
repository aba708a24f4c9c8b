use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema};

use super::run::run_each;
use super::test_fixture::{HOSTS, MINUTE_NS, ROWS_PER_HOST, START_NS, fixture, lines};
use super::*;
use crate::cancellation::Cancellation;
use crate::error::Error;
use crate::files::{FileError, FileFormat, WriteOptions};
use crate::memory::MemoryAccount;
use crate::options::{FileAccess, QueryOptions};
use crate::output::ResultPart;
use crate::output::Route;
use crate::scalar::Scalar;
use crate::statement::QueryEngine;

#[test]
fn every_row_of_segment_and_memory_is_scanned_once() {
    let fixture = fixture();
    let expected =
        format!("{},{},{}", HOSTS * ROWS_PER_HOST, 4, (0..ROWS_PER_HOST).filter(|r| r % 10 != 0).count() * 4);
    assert_eq!(fixture.one("select count(*), count(distinct host), count(load) from cpu"), expected);
    let sums: usize = (0..ROWS_PER_HOST).flat_map(|row| (0..HOSTS).map(move |host| row * 10 + host)).sum();
    assert_eq!(fixture.one("select sum(usage) from cpu"), sums.to_string());
    assert_eq!(fixture.one("select max(total), min(total) from cpu"), format!("{},{}", u64::MAX, u64::MAX - 2999));
}

#[test]
fn columns_keep_the_types_of_the_table() {
    let fixture = fixture();
    let rows = fixture.try_run("select * from cpu limit 5").unwrap();
    assert_eq!(rows.schema.fields(), fixture.engine.table("public", "cpu").unwrap().arrow_schema().fields());
    assert_eq!(rows.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    let rows = fixture.try_run("select host, region from cpu where host = 'host_3' and usage = 13").unwrap();
    let tags = rows.batches[0].column(1).as_dictionary::<Int32Type>();
    assert_eq!(rows.batches[0].column(0).data_type(), tags.data_type());
    assert!(tags.is_null(0));
}

#[test]
fn joins_subqueries_ctes_windows_and_unions_run() {
    let fixture = fixture();
    assert_eq!(
        fixture
            .text(r#"select h."Owner", count(*) n from cpu c join "Hosts" h on c.host = h.host group by 1 order by 1"#),
        ["ann,3000", "bob,3000"]
    );
    assert_eq!(fixture.one(r#"select count(*) from cpu where host not in (select host from "Hosts")"#), "6000");
    assert_eq!(
        fixture.one("with m as (select host, max(usage) u from cpu group by host) select max(u) - min(u) from m"),
        "3"
    );
    assert_eq!(
        fixture.text(
            "select usage, usage - lag(usage) over (partition by host order by time) d from cpu \
             where host = 'host_1' order by time limit 2"
        ),
        ["1,", "11,10"]
    );
    assert_eq!(
        fixture.text("select 'a' x, count(*) from cpu where region = 'eu' union all select 'b', count(*) from cpu where region is null order by x"),
        ["a,6000", "b,3000"]
    );
    assert_eq!(
        fixture.one("select count(*) from cpu a where usage = (select max(usage) from cpu b where b.host = a.host)"),
        "4"
    );
}

#[test]
fn names_fold_to_lower_case_unless_quoted() {
    let fixture = fixture();
    assert_eq!(fixture.one("SELECT Count(*) FROM CPU"), "12000");
    assert_eq!(fixture.one(r#"select count("Owner") from public."Hosts""#), "2");
    let message = fixture.error(r#"select * from "HOSTS""#).to_string();
    assert!(message.contains("'HOSTS' does not exist"), "{message}");
}

#[test]
fn names_that_exist_only_as_written_are_found() {
    let fixture = fixture();
    assert_eq!(fixture.text("select Owner o from Hosts where Hosts.Owner > 'ann' order by o"), ["bob"]);
    assert_eq!(fixture.one("select count(h.Owner) from CPU c join public.Hosts h on C.host = H.host"), "6000");
    assert_eq!(fixture.one("with x as (select Owner from Hosts) select count(*) from X"), "2");
}

#[test]
fn first_and_last_of_one_argument_go_by_the_time_column() {
    let fixture = fixture();
    assert_eq!(fixture.one("select first(usage), last(usage) from cpu where host = 'host_1'"), "1,29991");
    assert_eq!(fixture.one("select last(u) from (select time, usage u from cpu where host = 'host_2') x"), "29992");
}

#[test]
fn tag_and_time_filters_are_taken_over_exactly() {
    let fixture = fixture();
    let cases = [
        ("host = 'host_1'", 3000, 1),
        ("'host_1' = host", 3000, 1),
        ("host in ('host_0', 'host_2', 'none')", 6000, 2),
        ("host not in ('host_0', 'host_2')", 6000, 2),
        ("host like '%_3' or host = 'host_0'", 6000, 2),
        ("region is null", 3000, 1),
        ("region is distinct from 'eu'", 6000, 2),
        ("coalesce(region, 'x') = 'x'", 3000, 1),
        ("upper(region) = 'EU' and host > 'host_0'", 3000, 1),
        ("host = 'host_1' and time >= '2026-01-01T00:10:00Z' and time < '2026-01-01T00:20:00Z'", 10, 1),
        ("time between '2026-01-01 00:00:00' and '2026-01-01 00:01:00'", 8, 4),
        ("time = timestamp '2026-01-03 01:59:00'", 4, 4),
        ("time > '2099-01-01'", 0, 0),
        ("time < timestamp '2026-01-01' + interval '1 minute' and host <> 'host_2'", 3, 3),
    ];
    for (condition, rows, series) in cases {
        let plan = fixture.explain(&format!("select host, usage from cpu where {condition}"));
        assert!(!plan.contains("FilterExec"), "{condition}: {plan}");
        assert!(plan.contains(&format!("series={series},")), "{condition}: {plan}");
        assert_eq!(
            fixture.one(&format!("select count(*) from cpu where {condition}")),
            rows.to_string(),
            "{condition}"
        );
    }
}

#[test]
fn field_filters_skip_and_are_checked_again() {
    let fixture = fixture();
    let cases = [
        ("usage >= 29990", 4),
        ("usage = 15", 0),
        ("load > 1498.5", 2),
        ("load is null", 1200),
        ("total > 18446744073709551614", 4),
        ("usage < 10 and region = 'us'", 1),
        ("note = 'n6' and usage < 100", 4),
        ("usage + 1 = 1", 1),
    ];
    for (condition, rows) in cases {
        assert_eq!(
            fixture.one(&format!("select count(*) from cpu where {condition}")),
            rows.to_string(),
            "{condition}"
        );
        assert!(fixture.explain(&format!("select time from cpu where {condition}")).contains("FilterExec"));
    }
}

#[test]
fn a_limit_reaches_the_scan_only_without_other_filters() {
    let fixture = fixture();
    assert!(fixture.explain("select * from cpu where host = 'host_1' limit 7").contains("fetch=7"));
    assert_eq!(fixture.text("select usage from cpu where host = 'host_1' limit 7").len(), 7);
    assert_eq!(fixture.text("select usage from cpu where usage > 20000 limit 7").len(), 7);
    assert_eq!(fixture.text("select usage from cpu order by usage desc limit 3 offset 1"), ["29992", "29991", "29990"]);
}

#[test]
fn time_bucket_cuts_like_the_vectorized_one() {
    let fixture = fixture();
    assert_eq!(
        fixture.text(
            "select time_bucket('1 day', time) b, count(*) n from cpu where host = 'host_0' group by 1 order by 1"
        ),
        ["2026-01-01T00:00:00,1440", "2026-01-02T00:00:00,1440", "2026-01-03T00:00:00,120"]
    );
    let one = |call: &str| fixture.one(&format!("select {call}"));
    assert_eq!(one("time_bucket(interval '5 minutes', timestamp '2026-01-01 00:07:00')"), "2026-01-01T00:05:00");
    assert_eq!(one("time_bucket('1 month', '2026-02-17T10:00:00Z')"), "2026-02-01T00:00:00");
    assert_eq!(
        one("time_bucket('1h', timestamp '2026-01-01 00:07:00', timestamp '2026-01-01 00:05:00')"),
        "2026-01-01T00:05:00"
    );
    assert_eq!(one("time_bucket('1h', null)"), "");
    assert!(matches!(fixture.error("select time_bucket('0s', time) from cpu"), Error::Plan { .. }));
    assert!(matches!(fixture.error("select time_bucket(5, time) from cpu"), Error::Plan { .. }));
}

#[test]
fn first_and_last_follow_time_and_skip_nulls() {
    let fixture = fixture();
    // Row 0 has no load, row 2999 has.
    assert_eq!(
        fixture.text("select host, first(load, time), last(load, time), last(note, time) from cpu group by host order by host limit 2"),
        ["host_0,0.5,1499.5,n3", "host_1,-0.5,1498.5,n3"]
    );
    // All hosts share every time: the smallest of the first and the largest of the last.
    assert_eq!(
        fixture.one("select first(usage, time), last(usage, time), last(host, time) from cpu"),
        "0,29993,host_3"
    );
    assert_eq!(fixture.one("select first(usage, time) from cpu where usage < 0"), "");
    assert_eq!(fixture.one("select last(usage, time) filter (where usage < 50) from cpu where host = 'host_0'"), "40");
    assert_eq!(
        fixture.text(
            "select time_bucket('1 day', time) b, last(usage, time) filter (where host <> 'host_3') from cpu \
             group by 1 order by 1"
        ),
        ["2026-01-01T00:00:00,14392", "2026-01-02T00:00:00,28792", "2026-01-03T00:00:00,29992"]
    );
    let window = "select last(usage, time) over (order by usage rows between unbounded preceding and current row) \
                  from cpu where host = 'host_0' order by time limit 2";
    assert_eq!(fixture.text(window), ["0", "10"]);
}

#[test]
fn parameters_stand_for_values() {
    let fixture = fixture();
    let params = [Scalar::from("host_2"), Scalar::Time(START_NS + MINUTE_NS)];
    let sql = "select sum(usage) from cpu where host = $1 and time <= $2";
    let rows =
        run(&fixture.engine.snapshot(), SqlInput::Text(sql.into()), &params, &fixture.options, &Cancellation::new());
    assert_eq!(rows.unwrap().batches[0].column(0).as_primitive::<Int64Type>().value(0), 14);
}

#[test]
fn a_parsed_query_runs_like_its_text() {
    let fixture = fixture();
    let crate::sql::Statement::Query(query) =
        crate::sql::parse_statement("select count(*) from cpu", &Default::default()).unwrap()
    else {
        panic!("this is a query");
    };
    let snapshot = fixture.engine.snapshot();
    let rows = run(&snapshot, SqlInput::Query(query), &[], &fixture.options, &Cancellation::new()).unwrap();
    assert_eq!(rows.batches[0].column(0).as_primitive::<Int64Type>().value(0), 12_000);
}

#[test]
fn files_are_tables_when_access_is_allowed() {
    let mut fixture = fixture();
    let dir = fixture.dir.path().display().to_string();
    std::fs::write(format!("{dir}/a.csv"), "host,w,at\nhost_0,2,2026-01-01\nhost_1,3.5,2026-01-02\n").unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("host", Arc::new(["host_2", "host_3"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("w", Arc::new(Int64Array::from(vec![Some(7), None]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    for name in ["p1.parquet", "p2.parquet", "q.pq"] {
        let path = fixture.dir.path().join(name);
        let batches = [Ok::<_, FileError>(batch.clone())];
        crate::files::write(&path, FileFormat::Parquet, WriteOptions::default(), &batch.schema(), batches).unwrap();
    }
    std::fs::write(format!("{dir}/a.csv.gz"), "x").unwrap();
    let csv = format!("select sum(w), max(at) from '{dir}/a.csv'");
    assert!(matches!(fixture.error(&csv), Error::FileAccessDenied { path } if path.ends_with("a.csv")));
    fixture.options.file_access = FileAccess::Allowed;
    assert_eq!(fixture.one(&csv), "5.5,2026-01-02T00:00:00");
    assert_eq!(fixture.one(&format!("select count(*), count(w), sum(w) from '{dir}/p*.parquet'")), "4,2,14");
    assert_eq!(fixture.one(&format!("select w from '{dir}/q.pq' where host = 'host_2'")), "7");
    assert_eq!(
        fixture.one(&format!("select count(*) from cpu c join '{dir}/a.csv' f on c.host = f.host where f.w > 3")),
        "3000"
    );
    assert_eq!(fixture.text(&format!("select host from '{dir}/a.csv' limit 1")), ["host_0"]);
    let rows = fixture.try_run(&format!("select host from '{dir}/p1.parquet'")).unwrap();
    assert!(matches!(rows.schema.field(0).data_type(), DataType::Dictionary(..)));
    for (name, expected) in [("none.csv", "no such file"), ("a.csv.gz", "unpack"), ("none-*.parquet", "no such file")] {
        let error = fixture.error(&format!("select * from '{dir}/{name}'"));
        assert!(matches!(&error, Error::File { message, .. } if message.contains(expected)), "{error}");
    }
}

#[test]
fn statements_that_change_something_are_refused() {
    let fixture = fixture();
    for sql in [
        "create view v as select 1",
        "create external table t stored as csv location '/tmp/x.csv'",
        "insert into cpu select * from cpu",
        "copy cpu to '/tmp/x.parquet'",
        "set datafusion.execution.batch_size = 1",
        "drop table cpu",
    ] {
        let error = fixture.error(sql);
        assert!(matches!(error, Error::Unsupported { .. }), "{sql}: {error:?}");
    }
    assert!(fixture.text("explain select 1").len() > 1);
}

#[test]
fn errors_keep_their_kind() {
    let fixture = fixture();
    assert!(matches!(fixture.error("selec"), Error::Parse { .. }));
    let Error::Plan { message } = fixture.error("select nope from cpu") else { panic!("a plan error") };
    assert!(message.contains("nope") && message.contains("usage"), "{message}");
    assert!(matches!(
        fixture.error("select * from missing"),
        Error::Storage(lynxstore_storage::Error::TableNotFound { .. })
    ));
    assert!(matches!(fixture.error("select usage / 0 from cpu"), Error::Execution { .. }));
    assert!(matches!(fixture.error("select cast(note as int) from cpu"), Error::Execution { .. }));
    // The cast is not evaluated on tags that the other condition excludes.
    assert_eq!(fixture.one("select count(*) from cpu where region = 'mars' and cast(host as int) = 1"), "0");
}

#[test]
fn limits_on_rows_and_memory_hold() {
    let mut fixture = fixture();
    fixture.options.rows_out_max = 100;
    assert!(matches!(fixture.error("select usage from cpu order by usage"), Error::LimitExceeded { limit: 100, .. }));
    fixture.options.memory = MemoryAccount::new(20_000);
    let error = fixture.error("select note, usage, count(*) from cpu group by 1, 2 having count(*) > 5");
    assert!(matches!(&error, Error::LimitExceeded { limit: 20_000, .. }), "{error:?}");
}

#[test]
fn a_cancelled_statement_stops() {
    let fixture = fixture();
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let sql = SqlInput::Text("select * from cpu".into());
    let result = run(&fixture.engine.snapshot(), sql, &[], &fixture.options, &cancellation);
    assert!(matches!(result, Err(Error::Cancelled)));
}

#[test]
fn a_statement_without_rows_yet_can_be_cancelled() {
    let fixture = fixture();
    let cancellation = Cancellation::new();
    let from_elsewhere = cancellation.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        from_elsewhere.cancel();
    });
    // 12,000 to the third: no end in sight.
    let sql = SqlInput::Text("select count(*) from cpu a, cpu b, cpu c where a.usage + b.usage <> c.usage".into());
    let result = run(&fixture.engine.snapshot(), sql, &[], &fixture.options, &cancellation);
    assert!(matches!(result, Err(Error::Cancelled)));
    canceller.join().unwrap();
}

#[test]
fn a_caller_inside_a_runtime_may_block_on_it() {
    let fixture = fixture();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let count = runtime.block_on(async { fixture.one("select count(*) from cpu") });
    assert_eq!(count, "12000");
}

#[test]
fn a_sink_that_fails_ends_the_statement() {
    let fixture = fixture();
    let sql = SqlInput::Text("select a.usage from cpu a cross join cpu b".into());
    let mut batches = 0;
    let result = run_each(&fixture.engine.snapshot(), sql, &[], &fixture.options, &Cancellation::new(), |part| {
        batches += u32::from(matches!(part, ResultPart::Rows(_)));
        if batches == 3 { Err(Error::execution("enough")) } else { Ok(()) }
    });
    assert!(matches!(result, Err(Error::Execution { message }) if message == "enough"));
}

#[test]
fn both_routes_give_the_same_answer() {
    let fixture = fixture();
    let engine = QueryEngine::new(Arc::clone(&fixture.engine), QueryOptions::default());
    let queries = [
        "select * from cpu where host = 'host_1' and time < '2026-01-01T00:20:00Z' order by time",
        "select time, host, load from cpu where load > 1490 order by time, host",
        "select count(*), count(load), sum(usage), min(load), max(total), avg(load) from cpu",
        "select host, region, max(usage), avg(usage), sum(load) from cpu group by host, region order by host",
        "select time_bucket('6 hours', time) t, region, count(*), sum(usage) from cpu group by 1, 2 order by 1, 2",
        "select date_bin(interval '1 day', time) t, max(load) from cpu where region = 'eu' group by 1 order by 1",
        "select date_trunc('hour', time) t, min(usage) from cpu where time >= '2026-01-02' group by 1 order by 1 limit 5",
        "select time_bucket('1 month', time) t, last(usage, time), first(note, time) from cpu where host = 'host_0' group by 1",
        "select host, last(load), first(load) from cpu group by host order by host desc",
        "select distinct region from cpu order by region",
        "select region, count(*) n from cpu group by region having count(*) > 3000 order by n",
        "select host, usage % 7 m, count(*) from cpu where usage between 10 and 500 group by host, m order by host, m",
        "select usage * 2 + 1, load / 2, -usage, total from cpu where host <> 'host_0' order by usage desc limit 7 offset 2",
        "select count(*) from cpu where host like 'host_%' and region is not null and note in ('n1', 'n2')",
        "select count(*) from cpu where load is null or usage < 100",
        "select upper(host), length(note), coalesce(region, '-') from cpu where usage = 13",
        "select stddev(usage), stddev_pop(usage) from cpu where host = 'host_2' and usage < 100",
        "select case when usage < 15000 then 'low' else 'high' end c, count(*) from cpu group by c order by c",
        "select host from cpu where usage = 29993 or (region = 'us' and usage = 1) order by host",
        "select min(time), max(time) from cpu where load is not null",
        "select sum(usage) from cpu where host = 'none'",
        "select round(avg(load), 2), abs(min(load)), floor(max(load)) from cpu",
        "select usage, load from cpu order by load nulls first, usage limit 4",
        "select usage, load from cpu order by load desc, usage desc limit 4",
    ];
    for sql in queries {
        let ours = engine.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(ours.route, Route::Vectorized, "{sql}");
        let theirs = fixture.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(lines(&ours.batches), lines(&theirs.batches), "{sql}");
        assert_eq!(types_of(&ours.schema), types_of(&theirs.schema), "{sql}");
    }
}

/// Types of the columns, text in dictionaries as text: DataFusion keeps the dictionary of a tag through functions.
fn types_of(schema: &Schema) -> Vec<DataType> {
    let decoded = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        other => other.clone(),
    };
    schema.fields().iter().map(|field| decoded(field.data_type())).collect()
}

#[test]
fn statements_beyond_the_vectorized_executor_take_this_route() {
    let fixture = fixture();
    let options = QueryOptions { rows_out_max: 10, ..QueryOptions::default() };
    let engine = QueryEngine::new(Arc::clone(&fixture.engine), options);
    let output = engine.execute("select h.Owner from Hosts h join cpu c on c.host = h.host group by 1 order by 1");
    let output = output.unwrap();
    assert_eq!((output.route, lines(&output.batches)), (Route::DataFusion, vec!["ann".to_owned(), "bob".to_owned()]));
    let many = engine.execute("select a.usage from cpu a join cpu b on a.time = b.time");
    assert!(matches!(many, Err(Error::LimitExceeded { .. })));
    let prepared =
        engine.prepare("select count(*) from cpu a join cpu b on a.time = b.time where a.host = $1").unwrap();
    assert_eq!(lines(&prepared.execute(&[Scalar::from("host_1")]).unwrap().batches), ["12000"]);
    let denied = engine.execute("select * from 'x.csv'");
    assert!(matches!(denied, Err(Error::FileAccessDenied { .. })), "{denied:?}");
}

#[test]
fn a_strict_bound_with_its_constant_first_stays_strict() {
    let fixture = fixture();
    let one = |sql: &str| lines(&fixture.try_run(sql).unwrap().batches).remove(0);
    let first = one("select min(time) from cpu");
    let count = |condition: &str| one(&format!("select count(*) from cpu where {condition}"));
    assert_eq!(count(&format!("time >= '{first}' and '{first}' < time")), count(&format!("time > '{first}'")));
    assert_eq!(count(&format!("time <= '{first}' and '{first}' > time")), "0");
}

#[test]
fn distinct_floats_are_ordered_and_limited() {
    let fixture = fixture();
    let values = "(values ('nan'::double), (0.0), (-0.0), (1.0), (-1.0), (2.0), (-2.0), (3.0), (-3.0)) as v(x)";
    for (direction, expected) in [("asc", ["-3.0", "-2.0"]), ("desc", ["NaN", "3.0"])] {
        let sql = format!("select distinct x from {values} order by x {direction} limit 2");
        assert_eq!(lines(&fixture.try_run(&sql).unwrap().batches), expected, "{sql}");
    }
}
