//! What scans say of their rows is used, and the answers are those of the rows.

use std::sync::Arc;

use super::test_fixture::{Fixture, fixture, lines, write_cpu};
use crate::{QueryEngine, QueryOptions};

/// Whether the plan of a statement has an operator.
fn has(fixture: &Fixture, sql: &str, operator: &str) -> bool {
    fixture.explain(sql).contains(operator)
}

#[test]
fn counts_and_bounds_of_rows_at_rest_need_no_scan() {
    let fixture = fixture();
    let sql = "select count(*), count(time), count(region), count(load), min(time), max(time) from cpu";
    let answer = "12000,12000,9000,10800,2026-01-01T00:00:00,2026-01-03T01:59:00";
    assert!(has(&fixture, sql, "SeriesScanExec"), "half of the rows are in memory");
    assert_eq!(fixture.one(sql), answer);
    fixture.engine.flush().unwrap();
    assert!(!has(&fixture, sql, "SeriesScanExec"), "{}", fixture.explain(sql));
    assert_eq!(fixture.one(sql), answer);
    assert!(fixture.explain("select host, time from cpu").contains("rows=12000"));
    // A part of a regular series and one tag are known too, conditions on fields are not.
    let part = "select count(*) from cpu where host = 'host_1' and time >= '2026-01-01T00:10:30Z'";
    assert!(!has(&fixture, part, "SeriesScanExec"), "{}", fixture.explain(part));
    assert_eq!(fixture.one(part), "2989");
    assert!(has(&fixture, "select count(*) from cpu where usage > 100", "SeriesScanExec"));
    // The same rows again: which of them stay is known once they are merged.
    write_cpu(&fixture.engine, 100..200);
    fixture.engine.flush().unwrap();
    assert!(has(&fixture, sql, "SeriesScanExec"));
    assert_eq!(fixture.one(sql), answer);
    fixture.engine.compact().unwrap();
    assert!(!has(&fixture, sql, "SeriesScanExec"));
    assert_eq!(fixture.one(sql), answer);
}

#[test]
fn a_limit_is_known_only_where_one_partition_has_it() {
    let fixture = fixture();
    fixture.engine.flush().unwrap();
    assert_eq!(fixture.one("select count(*) from (select usage from cpu limit 7) s"), "7");
    assert_eq!(fixture.one("select count(*) from (select usage from cpu limit 5000 offset 11990) s"), "10");
    assert_eq!(fixture.one("select count(*) from (select usage from cpu where host = 'host_1' limit 20) s"), "20");
}

/// Asserts that the rows of a statement that begin with its sort keys are sorted, as text in which NULL is empty.
fn assert_sorted(fixture: &Fixture, columns: &str, condition: &str, order: &str) {
    let mut expected = fixture.text(&format!("select {columns} from cpu where {condition}"));
    expected.sort_unstable();
    let found = fixture.text(&format!("select {columns} from cpu where {condition} order by {order}"));
    assert!(found == expected, "{condition}: by {order}");
}

#[test]
fn a_sort_that_the_scan_has_done_vanishes() {
    let cases = [
        ("time, usage", "host = 'host_1'", "time", "one series"),
        ("time, host, usage", "host = 'host_1'", "time, host", "a tag of one value orders nothing"),
        ("host, region, time", "true", "host, region nulls first, time", "all tags and the time"),
        ("host, region, time", "region is not null", "host, region, time", "no NULL is there"),
        ("host, time", "region = 'us'", "host, time", "the other tag has one value"),
        ("host", "host < 'host_3'", "host", "only the first tag is asked for"),
    ];
    let others = [
        ("time, host", "true", "time, host", "series follow each other"),
        ("region, time", "true", "region nulls first, time", "the first tag is left out"),
        ("host, time", "region is not null", "host, time", "a tag in between is left out"),
        ("host, region, time", "true", "host desc, region, time", "the order is another"),
    ];
    let fixture = fixture();
    for state in 0..3 {
        for (columns, condition, order, why) in cases {
            let sql = format!("select {columns} from cpu where {condition} order by {order}");
            assert!(!has(&fixture, &sql, "SortExec"), "{state}, {why}: {}", fixture.explain(&sql));
            assert_sorted(&fixture, columns, condition, order);
        }
        for (columns, condition, order, why) in others {
            let sql = format!("select {columns} from cpu where {condition} order by {order}");
            assert!(has(&fixture, &sql, "SortExec"), "{state}, {why}: {}", fixture.explain(&sql));
        }
        // Late rows and duplicates, first in memory and then in a segment beside the others.
        match state {
            0 => write_cpu(&fixture.engine, 700..2_200),
            _ => fixture.engine.flush().unwrap(),
        }
    }
}

