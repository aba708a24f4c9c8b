//! The unit, the container and the configuration of docs/examples start a server: each command line in them is carried out
//! on the configuration beside them, as far as `--check-config` goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use lynxstore::server::hash_token;

use crate::support::{project_root, scratch_dir, tsq_binary};

/// Where the examples expect their configuration.
const CONFIGURATION: &str = "/etc/lynxstore/";

fn example(name: &str) -> String {
    fs::read_to_string(project_root().join("docs/examples").join(name)).unwrap()
}

/// The configuration of the examples in a folder of the test, with credentials.
fn put_configuration(folder: &Path) {
    let text = example("lynxstore.toml").replace(CONFIGURATION, &format!("{}/", folder.display()));
    fs::write(folder.join("lynxstore.toml"), text).unwrap();
    let hash = hash_token("a token");
    let users = format!("[[users]]\nname = \"a\"\ntoken_sha256 = \"{hash}\"\nroles = [\"write\"]\n");
    fs::write(folder.join("credentials.toml"), users).unwrap();
    fs::set_permissions(folder.join("credentials.toml"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Checks a command line of an example with its variables; what it says the configuration is.
fn check(folder: &Path, words: &[String], variables: &[(String, String)]) -> String {
    let (program, arguments) = words.split_first().expect("a command line has a program");
    assert_eq!(program, "/usr/local/bin/tsq");
    let mut command = Command::new(tsq_binary());
    command.current_dir(folder).stdin(Stdio::null()).env_remove("TSQ_LOG").envs(variables.iter().cloned());
    for argument in arguments.iter().filter(|argument| *argument != "--check-config") {
        command.arg(argument.replace(CONFIGURATION, &format!("{}/", folder.display())));
    }
    let output = command.arg("--check-config").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let errors = text(output.stderr);
    assert!(output.status.success() && errors.contains("1 users"), "{words:?}: {errors}");
    text(output.stdout)
}

#[test]
fn the_systemd_unit_starts_with_the_configuration_beside_it() {
    let folder = scratch_dir();
    put_configuration(folder.path());
    let unit = example("lynxstore.service");
    for key in ["ExecStartPre=", "ExecStart="] {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("there is no {key}"));
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let shown = check(folder.path(), &words, &[]);
        assert!(shown.contains("disk_free = \"1GiB\"  # file"), "{shown}");
    }
}

#[test]
fn the_container_starts_with_the_configuration_beside_it() {
    let folder = scratch_dir();
    put_configuration(folder.path());
    let file = example("Containerfile");
    // Of several the last counts.
    let list = |key: &str| -> Vec<String> {
        let line = file.lines().rev().find_map(|line| line.strip_prefix(key));
        serde_json::from_str(line.unwrap_or_else(|| panic!("there is no {key}"))).unwrap()
    };
    let variables = file.lines().filter_map(|line| line.strip_prefix("ENV ")).flat_map(str::split_whitespace);
    let variables: Vec<_> =
        variables.map(|pair| pair.split_once('=').unwrap()).map(|(name, value)| (name.into(), value.into())).collect();
    let shown = check(folder.path(), &[list("ENTRYPOINT "), list("CMD ")].concat(), &variables);
    for line in [
        "listen = \"0.0.0.0:9393\"  # environment",
        "directory = \"/data\"  # flag",
        "format = \"json\"  # environment",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
}
