//! Tiers in SQL: policies, moves by hand, and who may do what.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::datatypes::UInt64Type;
use lynxstore_storage::engine::{Engine, EngineOptions};
use lynxstore_storage::types::{Setting, Tier};

use super::tests::lines;
use crate::{Error, NamespaceAccess, QueryEngine, QueryOptions};

const DAY_NS: i64 = 86_400_000_000_000;

fn open(dir: &tempfile::TempDir) -> (Arc<Engine>, QueryEngine) {
    let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
    let query = QueryEngine::new(Arc::clone(&engine), QueryOptions::default());
    (engine, query)
}

#[test]
fn a_moved_partition_gives_the_same_rows_and_the_statement_says_what_it_moved() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, query) = open(&dir);
    let run = |sql: &str| query.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    run("CREATE TABLE cpu (time TIMESTAMP TIME, host TEXT TAG, usage DOUBLE, note TEXT)");
    run(
        "INSERT INTO cpu VALUES ('2026-01-01', 'a', 1.5, 'x'), ('2026-01-01 06:00:00', 'b', NULL, NULL), ('2026-01-02', 'a', 2.5, 'y')",
    );
    let select = "SELECT time, host, usage, note FROM cpu ORDER BY time";
    let before = lines(&run(select));
    let moved = run("ALTER TABLE cpu MOVE PARTITION '2026-01-01 12:00:00' TO 'warm'");
    let text = lines(&moved).join("\n");
    assert!(text.starts_with("cpu|2026-01-01T00:00:00|warm|2|"), "{text}");
    assert!(moved.batches[0].column(5).as_primitive::<UInt64Type>().value(0) > 0, "{text}");
    assert_eq!(lines(&run(select)), before);
    let tiers = |tier| engine.tiers().iter().filter(|info| info.tier == tier).map(|info| info.rows).sum::<u64>();
    assert_eq!((tiers(Tier::Warm), tiers(Tier::Hot)), (2, 1));
    let again = lines(&run("ALTER TABLE cpu MOVE PARTITION '2026-01-01' TO 'warm'")).join("\n");
    assert!(again.ends_with("|warm|0|0|0"), "{again}");
    for (sql, part) in [
        ("ALTER TABLE cpu MOVE PARTITION '2020-01-01' TO 'warm'", "system.partitions"),
        ("ALTER TABLE cpu MOVE PARTITION '2026-01-01' TO 'cold'", "cannot write cold partitions"),
    ] {
        let message = query.execute(sql).unwrap_err().to_string();
        assert!(message.contains(part), "{sql}: {message}");
    }
}

#[test]
fn policies_are_changed_together_and_survive_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, query) = open(&dir);
    let run = |sql: &str| query.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    run("CREATE TABLE t (time TIMESTAMP TIME, v DOUBLE) WITH (hot_for = '7d', warm_for = '90d', drop_after = '5y')");
    // Each alone would make warm_for shorter than hot_for.
    run("ALTER TABLE t SET (hot_for = '100d', warm_for = '1y')");
    run("CREATE TABLE u (time TIMESTAMP TIME, v DOUBLE)");
    run("ALTER DATABASE SET (hot_for = '30d')");
    run("ALTER NAMESPACE public SET (hot_for = '20d')");
    engine.close().unwrap();
    drop((query, engine));
    let (engine, query) = open(&dir);
    let table = engine.table("public", "t").unwrap();
    assert_eq!(table.options.retention_ns, Some(5 * 365 * DAY_NS));
    let policy = engine.tier_policy(&table);
    assert_eq!(policy.hot_for_ns, Setting::Set(100 * DAY_NS));
    assert_eq!(policy.warm_for_ns, Setting::Set(365 * DAY_NS));
    let other = engine.table("public", "u").unwrap();
    assert_eq!(engine.tier_policy(&other).hot_for_ns, Setting::Set(20 * DAY_NS));
    query.execute("ALTER NAMESPACE public RESET (hot_for)").unwrap();
    assert_eq!(engine.tier_policy(&other).hot_for_ns, Setting::Set(30 * DAY_NS));
    let refused = query.execute("ALTER DATABASE SET (cold = 's3://bucket/all')").unwrap_err();
    assert!(refused.to_string().contains("leave out the option 'cold'"), "{refused}");
}

#[test]
fn a_tenant_decides_on_its_own_namespace_and_not_where_cold_rows_go() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, query) = open(&dir);
    let tenant = query.with_options(QueryOptions {
        namespace: "a".into(),
        namespace_access: NamespaceAccess::Own,
        ..QueryOptions::default()
    });
    tenant.execute("ALTER NAMESPACE a SET (hot_for = '7d')").unwrap();
    tenant.execute("CREATE TABLE t (time TIMESTAMP TIME, v DOUBLE) WITH (hot_for = '1d', cold = 'off')").unwrap();
    for sql in [
        "ALTER NAMESPACE b SET (hot_for = '7d')",
        "ALTER DATABASE SET (hot_for = '7d')",
        "ALTER NAMESPACE a SET (cold = 'file:///etc')",
        "ALTER TABLE t SET (cold = 'file:///etc')",
        "CREATE TABLE u (time TIMESTAMP TIME, v DOUBLE) WITH (cold = 's3://elsewhere/x')",
    ] {
        assert!(matches!(tenant.execute(sql), Err(Error::AccessDenied { .. })), "{sql}");
    }
}