#[test]
fn windows_over_series_need_no_sort() {
    let fixture = fixture();
    let sql = "select sum(d) from (select usage - lag(usage) over (partition by host order by time) d from cpu \
               where host = 'host_2') s";
    assert!(!has(&fixture, sql, "SortExec"), "{}", fixture.explain(sql));
    assert_eq!(fixture.one(sql), "29990");
}

/// The whole engine: ASOF joins are syntax that its parser knows.
fn query(fixture: &Fixture) -> QueryEngine {
    QueryEngine::new(Arc::clone(&fixture.engine), QueryOptions { threads: 2, ..QueryOptions::default() })
}

fn text(query: &QueryEngine, sql: &str) -> Vec<String> {
    lines(&query.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).batches)
}

fn one(query: &QueryEngine, sql: &str) -> String {
    text(query, sql).join(";")
}

fn explain(query: &QueryEngine, sql: &str) -> String {
    text(query, &format!("EXPLAIN {sql}")).join("\n")
}

#[test]
fn an_asof_join_sorts_only_what_comes_in_another_order() {
    let fixture = fixture();
    let query = query(&fixture);
    let sorts = |sql: &str| explain(&query, sql).matches("SortExec").count();
    let join = |condition: &str| {
        format!(
            "select count(*), sum(c.usage), max(h.\"Owner\") from cpu c asof join \"Hosts\" h on c.host = h.host \
             and c.time >= h.time where {condition}"
        )
    };
    let (one_region, all) = (join("c.region = 'us'"), join("true"));
    assert_eq!(sorts(&one_region), 0, "{}", explain(&query, &one_region));
    assert_eq!(one(&query, &one_region), "3000,44988000,ann");
    // Two tags order the rows of cpu, so those of a host are not in the order of time as far as is known.
    assert_eq!(sorts(&all), 1, "{}", explain(&query, &all));
    assert_eq!(one(&query, &all), "6000,89979000,bob");
    // A filter that stays above the scan, and rows that are late and doubled.
    let filtered = join("c.region = 'us' and c.usage % 2 = 1");
    write_cpu(&fixture.engine, 700..2_200);
    assert_eq!(sorts(&filtered), 0, "{}", explain(&query, &filtered));
    assert_eq!(one(&query, &filtered), "3000,44988000,ann");
    // Without keys there is one order, that of time, which only one series has.
    let by_time = "select count(*) from (select * from cpu where host = 'host_1') c asof join (select * from cpu where \
                   host = 'host_2') d on c.time >= d.time";
    assert_eq!(sorts(by_time), 0, "{}", explain(&query, by_time));
    assert_eq!(one(&query, by_time), "3000");
}

#[test]
fn the_left_side_of_an_asof_join_keeps_its_order() {
    let fixture = fixture();
    let query = query(&fixture);
    let sql = "select c.host, c.time from (select * from cpu where region = 'us') c asof join \"Hosts\" h \
               on c.host = h.host and c.time >= h.time order by c.host, c.time";
    assert!(!explain(&query, sql).contains("SortExec"), "{}", explain(&query, sql));
    let rows = text(&query, sql);
    assert!(rows.len() == 3_000 && rows.is_sorted());
}
