//! The gate in front of the memtables: writes wait here while memory or the log is over its bound.
//!
//! What a write is about to add counts from its admission on, so that writers that come together do not pass together:
//! its rows, and its record on the way to the log. The buffer in which the log puts records together counts too.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};

/// Counts the bytes in all memtables, of the writes on their way there and of the buffer of the log, and wakes writers
/// when bytes are freed.
#[derive(Debug)]
pub(super) struct MemoryGate {
    limit_bytes: u64,
    log_limit_bytes: u64,
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    used_bytes: u64,
    admitted_bytes: u64,
    /// Memory that the log keeps between writes.
    buffer_bytes: u64,
    /// Bytes in files.
    log_bytes: u64,
    closed: bool,
}

/// A write on its way into the memtable; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Admission<'a> {
    gate: &'a MemoryGate,
    bytes: u64,
}

impl MemoryGate {
    pub(super) fn new(limit_bytes: u64, log_limit_bytes: u64) -> Self {
        Self { limit_bytes, log_limit_bytes, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until memory and log are below their bounds. One write is always let in when there is nothing else in
    /// memory, however large.
    ///
    /// # Errors
    /// `Backpressure` after `deadline`; `Closed`.
    pub(super) fn admit(&self, bytes: u64, deadline: Duration) -> Result<Admission<'_>> {
        let until = Instant::now() + deadline;
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(Error::Closed);
            }
            let rows_bytes = state.used_bytes + state.admitted_bytes;
            let used_bytes = rows_bytes + state.buffer_bytes;
            let is_log_full = state.log_bytes >= self.log_limit_bytes;
            if !is_log_full && (rows_bytes == 0 || used_bytes < self.limit_bytes) {
                state.admitted_bytes += bytes;
                return Ok(Admission { gate: self, bytes });
            }
            if Instant::now() >= until {
                return Err(match is_log_full {
                    true => Error::Backpressure { used_bytes: state.log_bytes, limit_bytes: self.log_limit_bytes },
                    false => Error::Backpressure { used_bytes, limit_bytes: self.limit_bytes },
                });
            }
            self.changed.wait_until(&mut state, until);
        }
    }

    /// Reads the bytes in use anew. `bytes` runs under the gate's lock: a figure that was read before another reader's
    /// cannot be stored after it.
    pub(super) fn refresh(&self, bytes: impl FnOnce() -> u64) {
        let mut state = self.state.lock();
        state.used_bytes = bytes();
        self.changed.notify_all();
    }

    /// Takes the bytes of the log in files, which grow with writes and fall with flushes, and in its buffer.
    pub(super) fn set_log_bytes(&self, log_bytes: u64, buffer_bytes: u64) {
        let mut state = self.state.lock();
        let is_freed = log_bytes < state.log_bytes;
        (state.log_bytes, state.buffer_bytes) = (log_bytes, buffer_bytes);
        if is_freed {
            self.changed.notify_all();
        }
    }

    /// Bytes of the writes that were let in and have not returned.
    pub(super) fn admitted_bytes(&self) -> u64 {
        self.state.lock().admitted_bytes
    }

    /// Whether everybody is refused.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Refuses everybody from now on, also those who wait.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

impl Admission<'_> {
    /// Takes what the write turned out to need in place of what was estimated. It was let in, so it does not wait again.
    pub(super) fn settle(&mut self, bytes: u64) {
        let mut state = self.gate.state.lock();
        state.admitted_bytes = state.admitted_bytes - self.bytes + bytes;
        if bytes < self.bytes {
            self.gate.changed.notify_all();
        }
        self.bytes = bytes;
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().admitted_bytes -= self.bytes;
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_gate_fails_after_the_deadline_and_opens_when_memory_is_freed() {
        let gate = MemoryGate::new(100, u64::MAX);
        drop(gate.admit(1_000, Duration::ZERO).unwrap());
        gate.refresh(|| 100);
        let refused = gate.admit(1, Duration::from_millis(1)).unwrap_err();
        assert!(matches!(refused, Error::Backpressure { used_bytes: 100, limit_bytes: 100 }));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.admit(1, Duration::from_secs(60)).map(drop));
            gate.refresh(|| 99);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn writers_that_come_together_do_not_pass_together() {
        let gate = MemoryGate::new(100, u64::MAX);
        let first = gate.admit(100, Duration::ZERO).unwrap();
        assert!(gate.admit(1, Duration::ZERO).is_err());
        drop(first);
        gate.admit(1, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_full_log_holds_writes_back_though_memory_is_free() {
        let gate = MemoryGate::new(100, 50);
        gate.set_log_bytes(50, 0);
        let refused = gate.admit(1, Duration::ZERO).unwrap_err();
        assert!(matches!(refused, Error::Backpressure { used_bytes: 50, limit_bytes: 50 }));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.admit(1, Duration::from_secs(60)).map(drop));
            gate.set_log_bytes(49, 0);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_write_that_needs_less_than_estimated_lets_the_next_one_in() {
        let gate = MemoryGate::new(100, u64::MAX);
        let mut first = gate.admit(150, Duration::ZERO).unwrap();
        assert!(gate.admit(1, Duration::ZERO).is_err());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.admit(1, Duration::from_secs(60)).map(drop));
            first.settle(99);
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(gate.admitted_bytes(), 99);
        drop(first);
        assert_eq!(gate.admitted_bytes(), 0);
    }

    #[test]
    fn the_buffer_of_the_log_counts_but_never_shuts_out_the_only_write() {
        let gate = MemoryGate::new(100, u64::MAX);
        gate.set_log_bytes(0, 100);
        let only = gate.admit(1, Duration::ZERO).unwrap();
        let refused = gate.admit(1, Duration::ZERO).unwrap_err();
        assert!(matches!(refused, Error::Backpressure { used_bytes: 101, limit_bytes: 100 }));
        drop(only);
    }

    #[test]
    fn closing_wakes_those_who_wait() {
        let gate = MemoryGate::new(1, u64::MAX);
        gate.refresh(|| 1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.admit(1, Duration::from_secs(60)).map(drop));
            gate.close();
            assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
        });
    }
}
