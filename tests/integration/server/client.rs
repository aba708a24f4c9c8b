//! A server on a free port over a fresh database, and a client for it.

use std::path::Path;

use lynxstore::Database;
use lynxstore::server::{ServerHandle, ServerOptions};
use tempfile::TempDir;

use crate::support::scratch_dir;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// A running server.
pub struct TestServer {
    /// The database that it serves, for looking at it from inside.
    pub database: Database,
    handle: ServerHandle,
    agent: ureq::Agent,
    dir: TempDir,
}

impl TestServer {
    pub fn start() -> Self {
        Self::start_with(ServerOptions::default())
    }

    pub fn start_with(options: ServerOptions) -> Self {
        Self::start_in(scratch_dir(), options)
    }

    fn start_in(dir: TempDir, options: ServerOptions) -> Self {
        let database = Database::open(dir.path()).unwrap();
        let listen = ([127, 0, 0, 1], 0).into();
        let handle = ServerHandle::start(database.clone(), ServerOptions { listen, ..options }).unwrap();
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self { database, handle, agent: config.into(), dir }
    }

    /// Shuts down in order and starts again on the same directory.
    pub fn restart(self) -> Self {
        self.restart_with(ServerOptions::default())
    }

    /// Restarts with other options.
    pub fn restart_with(self, options: ServerOptions) -> Self {
        self.handle.shutdown().unwrap();
        drop(self.database);
        Self::start_in(self.dir, options)
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.handle.local_addr()
    }

    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request =
            headers.iter().fold(self.agent.get(self.url(path)), |request, (name, value)| request.header(*name, *value));
        answer(request.call())
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = headers
            .iter()
            .fold(self.agent.post(self.url(path)), |request, (name, value)| request.header(*name, *value));
        answer(request.send(body))
    }

    /// Posts a remote-write body as Prometheus does.
    pub fn write(&self, body: &[u8]) -> Answer {
        let headers = [
            ("content-encoding", "snappy"),
            ("content-type", "application/x-protobuf"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ];
        self.post("/api/v1/write", &headers, body)
    }

    /// Runs a statement over HTTP that must succeed; the rows of the answer.
    pub fn rows(&self, sql: &str) -> serde_json::Value {
        let answer = self.post("/api/v1/sql", &[], sql.as_bytes());
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text);
        answer.json()["rows"].clone()
    }

    /// Whether nothing was ever written or created.
    pub fn is_untouched(&self) -> bool {
        let stats = self.database.engine().stats();
        self.database.tables().is_empty() && stats.commits == 0
    }
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = result.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.body_mut().with_config().limit(64 << 20).read_to_string().unwrap(),
    }
}
