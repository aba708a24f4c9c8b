//! Aggregates inside general statements are served by the vectorized executor, and nothing else is.

use super::test_fixture::fixture;

#[test]
fn aggregates_in_ctes_subqueries_and_unions_are_our_operator() {
    let fixture = fixture();
    for (sql, operators) in [
        (
            "with h as (select time_bucket('1h', time) as b, host, avg(usage) as a from cpu group by 1, 2) \
             select h.host, max(h.a) from h join \"Hosts\" o on h.host = o.host group by h.host",
            1,
        ),
        ("select max(m) from (select host, max(usage) as m from cpu group by host) q", 1),
        ("select count(*) from cpu union all select max(usage) from cpu where host = 'host_1'", 2),
        ("select usage from cpu where usage = (select max(usage) from cpu)", 1),
        ("select count(*) from cpu where host in (select host from cpu group by host having max(usage) > 29991)", 1),
        ("select host, a, rank() over (order by a) from (select host, avg(usage) as a from cpu group by host) q", 1),
    ] {
        let plan = fixture.explain(sql);
        assert_eq!(plan.matches("LynxAggregateExec").count(), operators, "{sql}\n{plan}");
        assert!(fixture.try_run(sql).is_ok(), "{sql}");
    }
    let owners = "with h as (select host, count(*) as n from cpu group by host) \
                  select \"Owner\", n from h join \"Hosts\" o on h.host = o.host order by 1";
    assert_eq!(fixture.text(owners), ["ann,3000", "bob,3000"]);
}

#[test]
fn what_is_hidden_correlated_or_nameless_stays_with_datafusion() {
    let fixture = fixture();
    for sql in [
        // The inner name is that of the CTE.
        "with cpu as (select 1 as usage) select * from (select sum(usage) as s from cpu) q",
        "select (select max(c.usage) from cpu c where c.host = o.host) from \"Hosts\" o",
        "select \"count(*)\" from (select count(*) from cpu) q",
        "select count(*) from (select usage from cpu where usage > 7) q",
    ] {
        let plan = fixture.explain(sql);
        assert!(!plan.contains("LynxAggregateExec"), "{sql}\n{plan}");
        assert!(fixture.try_run(sql).is_ok(), "{sql}");
    }
    assert_eq!(fixture.one("with cpu as (select 1 as usage) select * from (select sum(usage) as s from cpu) q"), "1");
}

#[test]
fn conditions_around_a_served_query_narrow_what_it_reads() {
    let fixture = fixture();
    let hourly = "(select time_bucket('1h', time) as b, host, count(*) as n from cpu group by 1, 2) q";
    for (condition, rows) in [
        ("host = 'host_1'", 50),
        ("host in ('host_0', 'host_3')", 100),
        ("b >= '2026-01-02T02:00:00'", 96),
        ("b < '2026-01-01T00:30:00'", 4),
        ("b = '2026-01-01T03:00:00'", 4),
        ("b = '2026-01-01T03:30:00'", 0),
    ] {
        let sql = format!("select count(*), min(n), max(n) from {hourly} where {condition}");
        let plan = fixture.explain(&sql);
        assert!(plan.contains("LynxAggregateExec") && plan.contains("filters=["), "{condition}\n{plan}");
        let bounds = if rows == 0 { "0,,".to_owned() } else { format!("{rows},60,60") };
        assert_eq!(fixture.one(&sql), bounds, "{condition}");
    }
    // Other rows would be the first three.
    let limited =
        "select * from (select host, count(*) as n from cpu group by 1 order by 1 limit 3) q where host = 'host_3'";
    assert!(fixture.text(limited).is_empty());
}
