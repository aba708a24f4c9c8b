//! The `tsq` command as its users meet it: what it prints where, and with which exit code.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{scratch_dir, tsq_binary};

/// What a run gave.
struct Run {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
        }
    }

    fn is_ok(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }
}

fn tsq(folder: &Path, args: &[&str]) -> Run {
    Run::of(command(folder, args).stdin(Stdio::null()).output().unwrap())
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(tsq_binary());
    command.current_dir(folder).args(args).env_remove("TSQ_LOG");
    command
}

fn tsq_with_input(folder: &Path, args: &[&str], input: &str) -> Run {
    let mut child =
        command(folder, args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Run::of(child.wait_with_output().unwrap())
}

#[test]
fn tiers_and_their_policy_are_shown() {
    let folder = scratch_dir();
    let script =
        "CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, value DOUBLE) WITH (hot_for = '36500d', cold = 'off');
                  INSERT INTO t VALUES ('2026-01-01', 'a', 1.5), ('2026-01-02', 'a', 2.5);
                  ALTER TABLE t MOVE PARTITION '2026-01-01' TO 'warm';
                  .tiers
                  .schema t
                  SELECT sum(value) FROM t;";
    let run = tsq_with_input(folder.path(), &["db"], script);
    let shown = &run.is_ok().stdout;
    for part in [
        "t,2026-01-01T00:00:00Z,warm,1,",
        "\nt,hot,1,1,1,",
        "\nt,warm,1,1,1,",
        "cold = 'off'",
        "hot_for = '3153600000000000000ns'",
        "\n4.0\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn statements_keep_their_rows_between_runs() {
    let folder = scratch_dir();
    let create = "CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, value DOUBLE);
                  INSERT INTO t VALUES ('2026-01-01 00:00:00', 'a', 1.5), ('2026-01-01 00:00:10', 'b', NULL)";
    let created = tsq(folder.path(), &["db", "-c", create]);
    assert_eq!(created.is_ok().stdout, "");
    let query = "SELECT time, host, value FROM t ORDER BY time";
    let csv = tsq(folder.path(), &["db", "-c", query]);
    assert_eq!(csv.is_ok().stdout, "time,host,value\n2026-01-01T00:00:00Z,a,1.5\n2026-01-01T00:00:10Z,b,\n");
    assert_eq!(csv.stderr, "");
    let json = tsq(folder.path(), &["db", "--format", "json", "-c", query]);
    let rows: Value = serde_json::from_str(&json.is_ok().stdout).unwrap();
    assert_eq!(rows[1], serde_json::json!({"time": "2026-01-01T00:00:10Z", "host": "b", "value": null}));
    let table = tsq(folder.path(), &["db", "--format", "table", "-c", "SELECT count(*) AS n FROM t"]);
    assert_eq!(table.is_ok().stdout, "╭───╮\n│ n │\n╞═══╡\n│ 2 │\n╰───╯\n");
}

#[test]
fn scripts_come_from_options_files_and_pipes_in_order() {
    let folder = scratch_dir();
    std::fs::write(folder.path().join("inner.sql"), "SELECT 3 AS three;\n.quit\nSELECT 'never' AS never;").unwrap();
    std::fs::write(folder.path().join("outer.sql"), ".mode jsonl\n.read inner.sql\nSELECT 4 AS four;").unwrap();
    let run = tsq(folder.path(), &["-c", "SELECT 1 AS one; SELECT ';' AS two;", "-f", "outer.sql"]);
    assert_eq!(run.is_ok().stdout, "one\n1\ntwo\n;\n{\"three\":3}\n{\"four\":4}\n");
    let piped = tsq_with_input(folder.path(), &["--format", "csv"], "-- comment\nSELECT 5 AS five");
    assert_eq!(piped.is_ok().stdout, "five\n5\n");
}

#[test]
fn the_first_error_ends_the_run_and_says_where() {
    let folder = scratch_dir();
    std::fs::write(folder.path().join("bad.sql"), "SELECT 1 AS one;\n\nSELECT * FROM missing;\nSELECT 2 AS two;")
        .unwrap();
    let run = tsq(folder.path(), &["db", "-f", "bad.sql"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), "one\n1\n"));
    assert!(run.stderr.starts_with("error: bad.sql:3: "), "{}", run.stderr);
    assert!(run.stderr.contains("missing") && run.stderr.lines().count() == 1, "{}", run.stderr);
    let dot = tsq(folder.path(), &["db", "-c", ".nothing"]);
    assert_eq!((dot.code, dot.stderr.as_str()), (Some(1), "error: unknown command .nothing: see .help\n"));
    assert_eq!(tsq(folder.path(), &["db", "--format", "xml"]).code, Some(2));
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error_worth_telling() {
    let folder = scratch_dir();
    let mut child = command(folder.path(), &["-c", "SELECT 1 AS one; SELECT 2 AS two"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (Some(141), ""));
}

#[test]
fn csv_files_become_a_table_with_tags_from_columns_and_paths() {
    let folder = scratch_dir();
    for (file, rows) in [("eu/a.csv", "1767225600,x,1\n1767225610,y,2\n"), ("us/b.csv", "1767225600,x,2.5\n")] {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("ts,host,value\n{rows}")).unwrap();
    }
    let args = [
        "import",
        "db",
        "*/*.csv",
        "--table",
        "m",
        "--tag",
        "kind=test",
        "--tag-from-path",
        "region=parent",
        "--dedup",
        "last",
    ];
    let run = tsq(folder.path(), &args);
    assert!(run.is_ok().stdout.starts_with("imported 3 rows into m in "), "{}", run.stdout);
    assert!(run.stderr.contains("created table m: time ts; tags region, kind, host; fields value"), "{}", run.stderr);
    let rows = tsq(folder.path(), &["db", "-c", "SELECT region, kind, host, ts, value FROM m ORDER BY region, host"]);
    assert_eq!(
        rows.is_ok().stdout,
        "region,kind,host,ts,value\n\
         eu,test,x,2026-01-01T00:00:00Z,1.0\n\
         eu,test,y,2026-01-01T00:00:10Z,2.0\n\
         us,test,x,2026-01-01T00:00:00Z,2.5\n"
    );
    // The same files again are the same rows.
    tsq(folder.path(), &args).is_ok();
    assert_eq!(tsq(folder.path(), &["db", "-c", "SELECT count(*) AS n FROM m"]).is_ok().stdout, "n\n3\n");
}

#[test]
fn import_keeps_every_row_unless_told_otherwise() {
    let folder = scratch_dir();
    std::fs::write(folder.path().join("f.csv"), "time,host,value\n2026-01-01,a,1\n2026-01-01,b,2\n").unwrap();
    tsq(folder.path(), &["import", "db", "f.csv", "--table", "t", "--tags="]).is_ok();
    assert_eq!(tsq(folder.path(), &["db", "-c", "SELECT count(*) AS n FROM t"]).is_ok().stdout, "n\n2\n");
    let run = tsq(folder.path(), &["import", "db", "f.csv", "--table", "u", "--tags=", "--dedup", "last"]);
    assert!(run.is_ok().stderr.contains("note: 1 row had the tags and time of another row"), "{}", run.stderr);
}

#[test]
fn import_names_file_and_row_of_what_it_cannot_read() {
    let folder = scratch_dir();
    std::fs::write(folder.path().join("time.csv"), "time,value\n2026-01-01,1\nyesterday,2\n").unwrap();
    let run = tsq(folder.path(), &["import", "db", "time.csv", "--table", "t"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("error: time.csv: row 2: 'yesterday' is no time"), "{}", run.stderr);
    assert_eq!(tsq(folder.path(), &["db", "-c", ".schema"]).is_ok().stdout, "", "the new table is gone again");
    let run = tsq(folder.path(), &["import", "db", "absent.csv", "--table", "t"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("error: ") && run.stderr.contains("'absent.csv'"), "{}", run.stderr);
    std::fs::write(folder.path().join("no.csv"), "a,b\n1,2\n").unwrap();
    let run = tsq(folder.path(), &["import", "db", "no.csv", "--table", "t"]);
    assert!(run.stderr.contains("name one with --time; the columns are a, b"), "{}", run.stderr);
}

#[test]
fn generated_data_is_the_same_in_a_file_and_in_a_database() {
    let folder = scratch_dir();
    let size = ["--hosts", "12", "--hours", "0.5", "--seed", "7"];
    for target in [["--out", "cpu.parquet"], ["--out", "cpu.csv"], ["--database", "direct"]] {
        let args: Vec<&str> = ["generate", "cpu"].into_iter().chain(size).chain(target).collect();
        assert!(tsq(folder.path(), &args).is_ok().stdout.starts_with("generated 2,160 rows"));
    }
    tsq(folder.path(), &["import", "parquet", "cpu.parquet", "--table", "cpu"]).is_ok();
    tsq(folder.path(), &["import", "csv", "cpu.csv", "--table", "cpu", "--tags", &TAGS.join(",")]).is_ok();
    let query = "SELECT hostname, region, rack, count(*), sum(usage_user), max(usage_guest_nice), min(time), max(time) \
                 FROM cpu GROUP BY hostname, region, rack ORDER BY hostname";
    let direct = tsq(folder.path(), &["direct", "-c", query]).is_ok().stdout.clone();
    assert_eq!(direct.lines().count(), 13, "{direct}");
    assert!(direct.contains(",180,"), "{direct}");
    assert_eq!(tsq(folder.path(), &["parquet", "-c", query]).is_ok().stdout, direct);
    assert_eq!(tsq(folder.path(), &["csv", "-c", query]).is_ok().stdout, direct);
}

const TAGS: [&str; 10] = lynxstore::generate::CPU_TAGS;

#[test]
fn bench_prints_the_documented_keys() {
    let folder = scratch_dir();
    tsq(folder.path(), &["generate", "cpu", "--hosts", "2", "--hours", "1", "--database", "db"]).is_ok();
    let script = "-- name: all rows\nSELECT * FROM cpu;\nSELECT max(usage_user) FROM cpu;";
    std::fs::write(folder.path().join("bench.sql"), script).unwrap();
    let run = tsq(folder.path(), &["bench", "db", "bench.sql", "--runs", "3", "--json"]);
    let results: Value = serde_json::from_str(&run.is_ok().stdout).unwrap();
    let results = results.as_array().unwrap();
    let text = |key: &str| results.iter().map(|result| result[key].clone()).collect::<Vec<_>>();
    assert_eq!(text("name"), ["all rows", "q2"]);
    assert_eq!(text("rows"), [720, 1]);
    for result in results {
        let keys: Vec<&String> = result.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 4, "{result}");
        assert!(result["min_ms"].as_f64().unwrap() > 0.0);
        assert!(result["median_ms"].as_f64().unwrap() >= result["min_ms"].as_f64().unwrap());
    }
    assert_eq!(tsq(folder.path(), &["bench", "absent", "bench.sql"]).code, Some(1));
}

#[test]
fn the_demo_shows_rows_and_keeps_a_named_database() {
    let folder = scratch_dir();
    let run = tsq(folder.path(), &["demo", "kept"]);
    assert!(run.is_ok().stdout.contains("43,200 rows of CPU usage"), "{}", run.stdout);
    assert!(run.stdout.contains("hostname") && run.stdout.contains("host_7"), "{}", run.stdout);
    assert_eq!(tsq(folder.path(), &["kept", "-c", "SELECT count(*) AS n FROM cpu"]).is_ok().stdout, "n\n43200\n");
}

#[test]
fn a_database_that_another_process_writes_is_read_and_nothing_more() {
    let folder = scratch_dir();
    let database = lynxstore::Database::open(folder.path().join("db")).unwrap();
    database.query("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, value DOUBLE)").unwrap();
    database.query("INSERT INTO t VALUES ('2026-01-01 00:00:00', 'a', 1.5)").unwrap();
    let run = tsq(folder.path(), &["db", "-c", "SELECT count(*) AS n FROM t"]);
    assert_eq!(run.is_ok().stdout, "n\n1\n");
    let process = std::process::id().to_string();
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("read-only") && run.stderr.contains(&process), "{}", run.stderr);
    let writes = [
        vec!["db", "-c", "INSERT INTO t VALUES ('2026-01-01 00:00:10', 'a', 2)"],
        vec!["--read-only", "db", "-c", "DROP TABLE t"],
        vec!["generate", "cpu", "--hosts", "1", "--hours", "0.01", "--database", "db"],
    ];
    for arguments in &writes {
        let run = tsq(folder.path(), arguments);
        assert_eq!(run.code, Some(1), "{arguments:?}");
        assert!(run.stderr.contains(&process), "{}", run.stderr);
    }
    assert_eq!(tsq(folder.path(), &["--read-only", "absent", "-c", "SELECT 1"]).code, Some(1));
    assert!(!folder.path().join("absent").exists());
    database.query("INSERT INTO t VALUES ('2026-01-01 00:00:10', 'b', 2)").unwrap();
    let run = tsq(folder.path(), &["db", "-c", "SELECT count(*) AS n FROM t; .refresh"]);
    assert_eq!(run.is_ok().stdout, "n\n2\n");
}

#[test]
fn a_backup_is_taken_beside_the_writer_and_restored() {
    let folder = scratch_dir();
    let database = lynxstore::Database::open(folder.path().join("db")).unwrap();
    database.query("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, value DOUBLE)").unwrap();
    database.query("INSERT INTO t VALUES ('2026-01-01 00:00:00', 'a', 1.5)").unwrap();
    database.flush().unwrap();
    database.query("INSERT INTO t VALUES ('2026-01-01 00:00:10', 'b', 2)").unwrap();
    let first = tsq(folder.path(), &["backup", "db", "copy"]);
    assert!(first.is_ok().stdout.contains("up to commit 2: 1 file linked"), "{}", first.stdout);
    let second = tsq(folder.path(), &["backup", "db", "copy"]);
    assert!(second.is_ok().stdout.contains("1 file kept"), "{}", second.stdout);
    assert!(tsq(folder.path(), &["restore", "copy", "again"]).is_ok().stdout.contains("up to commit 2"));
    for place in ["copy", "again"] {
        let run = tsq(folder.path(), &[place, "-c", "SELECT sum(value) AS total FROM t"]);
        assert_eq!(run.is_ok().stdout, "total\n3.5\n");
    }
    for arguments in [["backup", "db", "again"], ["restore", "db", "elsewhere"], ["restore", "copy", "again"]] {
        assert_eq!(tsq(folder.path(), &arguments).code, Some(1), "{arguments:?}");
    }
}

#[test]
fn serving_others_needs_a_word() {
    let folder = scratch_dir();
    let run = tsq(folder.path(), &["serve", "db", "--listen", "0.0.0.0:0"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("--insecure"), "{}", run.stderr);
}

#[test]
fn metrics_of_a_target_are_imported_into_the_tables_of_their_names() {
    let folder = scratch_dir();
    let text = "# HELP up Whether it is up.\n# TYPE up gauge\nup{job=\"own\",path=\"/a b\"} 1 1767225600000\n\
                go_info{version=\"go1\"} NaN 1767225600000\nnow_total 3\n";
    std::fs::write(folder.path().join("node.prom"), text).unwrap();
    std::fs::write(folder.path().join("app.om"), "up 0 1767225601.5 # {trace_id=\"x\"} 1\n# EOF\n").unwrap();
    let files = ["import", "db", "node.prom", "app.om", "--tag", "job=node"];
    // The second time nothing changes: rows of equal tags and time are one.
    for _ in 0..2 {
        assert!(tsq(folder.path(), &files).is_ok().stdout.starts_with("imported 4 rows"));
    }
    let rows = tsq(folder.path(), &["db", "-c", "SELECT time, job, path, value FROM up ORDER BY time"]);
    let expected = "time,job,path,value\n2026-01-01T00:00:00Z,own,/a b,1.0\n2026-01-01T00:00:01.500Z,node,,0.0\n";
    assert_eq!(rows.is_ok().stdout, expected);
    let others =
        tsq(folder.path(), &["db", "-c", "SELECT version, value FROM go_info; SELECT value FROM now_total LIMIT 1"]);
    assert_eq!(others.is_ok().stdout, "version,value\ngo1,NaN\nvalue\n3.0\n");

    std::fs::write(folder.path().join("bad.prom"), "x 1 1\nno value here\n").unwrap();
    let bad = tsq(folder.path(), &["import", "db", "bad.prom"]);
    assert!(bad.code == Some(1) && bad.stderr.contains("bad.prom:2"), "{}", bad.stderr);
    std::fs::write(folder.path().join("t.csv"), "time,v\n1,2\n").unwrap();
    for mistake in [
        &["import", "db", "t.csv"][..],
        &["import", "db", "node.prom", "t.csv"],
        &["import", "db", "node.prom", "--table", "t"],
    ] {
        assert_eq!(tsq(folder.path(), mistake).code, Some(1), "{mistake:?}");
    }
}
