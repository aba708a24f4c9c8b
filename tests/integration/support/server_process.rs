//! `tsq serve` as a process of its own that senders write to and tests kill.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{KillOnDrop, tsq_binary};

/// When a server is killed under a sender: after each of these times. Ordinary runs are short; `LYNX_SENDER_SECONDS` and
/// `LYNX_KILL_EVERY_S` ask for another length, 100 s and a kill every 20 s where only one of them is set.
pub fn kill_times(ordinary: &[Duration]) -> Vec<Duration> {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match (setting("LYNX_SENDER_SECONDS"), setting("LYNX_KILL_EVERY_S")) {
        (None, None) => ordinary.to_vec(),
        (seconds, every) => {
            let every = every.unwrap_or(20);
            vec![Duration::from_secs(every); (seconds.unwrap_or(100) / every) as usize]
        }
    }
}

pub fn start_server(dir: &Path, port: u16) -> KillOnDrop {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.with_extension("log")).unwrap();
    let child = Command::new(tsq_binary())
        .arg("serve")
        .arg(dir)
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let server = KillOnDrop(child);
    wait_until_up(&format!("http://127.0.0.1:{port}/-/healthy"), "tsq serve");
    server
}

pub fn wait_until_up(url: &str, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while ureq::get(url).call().is_err() {
        assert!(Instant::now() < deadline, "{what} does not answer at {url}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// SIGTERM; the process must end by itself, with success.
pub fn stop_gracefully(mut process: KillOnDrop, what: &str) {
    let id = process.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            assert!(status.success(), "{what} ended with {status} after SIGTERM");
            return;
        }
        assert!(Instant::now() < deadline, "{what} does not end after SIGTERM");
        std::thread::sleep(Duration::from_millis(20));
    }
}
