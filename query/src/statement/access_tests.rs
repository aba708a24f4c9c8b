//! What options keep statements from: other namespaces, and more than they may do.

use std::sync::Arc;

use lynxstore_storage::engine::{Engine, EngineOptions};

#[cfg(feature = "datafusion")]
use crate::SystemAccess;
use crate::{Error, NamespaceAccess, QueryEngine, QueryOptions, StatementAccess};

/// An engine with the table `t` in the namespaces `a` and `b`, and the table `only_b` in `b`; `a` as its tenant sees it.
fn two_tenants(dir: &tempfile::TempDir) -> [QueryEngine; 2] {
    let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
    let all = QueryEngine::new(engine, QueryOptions::default());
    ["a", "b"].map(|namespace| {
        all.execute(&format!("CREATE TABLE {namespace}.t (time TIMESTAMP, host TEXT TAG, owner TEXT)")).unwrap();
        if namespace == "b" {
            all.execute("CREATE TABLE b.only_b (time TIMESTAMP, secret DOUBLE)").unwrap();
        }
        all.execute(&format!("INSERT INTO {namespace}.t VALUES (1, 'h', '{namespace}')")).unwrap();
        all.with_options(QueryOptions {
            namespace: namespace.into(),
            namespace_access: NamespaceAccess::Own,
            ..QueryOptions::default()
        })
    })
}

fn is_not_found(result: Result<crate::QueryOutput, Error>) -> bool {
    matches!(result, Err(Error::Storage(lynxstore_storage::Error::TableNotFound { .. })))
}

#[test]
fn equal_names_are_different_tables_and_others_are_as_if_absent() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = two_tenants(&dir);
    for (engine, owner) in [(&a, "a"), (&b, "b")] {
        let rows = engine.execute("SELECT owner FROM t").unwrap();
        let text = format!("{:?}", rows.batches[0].column(0));
        assert!(text.contains(&format!("\"{owner}\"")), "{text}");
    }
    for sql in [
        "SELECT * FROM b.t",
        "SELECT * FROM b.only_b",
        "SELECT * FROM only_b",
        "SELECT count(*) FROM \"b\".\"t\"",
        "EXPLAIN SELECT * FROM b.t",
        "EXPLAIN ANALYZE SELECT * FROM b.t",
        "DESCRIBE b.t",
        "DROP TABLE b.t",
        "ALTER TABLE b.t ADD COLUMN x DOUBLE",
        "DELETE FROM b.t",
        "TRUNCATE TABLE b.t",
        "INSERT INTO b.t VALUES (2, 'h', 'a')",
        "INSERT INTO t SELECT * FROM b.t",
    ] {
        let result = a.execute(sql);
        assert!(is_not_found(result), "{sql}");
    }
    assert!(matches!(a.execute("CREATE TABLE b.u (time TIMESTAMP, v DOUBLE)"), Err(Error::Plan { .. })));
    assert!(a.execute("DROP TABLE IF EXISTS b.t").is_ok());
    let shown = format!("{:?}", a.execute("SHOW TABLES").unwrap().batches);
    assert!(!shown.contains("only_b"), "{shown}");
    // Nothing of it touched the other one.
    let rows = b.execute("SELECT owner FROM t").unwrap();
    assert_eq!(rows.row_count(), 1);
}

#[test]
fn statements_over_the_access_are_refused_before_they_do_anything() {
    let dir = tempfile::tempdir().unwrap();
    let [a, _] = two_tenants(&dir);
    let with = |statement_access| a.with_options(QueryOptions { statement_access, ..a.options().clone() });
    let (reader, writer) = (with(StatementAccess::ReadOnly), with(StatementAccess::Write));
    assert!(reader.execute("SELECT * FROM t").is_ok());
    let denied = |result: Result<crate::QueryOutput, Error>| matches!(result, Err(Error::AccessDenied { .. }));
    assert!(denied(reader.execute("INSERT INTO t VALUES (2, 'h', 'x')")));
    assert!(denied(reader.prepare("DROP TABLE t").unwrap().execute(&[])));
    assert!(writer.execute("INSERT INTO t VALUES (2, 'h', 'x')").is_ok());
    assert!(denied(writer.execute("DELETE FROM t")));
    assert_eq!(reader.execute("SELECT * FROM t").unwrap().row_count(), 2);
}

#[test]
#[cfg(feature = "datafusion")]
fn general_sql_and_system_tables_show_the_own_namespace_only() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = two_tenants(&dir);
    a.execute("CHECKPOINT").unwrap();
    for sql in [
        "SELECT * FROM t JOIN b.t AS other ON t.time = other.time",
        "WITH x AS (SELECT * FROM b.t) SELECT * FROM x",
        "SELECT (SELECT count(*) FROM b.only_b)",
        "SELECT * FROM t UNION ALL SELECT * FROM b.t",
        "SELECT * FROM lynxstore.b.t",
        "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM b.only_b)",
    ] {
        let shown = format!("{:?}", a.execute(sql).unwrap_err());
        assert!(shown.contains("TableNotFound") || shown.contains("not found"), "{sql}: {shown}");
    }
    for table in ["tables", "columns", "series", "segments", "partitions"] {
        let own = a.execute(&format!("SELECT DISTINCT namespace FROM system.{table}")).unwrap();
        assert_eq!(own.row_count(), 1, "{table}");
        let shown = format!("{:?}", a.execute(&format!("SELECT * FROM system.{table}")).unwrap().batches);
        assert!(!shown.contains("only_b") && !shown.contains("\"b\""), "{table}: {shown}");
    }
    let reader = a.with_options(QueryOptions { system_access: SystemAccess::OwnTables, ..a.options().clone() });
    for table in ["memory", "tasks", "recovery", "corruption"] {
        let sql = format!("SELECT * FROM system.{table}");
        assert!(matches!(reader.execute(&sql), Err(Error::AccessDenied { .. })), "{table}");
        assert!(b.execute(&sql).is_ok(), "{table}");
    }
}
