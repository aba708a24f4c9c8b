//! Where typed statements are remembered: `$XDG_STATE_HOME/tsq/history`, by default `~/.local/state/tsq/history`.

use std::path::PathBuf;

use reedline::{FileBackedHistory, History};

const ENTRIES_MAX: usize = 10_000;

/// The history in the user's file; one in memory when there is no such file to be had, which is no error.
pub(super) fn open() -> Option<Box<dyn History>> {
    let history = path()
        .filter(|path| path.parent().is_some_and(|parent| std::fs::create_dir_all(parent).is_ok()))
        .and_then(|path| FileBackedHistory::with_file(ENTRIES_MAX, path).ok())
        .or_else(|| FileBackedHistory::new(ENTRIES_MAX).ok())?;
    Some(Box::new(history))
}

fn path() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("tsq/history"))
}
