//! `tsq serve` as an operator meets it: its configuration, its log, its hashes of passwords.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{KillOnDrop, free_port, scratch_dir, tsq_binary};

fn tsq(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(tsq_binary());
    command.current_dir(folder).args(args).env_remove("TSQ_LOG").stdin(Stdio::null());
    command
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_configuration_is_checked_and_shown_without_opening_anything() {
    let folder = scratch_dir();
    std::fs::write(folder.path().join("lynx.toml"), "[server]\nlisten = \"127.0.0.1:1\"\n[sql]\nrows = 5\n").unwrap();
    let check = |variables: &[(&str, &str)], args: &[&str]| {
        let mut all = vec!["serve", "db", "--config", "lynx.toml", "--check-config"];
        all.extend(args);
        tsq(folder.path(), &all).envs(variables.iter().copied()).output().unwrap()
    };
    let output = check(&[("LYNX_SQL_ROWS", "6")], &["--set", "sql.timeout=7s", "--log-format", "json"]);
    let (shown, errors) = texts(&output);
    assert!(output.status.success(), "{errors}");
    for line in [
        "directory = \"db\"  # flag",
        "listen = \"127.0.0.1:1\"  # file",
        "rows = 6  # environment",
        "timeout = \"7s\"  # flag",
        "format = \"json\"  # flag",
        "depth = 50  # default",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }
    assert!(!folder.path().join("db").exists());
    for (variables, args, expected) in [
        (&[][..], &["--set", "sql.row=1"][..], "did you mean sql.rows?"),
        (&[("LYNX_SQL_ROW", "1")], &[], "did you mean LYNX_SQL_ROWS?"),
        (&[], &["--set", "tls.cert_file=absent.pem", "--set", "tls.key_file=absent.pem"], "absent.pem"),
        (&[], &["--credentials", "absent.toml"], "absent.toml"),
        (&[], &["--listen", "0.0.0.0:0"], "--insecure"),
    ] {
        let output = check(variables, args);
        let (_, errors) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(errors.contains(expected), "{expected}: {errors}");
    }
}

#[test]
fn a_hash_from_the_command_line_opens_the_server_and_is_the_only_thing_printed() {
    let folder = scratch_dir();
    let mut child = tsq(folder.path(), &["hash-password"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    let (password_line, errors) = texts(&child.wait_with_output().unwrap());
    assert!(password_line.starts_with("password_bcrypt = '$2b$10$") && errors.is_empty(), "{password_line}{errors}");
    assert!(!password_line.contains("horse"));
    let (token_lines, _) = texts(&tsq(folder.path(), &["hash-password", "--token"]).output().unwrap());
    let hash_line = token_lines.lines().find(|line| line.starts_with("token_sha256")).unwrap();
    let file = format!("[[users]]\nname = \"ann\"\nroles = [\"read\"]\n{password_line}{hash_line}\n");
    let path = folder.path().join("credentials.toml");
    std::fs::write(&path, file).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let output = tsq(folder.path(), &["serve", "db", "--credentials", "credentials.toml", "--check-config"]).output();
    let output = output.unwrap();
    let (shown, errors) = texts(&output);
    assert!(output.status.success() && errors.contains("1 users"), "{errors}");
    assert!(!shown.contains("$2b$") && !shown.contains(hash_line), "{shown}");
}

#[test]
fn messages_are_json_and_bear_the_ids_of_request_and_trace() {
    let folder = scratch_dir();
    let address = format!("127.0.0.1:{}", free_port());
    let args = ["serve", "db", "--listen", &address, "--log-format", "json", "--log-level", "lynxstore=debug"];
    let mut process = tsq(folder.path(), &args).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(process.stderr.take().unwrap());
    let _process = KillOnDrop(process);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut answered = None;
    for line in log.lines().map(Result::unwrap) {
        // The line for people that says where it serves.
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if message["message"] == "serving" {
            let mut stream = TcpStream::connect(&address).unwrap();
            let head =
                "GET /api/v1/sql?q=SHOW%20TABLES HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: my-id";
            write!(stream, "{head}\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.contains("x-request-id: my-id"), "{answer}");
        } else if message["message"] == "answered" {
            answered = Some(message);
            break;
        }
    }
    let message = answered.unwrap();
    assert_eq!((&message["level"], &message["status"]), (&"DEBUG".into(), &200.into()), "{message}");
    let span = &message["span"];
    for (field, value) in [
        ("name", "request"),
        ("request_id", "my-id"),
        ("trace_id", trace),
        ("parent_span_id", "00f067aa0ba902b7"),
        ("tenant", "public"),
        ("path", "/api/v1/sql"),
    ] {
        assert_eq!(span[field], value, "{message}");
    }
}
