//! `tsq bench DIR --lines`: requests as JSON lines on standard input, one line of JSON on standard output for each.
//!
//! For programs that time several systems in turn and compare their rows (`benches/peers`): the database stays open and
//! warm between requests, and what is timed is still one statement inside this process, from SQL text to Arrow rows.
//! Requests are carried out one after the other; nothing runs while the next line is awaited.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use lynxstore_query::files::{self, FileFormat, WriteOptions};
use serde_json::{Value, json};

use crate::shell::error::{CommandError, Result};
use crate::{Database, QueryOutput, Route, ScalarParam as Scalar};

/// What one line asks for.
struct Request {
    work: Work,
    /// Where the rows of each statement go, in Parquet; empty when nobody wants them.
    files: Vec<PathBuf>,
}

/// The statements of a request.
enum Work {
    /// Each is planned from its text.
    Texts(Vec<String>),
    /// One statement, planned once outside the times, and the parameters of each run.
    Prepared(String, Vec<Vec<Scalar>>),
}

/// Answers requests until the input ends. A request that fails is answered with its error and ends nothing.
pub(super) fn answer_all(database: &Database, input: impl BufRead, mut out: impl Write) -> Result<()> {
    for line in input.lines() {
        let line = line.map_err(|error| CommandError::input(format!("cannot read standard input: {error}")))?;
        let answer = parse(&line).and_then(|request| answer(database, &request));
        let answer = answer.unwrap_or_else(|error| json!({"error": error.to_string()}));
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(CommandError::Output)?;
    }
    Ok(())
}

fn answer(database: &Database, request: &Request) -> Result<Value> {
    let mut runs = Runs::default();
    match &request.work {
        Work::Texts(texts) => {
            for (index, sql) in texts.iter().enumerate() {
                runs.add(request.files.get(index), || Ok(database.query(sql)?))?;
            }
        }
        Work::Prepared(sql, parameters) => {
            let statement = database.prepare(sql)?;
            for (index, parameters) in parameters.iter().enumerate() {
                let execute = || Ok(statement.execute(parameters).map_err(crate::Error::from)?);
                runs.add(request.files.get(index), execute)?;
            }
        }
    }
    Ok(json!({"times_ms": runs.times_ms, "rows": runs.rows, "routes": runs.routes}))
}

/// One entry per run.
#[derive(Default)]
struct Runs {
    times_ms: Vec<f64>,
    rows: Vec<usize>,
    routes: Vec<&'static str>,
}

impl Runs {
    fn add(&mut self, file: Option<&PathBuf>, run: impl FnOnce() -> Result<QueryOutput>) -> Result<()> {
        let start = Instant::now();
        let output = run()?;
        self.times_ms.push(start.elapsed().as_nanos() as f64 / 1e6);
        self.rows.push(output.row_count());
        self.routes.push(if output.route == Route::DataFusion { "datafusion" } else { "vectorized" });
        if let Some(path) = file {
            let batches = output.batches.into_iter().map(Ok::<_, CommandError>);
            files::write(path, FileFormat::Parquet, WriteOptions::default(), &output.schema, batches)?;
        }
        Ok(())
    }
}

fn parse(line: &str) -> Result<Request> {
    let wrong = || {
        CommandError::input(
            "expected {\"statements\": [TEXT, ...]} or {\"prepare\": TEXT, \"parameters\": [[VALUE, ...], ...]}, \
             and as an option \"files\": [PATH.parquet, ...]",
        )
    };
    let request: Value = serde_json::from_str(line).map_err(|_| wrong())?;
    let texts = |value: &Value| -> Result<Vec<String>> {
        let items = value.as_array().ok_or_else(wrong)?;
        items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    };
    let files = match &request["files"] {
        Value::Null => Vec::new(),
        files => texts(files)?.into_iter().map(PathBuf::from).collect(),
    };
    let work = match &request["prepare"] {
        Value::Null => Work::Texts(texts(&request["statements"])?),
        Value::String(sql) => {
            let runs = request["parameters"].as_array().ok_or_else(wrong)?;
            let values = |run: &Value| run.as_array()?.iter().map(scalar).collect::<Option<Vec<_>>>();
            Work::Prepared(sql.clone(), runs.iter().map(|run| values(run).ok_or_else(wrong)).collect::<Result<_>>()?)
        }
        _ => return Err(wrong()),
    };
    Ok(Request { work, files })
}

/// The parameter that a JSON value stands for.
fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::Null => Some(Scalar::Null),
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::Number(number) => number.as_i64().map(Scalar::I64).or_else(|| number.as_f64().map(Scalar::F64)),
        Value::String(text) => Some(Scalar::Text(text.as_str().into())),
        Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers to `requests` on a table of two rows.
    fn answers(requests: &str) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path()).unwrap();
        database.query("CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, n BIGINT)").unwrap();
        database.query("INSERT INTO t VALUES ('2026-01-01', 'a', 1), ('2026-01-02', 'b', 2)").unwrap();
        let mut out = Vec::new();
        answer_all(&database, requests.replace("FOLDER", folder.path().to_str().unwrap()).as_bytes(), &mut out)
            .unwrap();
        let lines = std::str::from_utf8(&out).unwrap().lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_line_is_answered_and_an_error_ends_nothing() {
        let answers = answers(concat!(
            r#"{"statements": ["SELECT * FROM t", "SELECT n FROM t WHERE host = 'b'"]}"#,
            "\n{}\n",
            r#"{"statements": ["SELECT * FROM nowhere"]}"#,
            "\n",
            r#"{"prepare": "SELECT n FROM t WHERE host = $1 AND time < $2", "#,
            r#""parameters": [["a", "2026-01-02"], ["b", "2026-01-02"], ["b", "2026-01-03"]]}"#,
        ));
        assert_eq!(answers[0]["rows"], json!([2, 1]));
        assert_eq!(answers[0]["times_ms"].as_array().unwrap().len(), 2);
        assert_eq!(answers[0]["routes"], json!(["vectorized", "vectorized"]));
        assert!(answers[1]["error"].as_str().unwrap().starts_with("expected {"));
        assert!(answers[2]["error"].as_str().unwrap().contains("nowhere"));
        assert_eq!(answers[3]["rows"], json!([1, 0, 1]));
    }

    #[test]
    fn rows_go_to_files_that_are_asked_for() {
        let answers = answers(concat!(
            r#"{"statements": ["SELECT host, n FROM t"], "files": ["FOLDER/rows.parquet"]}"#,
            "\n",
            r#"{"statements": ["COPY t FROM 'FOLDER/rows.parquet'"]}"#,
        ));
        assert_eq!(answers[0]["rows"], json!([2]));
        // The file has rows, but no time, and the error tells that it was read.
        assert!(answers[1]["error"].as_str().unwrap().contains("time"), "{}", answers[1]);
    }
}
