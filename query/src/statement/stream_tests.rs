//! COPY and INSERT take rows as they come: what they need is not the size of the result.

#![cfg(feature = "files")]

use std::fmt::Write as _;
use std::sync::Arc;

use lynxstore_storage::engine::{Engine, EngineOptions};

use super::tests::lines;
use crate::{Error, QueryEngine, QueryOptions};

const ROWS: usize = 30_000;

struct Fixture {
    dir: tempfile::TempDir,
    engine: Arc<Engine>,
    /// Statements with far less memory and rows of results than the table has.
    tight: QueryEngine,
    wide: QueryEngine,
}

/// A table `t` of rows of four hosts, and an empty one of the same columns, `u`.
fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::open(&dir.path().join("db"), EngineOptions::default()).unwrap());
    let file_access = crate::FileAccess::Allowed;
    let wide = QueryEngine::new(Arc::clone(&engine), QueryOptions { file_access, ..QueryOptions::default() });
    let bounds = QueryOptions { rows_out_max: 100, memory_bytes_max: 1 << 20, threads: 2, ..wide.options().clone() };
    let tight = QueryEngine::new(Arc::clone(&engine), bounds);
    for name in ["t", "u"] {
        wide.execute(&format!("CREATE TABLE {name} (time TIMESTAMP TIME, host TEXT TAG, x BIGINT, s TEXT)")).unwrap();
    }
    let mut values = String::new();
    for row in 0..ROWS {
        let comma = if row == 0 { "" } else { "," };
        write!(
            values,
            "{comma}({row}, 'h{}', {row}, 'some text of row {row}, which is long enough to count')",
            row % 4
        )
        .unwrap();
    }
    wide.execute(&format!("INSERT INTO t VALUES {values}")).unwrap();
    Fixture { dir, engine, tight, wide }
}

impl Fixture {
    fn one(&self, sql: &str) -> String {
        lines(&self.wide.execute(sql).unwrap()).join(" ")
    }
}

#[test]
fn a_file_can_hold_more_than_the_memory_of_its_statement() {
    let fixture = fixture();
    // By the vectorized executor and, where it is there, by DataFusion.
    let mut sources = vec!["t", "(SELECT time, host, x, s FROM t WHERE x >= 0)"];
    if cfg!(feature = "datafusion") {
        sources.push("(SELECT time, host, x, s FROM t WHERE x < 15000 UNION ALL SELECT time, host, x, s FROM t WHERE x >= 15000)");
    }
    for format in ["csv", "parquet"] {
        for source in &sources {
            let path = fixture.dir.path().join("out").with_extension(format);
            let path = path.to_str().unwrap();
            let output = fixture.tight.execute(&format!("COPY {source} TO '{path}'")).unwrap();
            assert_eq!(output.rows_affected, Some(ROWS as u64), "{source}");
            fixture.wide.execute(&format!("COPY u FROM '{path}'")).unwrap();
            let sums = "SELECT count(*), sum(x), count(DISTINCT s), max(s) FROM";
            assert_eq!(fixture.one(&format!("{sums} u")), fixture.one(&format!("{sums} t")), "{source} to {format}");
            fixture.wide.execute("TRUNCATE TABLE u").unwrap();
        }
    }
}

#[test]
fn a_copy_that_fails_half_way_leaves_the_file_that_was_there() {
    let fixture = fixture();
    let path = fixture.dir.path().join("out.csv");
    let copy = |query: &str| fixture.tight.execute(&format!("COPY ({query}) TO '{}'", path.display()));
    copy("SELECT x FROM t LIMIT 3 OFFSET 1").unwrap();
    let before = std::fs::read_to_string(&path).unwrap();
    assert_eq!(before.lines().count(), 4);
    let mut failing = vec!["SELECT 1 / (x - 29000) FROM t"];
    if cfg!(feature = "datafusion") {
        failing.push("SELECT 1 / (x - 29000) FROM t UNION ALL SELECT 1");
    }
    for query in failing {
        assert!(copy(query).is_err(), "{query}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        assert!(!fixture.dir.path().join("out.csv.tmp").exists());
    }
}

#[test]
fn rows_of_a_query_are_inserted_as_one_commit_or_not_at_all() {
    let fixture = fixture();
    let before = fixture.engine.snapshot().commit_seq();
    let all = "INSERT INTO u SELECT time, host, x, s FROM t";
    match fixture.tight.execute(all) {
        Err(error @ Error::LimitExceeded { .. }) => assert!(error.to_string().contains("one commit"), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.engine.snapshot().commit_seq(), before);
    // More rows than a result may have, in several pieces, and each twice: the later one wins.
    let output = fixture.wide.execute(all).unwrap();
    assert_eq!(output.rows_affected, Some(ROWS as u64));
    assert_eq!(fixture.engine.snapshot().commit_seq().0, before.0 + 1);
    let sums = "SELECT count(*), sum(x), count(DISTINCT s), max(s) FROM";
    assert_eq!(fixture.one(&format!("{sums} u")), fixture.one(&format!("{sums} t")));
    let output =
        fixture.tight.execute("INSERT INTO u (time, host, x) SELECT time, host, x + 1 FROM t WHERE x < 8000").unwrap();
    assert_eq!(output.rows_affected, Some(8_000));
    assert_eq!(fixture.engine.snapshot().commit_seq().0, before.0 + 2);
    assert_eq!(fixture.one("SELECT count(*), sum(x) - 8000, count(DISTINCT s) FROM u"), "30000|449985000|30000");
    // Columns that do not fit are an error also without rows.
    assert!(fixture.tight.execute("INSERT INTO u SELECT time FROM t WHERE x < 0").is_ok());
    assert!(fixture.tight.execute("INSERT INTO u (time, x) SELECT time FROM t WHERE x < 0").is_err());
}
