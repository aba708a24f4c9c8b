//! What a server is configured with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::load::limits_of;
use crate::Options;
use crate::server::{ServerOptions, TenantName, TlsOptions, TraceOptions};

/// How messages of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// A request that waits for memory is answered with 503 after this long: before its sender, which commonly gives up after
/// 30 s, would send it again beside the one that still waits.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// The configuration of `tsq serve`.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Directory of the database.
    pub directory: Option<PathBuf>,
    /// The server.
    pub server: ServerOptions,
    /// The memory for unflushed rows; a quarter of the machine when 0.
    pub memory_budget_bytes: u64,
    /// How long a write waits for memory.
    pub write_deadline: Duration,
    /// Bytes of segments that are read per second for moves between tiers.
    pub move_bytes_per_s: u64,
    /// Threads of one statement; one per core when 0.
    pub query_threads: usize,
    /// How messages are written.
    pub log_format: LogFormat,
    /// Which messages are written: a level, or a filter such as `info,lynxstore_storage=debug`.
    pub log_level: String,
    /// Where the spans of requests go.
    pub traces: TraceOptions,
    /// What the file says of single tenants, as pairs of key and text.
    pub(super) overrides: BTreeMap<TenantName, Vec<(String, String)>>,
    /// Keys of TLS that were set; checked when all are known.
    pub(super) tls: TlsOptions,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            directory: None,
            server: ServerOptions::default(),
            memory_budget_bytes: 0,
            write_deadline: WRITE_DEADLINE,
            move_bytes_per_s: 32 << 20,
            query_threads: 0,
            log_format: LogFormat::default(),
            log_level: "info".into(),
            traces: TraceOptions::default(),
            overrides: BTreeMap::new(),
            tls: TlsOptions {
                cert_file: PathBuf::new(),
                key_file: PathBuf::new(),
                client_auth_type: Default::default(),
                client_ca_file: None,
                client_allowed_sans: Vec::new(),
                min_version: Default::default(),
            },
        }
    }
}

impl ServeConfig {
    /// How the database is opened.
    pub fn database_options(&self) -> Options {
        let mut options = Options::default();
        if self.memory_budget_bytes > 0 {
            options = options.memory_budget_bytes(self.memory_budget_bytes);
        }
        if self.query_threads > 0 {
            options = options.query_threads(self.query_threads);
        }
        options.write_deadline(self.write_deadline).move_bytes_per_second(self.move_bytes_per_s)
    }

    /// What follows from several keys at once.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        self.server.tls = match (is_set(&self.tls.cert_file), is_set(&self.tls.key_file)) {
            (true, true) => Some(self.tls.clone()),
            (false, false) if self.tls == Self::default().tls => None,
            (true, false) => return Err("tls.cert_file is set and tls.key_file is not".into()),
            (false, _) => return Err("tls.cert_file is missing, the certificate of the server".into()),
        };
        self.traces.check()?;
        let overrides = self.overrides.iter();
        let limits = overrides.map(|(name, pairs)| (name.clone(), limits_of(&self.server.tenant_limits, pairs)));
        self.server.tenant_overrides = limits.collect();
        Ok(())
    }
}
