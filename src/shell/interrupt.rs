//! Ctrl-C while a statement runs: cancels the statement, not the shell.
//!
//! A second Ctrl-C, when the statement does not heed the first, ends the process; what was acknowledged is safe then too.
//!
//! At the prompt the terminal is in raw mode and Ctrl-C is a key; a signal arrives only in between. A signal that finds no
//! statement running is forgotten when the next one starts.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::Cancellation;

/// As a shell reports a process that SIGINT ended.
const EXIT_CODE: i32 = 128 + 2;

/// Tells the running statement of Ctrl-C. Clones share one state.
#[derive(Clone, Default)]
pub(super) struct Interrupt {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_pressed: AtomicBool,
    running: Mutex<Cancellation>,
}

impl Interrupt {
    /// Takes Ctrl-C from the operating system, which would end the process. When that fails, it goes on doing so.
    pub(super) fn listen(&self) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let state = Arc::clone(&self.state);
        // The thread ends with the process.
        let _ = thread::Builder::new().name("tsq-interrupt".into()).spawn(move || {
            runtime.block_on(async {
                while tokio::signal::ctrl_c().await.is_ok() {
                    if state.is_pressed.swap(true, Ordering::AcqRel) {
                        std::process::exit(EXIT_CODE);
                    }
                    state.running.lock().cancel();
                }
            });
        });
    }

    /// What cancels the statement that starts now.
    pub(super) fn start_statement(&self) -> Cancellation {
        let cancellation = Cancellation::new();
        *self.state.running.lock() = cancellation.clone();
        self.state.is_pressed.store(false, Ordering::Release);
        cancellation
    }

    /// Writes to `inner` until Ctrl-C, so that a long result can be stopped too.
    pub(super) fn stop_writing<W: Write>(&self, inner: W) -> impl Write {
        StoppableWriter { inner, state: Arc::clone(&self.state) }
    }
}

struct StoppableWriter<W> {
    inner: W,
    state: Arc<State>,
}

impl<W: Write> Write for StoppableWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not `ErrorKind::Interrupted`, upon which writers try again.
        if self.state.is_pressed.load(Ordering::Acquire) {
            return Err(io::Error::other("interrupted by Ctrl-C"));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_statement_forgets_the_interrupt_of_the_last_one() {
        let interrupt = Interrupt::default();
        interrupt.start_statement();
        let mut out = Vec::new();
        interrupt.stop_writing(&mut out).write_all(b"a").unwrap();
        interrupt.state.is_pressed.store(true, Ordering::Release);
        assert!(interrupt.stop_writing(&mut out).write_all(b"b").is_err());
        interrupt.start_statement();
        interrupt.stop_writing(&mut out).write_all(b"c").unwrap();
        assert_eq!(out, b"ac");
    }
}
