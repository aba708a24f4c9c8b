//! What the documents say of the server is so: keys of the configuration, metrics of the dashboard.

use std::collections::BTreeSet;
use std::fs;

use lynxstore::server::config::all_keys;

use super::client::TestServer;
use super::message::{request, series};
use crate::support::project_root;

/// Keys whose default follows from the number of cores.
const BY_CORES: [&str; 3] = ["server.password_checks", "limits.writes", "sql.statements"];

#[test]
fn the_configuration_page_lists_every_key_with_its_default_and_meaning() {
    let page = fs::read_to_string(project_root().join("docs/configuration.md")).unwrap();
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 4).collect();
    for key in all_keys() {
        let prefix = format!("| `{}` | ", key.name);
        let row =
            rows.iter().find(|row| row.starts_with(&prefix)).unwrap_or_else(|| panic!("{} is not listed", key.name));
        let default = match key.default_value() {
            text if text.is_empty() => "-".to_owned(),
            text => format!("`{text}`"),
        };
        if !BY_CORES.contains(&key.name) {
            assert_eq!(**row, format!("{prefix}{default} | {} |", key.help));
        }
    }
    assert_eq!(rows.len(), all_keys().len(), "a key is listed that does not exist");
}

/// The names of metrics in an expression of PromQL: words that have the prefix of ours or of the process.
fn metrics_of(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("lynxstore_") || word.starts_with("process_"))
}

fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                match (name.as_str(), value) {
                    ("expr", serde_json::Value::String(text)) => found.push(text.clone()),
                    _ => expressions(value, found),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    let server = TestServer::start();
    assert_eq!(server.write(&request([series("up", &[]).sample(1.0, 1)]).body()).status, 204);
    server.rows("SELECT count(*) FROM up");
    // Once, so that what counts requests has counted one.
    server.get("/metrics");
    server.post("/api/v1/sql", &[("x-scope-orgid", "..")], b"SELECT 1");
    let text = server.get("/metrics").text;
    let known: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    let dashboard = fs::read_to_string(project_root().join("docs/examples/grafana.json")).unwrap();
    let mut found = Vec::new();
    expressions(&serde_json::from_str(&dashboard).unwrap(), &mut found);
    assert!(found.len() >= 20, "{} expressions", found.len());
    for expression in &found {
        let names: Vec<_> = metrics_of(expression).collect();
        assert!(!names.is_empty(), "no metric in {expression}");
        for name in names {
            assert!(known.contains(name), "{name} of {expression} does not exist");
        }
    }
}
