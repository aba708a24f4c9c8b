//! Where the spans of requests go.

use std::path::PathBuf;

/// How traces are exported; see `docs/configuration.md`.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOptions {
    /// The address of a collector that spans are posted to as OTLP, with its path, `http://127.0.0.1:4318/v1/traces`. Empty:
    /// that of the variables of OpenTelemetry, and no export when there are none.
    pub endpoint: String,
    /// A file of headers that go with each post, one per line as `name: value`.
    pub headers_file: Option<PathBuf>,
    /// Part of the traces that is exported, 0 to 1; a request that belongs to a trace goes by what its sender decided.
    pub sample_ratio: f64,
    /// What the collector knows the server by. Empty: that of `OTEL_SERVICE_NAME`, else `lynxstore`.
    pub service_name: String,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { endpoint: String::new(), headers_file: None, sample_ratio: 1.0, service_name: String::new() }
    }
}

impl TraceOptions {
    /// Refuses what cannot work, and everything where the export was not built in.
    pub(in crate::server) fn check(&self) -> Result<(), String> {
        if !cfg!(feature = "otel") && *self != Self::default() {
            return Err("a key of traces is set, and this tsq was built without the feature 'otel'".into());
        }
        let is_address = self.endpoint.starts_with("http://") || self.endpoint.starts_with("https://");
        if !self.endpoint.is_empty() && !is_address {
            return Err(format!("traces.endpoint is '{}', and has to begin with http:// or https://", self.endpoint));
        }
        Ok(())
    }
}
