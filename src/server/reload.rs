//! Files that a running server takes anew when they change: credentials and certificates.
//!
//! Their time of change and length are looked at now and then, and at once after SIGHUP: that works on every file system
//! and through the symbolic links by which orchestrators exchange files, where watching by the kernel does not. What
//! cannot be read is refused loudly and what was read before stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::state::ServerState;

/// Files that belong together, and what is done when one of them changes.
pub(super) struct Watched {
    /// For the log and the metrics.
    pub(super) what: &'static str,
    pub(super) paths: Vec<PathBuf>,
    /// How they were before they were read last.
    pub(super) seen: Stamps,
    pub(super) load: Box<dyn Fn() -> Result<String, String> + Send>,
}

/// How some files are at a moment. To be taken before they are read: what changes meanwhile is then read again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Stamps(Vec<Stamp>);

impl Stamps {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| Stamp::of(path)).collect())
    }
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path).ok();
        Self(metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len(), inode(&metadata)))))
    }
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

/// Looks after files until it is dropped.
pub(super) async fn watch(state: Arc<ServerState>, mut files: Vec<Watched>, interval: Duration) {
    let mut hangup = Hangup::new();
    loop {
        let is_asked = tokio::select! {
            () = tokio::time::sleep(interval) => false,
            () = hangup.received() => true,
        };
        for watched in &mut files {
            let now = Stamps::of(&watched.paths);
            if watched.seen == now && !is_asked {
                continue;
            }
            // Noted before the outcome, so that one broken file is one message.
            watched.seen = now;
            match (watched.load)() {
                Ok(summary) => {
                    state.metrics.reloads.with_label_values(&[watched.what, "taken"]).inc();
                    tracing::info!(what = watched.what, summary, "files were read anew");
                }
                Err(error) => {
                    state.metrics.reloads.with_label_values(&[watched.what, "refused"]).inc();
                    tracing::error!(
                        what = watched.what,
                        error,
                        "changed files were REFUSED; the server goes on with the old ones"
                    );
                }
            }
        }
    }
}

/// SIGHUP, where there is one.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    async fn received(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}
