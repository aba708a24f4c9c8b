//! What a process took of the machine: CPU time and memory, as Linux counts them.
#![allow(dead_code, unreachable_pub)] // Each benchmark is a crate of its own and uses a part of this module.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The most anonymous memory that the process held, looked at every few milliseconds. Mapped files do not count.
pub struct Peak {
    most_kib: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Peak {
    /// Looks until it is dropped.
    pub fn watch() -> Self {
        let peak = Self { most_kib: Arc::default(), is_over: Arc::default() };
        let (most_kib, is_over) = (Arc::clone(&peak.most_kib), Arc::clone(&peak.is_over));
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                most_kib.fetch_max(anonymous_kib(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        peak
    }

    /// The most so far.
    pub fn mib(&self) -> u64 {
        self.most_kib.load(Ordering::Relaxed) / 1024
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Anonymous memory that the process holds now.
pub fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Seconds of CPU time of all threads so far, in and outside of the kernel, in steps of 10 ms; 0 where Linux does not say.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the command, in parentheses, may hold anything; the times are the 12th and 13th field behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
