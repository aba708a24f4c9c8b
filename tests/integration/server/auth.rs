//! Who may do what: credentials, roles, tenants, and their file that changes under the running server.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use lynxstore::server::{Server, ServerOptions, hash_token};
use lynxstore::{Database, ErrorKind};
use serde_json::json;

use super::client::{Answer, TestServer};
use super::message::{request, series};
use crate::support::scratch_dir;

/// The bcrypt hash of `secret-ROLE`, of the least cost that is taken.
const HASHES: [(&str, &str); 3] = [
    ("write", "$2b$08$abcdefghijklmnopqrstuulRQJnMpsXfemzDUeAzyJjPDk0xHrONC"),
    ("read", "$2b$08$abcdefghijklmnopqrstuuLxlB1fbCYHpGSRBwK0tcfpi.C7CnRpy"),
    ("admin", "$2b$08$abcdefghijklmnopqrstuuREJmh/NEoE2rpTcZUq30AeF5kIbfs2a"),
];

fn write_credentials(path: &Path, text: &str) {
    // Exchanged as a whole, as a careful operator does it.
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A user per role, with a password and a token, for the tenants `one` and `two`.
fn users() -> String {
    let user = |(role, hash): &(&str, &str)| {
        let token = hash_token(&format!("token-{role}"));
        format!(
            "[[users]]\nname = \"{role}\"\nroles = [\"{role}\"]\npassword_bcrypt = '{hash}'\n\
             token_sha256 = \"{token}\"\ntenants = [\"one\", \"two\"]\n"
        )
    };
    HASHES.iter().map(user).collect()
}

struct Guarded {
    server: TestServer,
    file: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

fn guarded(text: &str) -> Guarded {
    let dir = scratch_dir();
    let file = dir.path().join("credentials.toml");
    write_credentials(&file, text);
    let options = ServerOptions {
        credentials_file: Some(file.clone()),
        reload_interval: Duration::from_millis(20),
        ..ServerOptions::default()
    };
    Guarded { server: TestServer::start_with(options), file, _dir: dir }
}

fn basic(role: &str) -> String {
    // "write:secret-write", "read:secret-read", "admin:secret-admin".
    let encoded = match role {
        "write" => "d3JpdGU6c2VjcmV0LXdyaXRl",
        "read" => "cmVhZDpzZWNyZXQtcmVhZA==",
        _ => "YWRtaW46c2VjcmV0LWFkbWlu",
    };
    format!("Basic {encoded}")
}

fn bearer(role: &str) -> String {
    format!("Bearer token-{role}")
}

/// Sends a request to a path: what each role gets for it is in the matrix.
fn ask(server: &TestServer, route: &str, authorization: Option<&str>) -> Answer {
    let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
    let body = request([series("up", &[]).sample(1.0, 1)]).body();
    match route.split_once(' ').unwrap() {
        ("GET", path) => server.get_with(path, &headers),
        ("SQL", statement) => server.post("/api/v1/sql", &headers, statement.as_bytes()),
        (_, path) => server.post(path, &headers, &body),
    }
}

#[test]
fn each_role_reaches_its_routes_with_each_kind_of_credential_and_no_others() {
    let guarded = guarded(&users());
    // Route; without credentials; then write, read, admin.
    let matrix: [(&str, u16, [u16; 3]); 11] = [
        ("GET /-/healthy", 200, [200, 200, 200]),
        ("GET /-/ready", 200, [200, 200, 200]),
        ("GET /metrics", 401, [403, 200, 200]),
        ("POST /api/v1/write", 401, [204, 403, 204]),
        ("GET /api/v1/sql?q=SHOW%20TABLES", 401, [403, 200, 200]),
        ("SQL SHOW TABLES", 401, [403, 200, 200]),
        ("SQL CREATE TABLE IF NOT EXISTS t (time TIMESTAMP, v DOUBLE)", 401, [403, 403, 200]),
        ("SQL /* SELECT */ INSERT INTO t VALUES (1, 2.0)", 401, [403, 403, 200]),
        ("SQL CHECKPOINT", 401, [403, 403, 200]),
        ("GET /nothing", 401, [403, 403, 404]),
        ("POST /metrics", 401, [403, 405, 405]),
    ];
    for (route, without, _) in matrix {
        let answer = ask(&guarded.server, route, None);
        assert_eq!(answer.status, without, "{route}: {}", answer.text);
        assert_eq!(answer.header("www-authenticate").is_some(), without == 401, "{route}");
    }
    // The administrator first, so that the table is there for the others.
    for (position, role) in [(2, "admin"), (0, "write"), (1, "read")] {
        for authorization in [basic(role), bearer(role), format!("Token token-{role}")] {
            for (route, _, with) in matrix {
                let answer = ask(&guarded.server, route, Some(&authorization));
                assert_eq!(answer.status, with[position], "{route} as {role}: {}", answer.text);
            }
        }
    }
}

#[test]
fn figures_of_a_tenant_are_for_its_own_users_and_administrators() {
    let outsider = hash_token("token-outsider");
    let other = format!("[[users]]\nname = \"outsider\"\nroles = [\"read\"]\ntoken_sha256 = \"{outsider}\"\n");
    let guarded = guarded(&(users() + &other));
    push(&guarded.server, "one", "up", 1.0);
    push(&guarded.server, "two", "up", 1.0);
    let figures = |role: &str| ask(&guarded.server, "GET /metrics", Some(&bearer(role))).text;
    figures("outsider");
    let samples =
        |tenant: &str| format!("lynxstore_tenant_samples_total{{outcome=\"accepted\",tenant=\"{tenant}\"}} 1\n");
    for role in ["read", "admin"] {
        assert!(figures(role).contains(&samples("one")) && figures(role).contains(&samples("two")), "{role}");
    }
    let outside = figures("outsider");
    assert!(outside.contains("tenant=\"public\"") && !outside.contains("\"one\""), "{outside}");
    assert!(!outside.contains("process_") && figures("admin").contains("process_"), "{outside}");
}

#[test]
fn wrong_credentials_are_nobody_whatever_is_wrong_with_them() {
    let guarded = guarded(&users());
    // "read:wrong", "nobody:x", a hash in place of its token, and what cannot be read.
    let hash = format!("Bearer {}", hash_token("token-read"));
    for authorization in [
        "Basic cmVhZDp3cm9uZw==",
        "Basic bm9ib2R5Ong=",
        "Basic !!",
        "Bearer token-reader",
        "Bearer",
        "Digest x",
        "",
        hash.as_str(),
    ] {
        let answer = ask(&guarded.server, "SQL SELECT 1", Some(authorization));
        assert_eq!(answer.status, 401, "{authorization}");
        assert_eq!(answer.json()["error"]["kind"], "unauthorized");
    }
    let metrics = ask(&guarded.server, "GET /metrics", Some(&bearer("admin"))).text;
    assert!(metrics.contains("lynxstore_http_refused_requests_total{reason=\"wrong_credentials\"} 8"), "{metrics}");
    assert!(!metrics.contains("token-"), "{metrics}");
}

fn as_tenant(server: &TestServer, role: &str, tenant: Option<&str>, statement: &str) -> Answer {
    let authorization = bearer(role);
    let mut headers = vec![("authorization", authorization.as_str())];
    headers.extend(tenant.map(|tenant| ("X-Scope-OrgID", tenant)));
    server.post("/api/v1/sql", &headers, statement.as_bytes())
}

fn push(server: &TestServer, tenant: &str, metric: &str, value: f64) {
    let headers = [("authorization", bearer("write")), ("x-scope-orgid", tenant.to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = request([series(metric, &[("job", tenant)]).sample(value, 1)]).body();
    let answer = server.post("/api/v1/write", &headers, &body);
    assert_eq!(answer.status, 204, "{}", answer.text);
}

#[test]
fn tenants_with_equal_tables_never_see_each_other() {
    let guarded = guarded(&users());
    let server = &guarded.server;
    push(server, "one", "up", 1.0);
    push(server, "two", "up", 2.0);
    push(server, "two", "only_two", 3.0);
    let rows = |tenant, sql: &str| as_tenant(server, "read", tenant, sql).json()["rows"].clone();
    assert_eq!(rows(Some("one"), "SELECT job, value FROM up"), json!([["one", 1.0]]));
    assert_eq!(rows(Some("two"), "SELECT job, value FROM up"), json!([["two", 2.0]]));
    // The first tenant of the user is the default.
    assert_eq!(rows(None, "SELECT value FROM up"), json!([[1.0]]));
    assert_eq!(rows(None, "SHOW TABLES"), json!([["up", "time", "job", "value"]]));
    for sql in ["SELECT * FROM two.up", "SELECT * FROM only_two", "DROP TABLE two.up", "SELECT * FROM \"two\".only_two"]
    {
        let answer = as_tenant(server, "admin", Some("one"), sql);
        assert_eq!((answer.status, &answer.json()["error"]["kind"]), (404, &json!("not_found")), "{sql}");
    }
    assert_eq!(as_tenant(server, "admin", Some("one"), "CREATE TABLE two.x (time TIMESTAMP, v DOUBLE)").status, 400);
    assert_eq!(as_tenant(server, "admin", Some("one"), "DROP TABLE up").status, 200);
    assert_eq!(rows(Some("two"), "SELECT count(*) FROM up"), json!([[1]]));
    #[cfg(feature = "datafusion")]
    {
        let listed = as_tenant(server, "read", Some("one"), "SELECT * FROM system.tables").text;
        assert!(!listed.contains("two"), "{listed}");
        assert_eq!(as_tenant(server, "read", Some("one"), "SELECT * FROM system.memory").status, 403);
    }
}

/// Names that must not work as names of tenants, over a header.
const CORPUS: [&str; 14] = [
    "..",
    ".",
    "a/b",
    "../../etc",
    "%2e%2e",
    "..\\..",
    "a|b",
    "one|two",
    "__reserved",
    "system",
    "a b",
    "one,two",
    "",
    "\u{e9}",
];

#[test]
fn a_tenant_is_chosen_among_those_of_the_user_and_never_by_another_name() {
    let guarded = guarded(&users());
    let server = &guarded.server;
    let too_long = "x".repeat(151);
    for name in CORPUS.into_iter().chain([too_long.as_str()]) {
        let answer = as_tenant(server, "admin", Some(name), "CREATE TABLE t (time TIMESTAMP, v DOUBLE)");
        assert_eq!(answer.status, 400, "{name:?}: {}", answer.text);
        // What came is not repeated, but for a word that the rule itself names.
        let is_repeated = name.len() > 2 && name != "system" && answer.text.contains(name);
        assert!(!is_repeated, "{name:?}: {}", answer.text);
    }
    for name in ["three", "public", "One", &"x".repeat(150), "one.", "..."] {
        assert_eq!(as_tenant(server, "admin", Some(name), "SELECT 1").status, 403, "{name:?}");
    }
    let twice = [("authorization", "Bearer token-admin"), ("x-scope-orgid", "one"), ("X-Scope-OrgID", "two")];
    assert_eq!(server.post("/api/v1/sql", &twice, b"SELECT 1").status, 400);
    // The header alone is nobody.
    assert_eq!(server.post("/api/v1/sql", &[("x-scope-orgid", "one")], b"SELECT 1").status, 401);
    assert!(server.is_untouched());
}

#[test]
fn names_of_tables_and_paths_never_become_paths() {
    let server = TestServer::start();
    let before = files_below(server.directory().parent().unwrap(), server.directory());
    for name in
        ["..", ".", "a/b", "../../escaped", "%2e%2e", "a\0b", "__reserved", &"x".repeat(151), "C:\\x", "\u{202e}"]
    {
        let body = request([series(name, &[("label", name)]).sample(1.0, 1)]).body();
        assert_eq!(server.write(&body).status, 204, "{name:?}");
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        assert_eq!(server.rows(&format!("SELECT value FROM {quoted}")), json!([[1.0]]), "{name:?}");
    }
    for path in ["/..", "/../../etc/passwd", "/%2e%2e/x", "/api/v1/sql/../../x", "/api/v1/write/%00"] {
        assert!((400..500).contains(&server.get(path).status), "{path}");
    }
    assert_eq!(server.rows("CHECKPOINT"), json!([]));
    let (inside, outside) = files_below(server.directory().parent().unwrap(), server.directory());
    assert_eq!(outside, before.1, "something was made outside of the database");
    let is_plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || "./".contains(c));
    assert!(inside.iter().all(is_plain), "{inside:?}");
}

/// Files of the database, and names beside it that bear a name of the corpus.
fn files_below(parent: &Path, database: &Path) -> (Vec<String>, Vec<String>) {
    fn walk(dir: &Path, base: &Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.strip_prefix(base).unwrap().to_string_lossy().into_owned());
            if path.is_dir() {
                walk(&path, base, names);
            }
        }
    }
    let mut inside = Vec::new();
    walk(database, database, &mut inside);
    let outside = ["escaped", "b", "C:\\x"].iter().filter(|name| parent.join(name).exists());
    (inside, outside.map(|name| (*name).to_owned()).collect())
}

#[test]
fn without_credentials_there_is_one_tenant_and_other_names_are_refused() {
    let server = TestServer::start();
    assert_eq!(server.post("/api/v1/sql", &[("x-scope-orgid", "public")], b"SELECT 1").status, 200);
    assert_eq!(server.post("/api/v1/sql", &[("x-scope-orgid", "other")], b"SELECT 1").status, 403);
    assert_eq!(server.post("/api/v1/sql", &[("authorization", "Bearer x")], b"SELECT 1").status, 200);
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not happen");
}

#[test]
fn the_file_is_taken_anew_when_it_changes_and_a_broken_one_is_not() {
    let guarded = guarded(&users());
    let status = |token: &str| {
        let header = format!("Bearer {token}");
        guarded.server.post("/api/v1/sql", &[("authorization", header.as_str())], b"SHOW TABLES").status
    };
    assert_eq!((status("token-admin"), status("token-new")), (200, 401));
    let new = users().replace(&hash_token("token-admin"), &hash_token("token-new"));
    write_credentials(&guarded.file, &new);
    eventually("the new token works", || status("token-new") == 200);
    assert_eq!(status("token-admin"), 401, "the old token is gone");

    let metrics = || guarded.server.get_with("/metrics", &[("authorization", "Bearer token-new")]).text;
    write_credentials(&guarded.file, &format!("{new}[[users]]\nname = 1"));
    let refused = "lynxstore_reloads_total{outcome=\"refused\",what=\"credentials\"} 1";
    eventually("the broken file is refused", || metrics().contains(refused));
    assert_eq!(status("token-new"), 200, "the old file stays in force");
    std::fs::remove_file(&guarded.file).unwrap();
    eventually("the missing file is refused", || metrics().contains("\"refused\",what=\"credentials\"} 2"));
    assert_eq!((status("token-new"), status("x")), (200, 401), "a server with users never goes on without");
    write_credentials(&guarded.file, &users());
    eventually("the mended file is taken", || status("token-admin") == 200);
}

#[test]
fn a_server_with_credentials_may_be_reached_and_one_with_a_broken_file_does_not_start() {
    let dir = scratch_dir();
    let database = Database::open(dir.path().join("db")).unwrap();
    let file = dir.path().join("credentials.toml");
    let options = ServerOptions {
        listen: ([0, 0, 0, 0], 0).into(),
        credentials_file: Some(file.clone()),
        ..ServerOptions::default()
    };
    let start = || Server::bind(database.clone(), options.clone()).map(drop).map_err(|error| error.kind());
    assert_eq!(start(), Err(ErrorKind::InvalidInput), "no file");
    write_credentials(&file, "users = 1");
    assert_eq!(start(), Err(ErrorKind::InvalidInput), "a broken file");
    write_credentials(&file, &users());
    assert_eq!(start(), Ok(()));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(start(), Err(ErrorKind::InvalidInput), "a file that others can read");
}
