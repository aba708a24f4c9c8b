//! The exporter of the OpenTelemetry SDK for Python as a client.
//!
//! Its Python comes from `LYNX_OTEL_PYTHON`, or from where `.ci/install-peers.sh` puts it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::client::TestServer;
use crate::support::{project_root, report_skipped};

const TEST: &str = "server::open_telemetry::every_instrument_of_the_python_sdk_arrives";

/// A Python that has the SDK.
pub fn python() -> Option<PathBuf> {
    let named = std::env::var_os("LYNX_OTEL_PYTHON").map(PathBuf::from);
    let cache = std::env::var_os("LYNX_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/lynxstore")));
    let installed = cache.map(|cache| cache.join("peers/otel-venv/bin/python"));
    [named, installed].into_iter().flatten().find(|path| path.is_file())
}

#[test]
fn every_instrument_of_the_python_sdk_arrives() {
    let Some(python) = python() else {
        report_skipped(TEST, "no OpenTelemetry SDK on this machine; .ci/install-peers.sh fetches one");
        return;
    };
    let server = TestServer::start();
    let script = project_root().join("tests/integration/server/open_telemetry.py");
    let run = Command::new(python).arg(script).arg(server.address().to_string()).output().unwrap();
    let errors = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && !errors.contains("Failed to export"), "{errors}");
    let rows = |sql: &str| server.rows(sql);
    // A flush and the shutdown both export, so that there may be two points of each series.
    let latest = "ORDER BY time DESC LIMIT 1";
    let gauge = rows(&format!("SELECT job, instance, queue, value FROM queue_length {latest}"));
    assert_eq!(gauge, json!([["api", "i1", "a", 7.0]]));
    assert_eq!(rows(&format!("SELECT http_method, value FROM requests_total {latest}")), json!([["GET", 20.0]]));
    let duration = rows(&format!("SELECT value FROM request_duration_seconds_count {latest}"));
    assert_eq!(duration, json!([[10.0]]));
    let bucket = format!("SELECT value FROM request_duration_seconds_bucket WHERE le = '+Inf' {latest}");
    assert_eq!(rows(&bucket), json!([[10.0]]));
    let exact = rows("SELECT count(*) FROM exact_latency_milliseconds WHERE histogram IS NOT NULL");
    assert!(exact[0][0].as_u64().is_some_and(|points| points > 0), "{exact}");
    assert_eq!(rows(&format!("SELECT host_name, value FROM target_info {latest}")), json!([["h1", 1.0]]));
}
