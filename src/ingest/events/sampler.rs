//! Keeps a part of the lines of an event table while more come than can be written, for requests that ask for it.
//!
//! Each table of a tenant has a sampler: it counts the lines that come, how long the last writes took and how many of them
//! failed, and about once a second [`AdaptiveSampler`] says from that how much is kept. A line is kept by a hash of its
//! bytes that is the same in every process, so a repetition meets the same fate as long as the rate is the same; a kept
//! one carries its weight in [`WEIGHT_COLUMN`].
//!
//! Several threads write at once. The lock is held to count, never while a request is written.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memchr::memchr_iter;
use parking_lot::Mutex;

use super::write::{EventOptions, write};
use crate::ingest::rows::{RowOutcome, RowWriter, RowsError};
use crate::ingest::sampling::{AdaptiveSampler, SamplingLoad, SamplingOptions, SamplingRate};

/// The field of kept events that says how many events each stands for.
pub(super) const WEIGHT_COLUMN: &str = "sample_weight";

/// Tables of a tenant that have a sampler at the same time; one more takes the place of the one that was written to
/// longest ago, which begins anew when it comes back. Names of tables come from outside: without a bound they would fill
/// memory.
const TABLES_MAX: usize = 256;
/// The last writes that count for latency and errors.
const WRITES_MAX: usize = 64;
/// Writes before that long count no more: a table with few requests would else remember one bad minute for an hour.
const WRITE_AGE_MAX: Duration = Duration::from_secs(60);
/// How long lines are counted before the sampler is asked.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);

/// Whether a line is kept at a rate.
pub(super) fn keeps(rate: SamplingRate, line: &[u8]) -> bool {
    // The checksums of lines that differ in a counter differ in few ways: spread them before a remainder is taken.
    // The multiplier is 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4).
    let spread = u64::from(crc32c::crc32c(line)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    rate.keeps(spread >> 32)
}

/// The samplers of the event tables of one tenant.
#[derive(Debug)]
pub struct EventSamplers {
    options: SamplingOptions,
    tables: Mutex<HashMap<Box<str>, TableSampler>>,
    sampled_out: AtomicU64,
}

/// How many tables keep which part of their events.
pub type SamplingTables = [(SamplingRate, u64); 4];

#[derive(Debug)]
struct TableSampler {
    adaptive: AdaptiveSampler,
    /// What its times are counted from.
    start: Instant,
    last_used: Instant,
    /// Lines that came since then, kept or not.
    lines: u64,
    counted_since: Instant,
    /// The last writes, the newest last.
    writes: VecDeque<FinishedWrite>,
}

#[derive(Debug, Clone, Copy)]
struct FinishedWrite {
    end: Instant,
    latency: Duration,
    end_state: EndState,
}

/// Whether the engine took a write. What a client did wrong is no failure: it says nothing of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndState {
    Written,
    Failed,
}

impl EventSamplers {
    /// No table yet.
    pub fn new(options: SamplingOptions) -> Self {
        Self { options, tables: Mutex::default(), sampled_out: AtomicU64::new(0) }
    }

    /// The tables that requests asked to be sampled, by their rate as it was last decided.
    pub fn tables(&self) -> SamplingTables {
        let mut counts = SamplingRate::ALL.map(|rate| (rate, 0));
        for sampler in self.tables.lock().values() {
            counts[sampler.adaptive.rate() as usize].1 += 1;
        }
        counts
    }

    /// Lines that were left out since the start, of requests that were written.
    pub fn sampled_out(&self) -> u64 {
        self.sampled_out.load(Ordering::Relaxed)
    }

    /// Writes a body as [`write()`] does, but at the rate of its table. `clock` never goes back.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn write(
        &self,
        writer: &RowWriter,
        table: &str,
        body: &[u8],
        options: &EventOptions,
        clock: impl Fn() -> Instant,
    ) -> Result<RowOutcome, RowsError> {
        if table.len() > writer.limits().name_bytes_max {
            // Every line will be refused: no reason to remember such a name.
            return write(writer, table, body, options);
        }
        // Blank lines count: to tell them apart would be another pass over the body.
        let lines = memchr_iter(b'\n', body).count() + usize::from(!body.is_empty() && !body.ends_with(b"\n"));
        let begin = clock();
        let rate = self.begin(table, lines as u64, begin);
        let result = write(writer, table, body, &EventOptions { sampling: Some(rate), ..options.clone() });
        let end = clock();
        let end_state = match &result {
            Err(RowsError::Store(_)) => EndState::Failed,
            _ => EndState::Written,
        };
        if let Ok(RowOutcome { sampled: Some(sampled), .. }) = &result {
            self.sampled_out.fetch_add(sampled.sampled_out, Ordering::Relaxed);
        }
        self.finish(table, FinishedWrite { end, latency: end.saturating_duration_since(begin), end_state });
        result
    }

    /// Counts lines that came, and says how much of them is kept.
    fn begin(&self, table: &str, lines: u64, now: Instant) -> SamplingRate {
        let mut tables = self.tables.lock();
        if let Some(sampler) = tables.get_mut(table) {
            return sampler.begin(lines, now);
        }
        if tables.len() >= TABLES_MAX {
            let oldest = tables.iter().min_by_key(|(_, sampler)| sampler.last_used).map(|(name, _)| name.clone());
            if let Some(name) = oldest {
                tables.remove(&name);
            }
        }
        let sampler = TableSampler {
            adaptive: AdaptiveSampler::new(self.options),
            start: now,
            last_used: now,
            lines: 0,
            counted_since: now,
            writes: VecDeque::new(),
        };
        tables.entry(table.into()).or_insert(sampler).begin(lines, now)
    }

    fn finish(&self, table: &str, write: FinishedWrite) {
        if let Some(sampler) = self.tables.lock().get_mut(table) {
            sampler.writes.push_back(write);
            if sampler.writes.len() > WRITES_MAX {
                sampler.writes.pop_front();
            }
        }
    }
}

impl TableSampler {
    fn begin(&mut self, lines: u64, now: Instant) -> SamplingRate {
        self.last_used = now;
        let counted = now.saturating_duration_since(self.counted_since);
        if counted >= OBSERVE_EVERY {
            let load = self.load(counted, now);
            self.adaptive.observe(&load, now.saturating_duration_since(self.start));
            self.lines = 0;
            self.counted_since = now;
        }
        self.lines += lines;
        self.adaptive.rate()
    }

    fn load(&mut self, counted: Duration, now: Instant) -> SamplingLoad {
        self.writes.retain(|write| now.saturating_duration_since(write.end) <= WRITE_AGE_MAX);
        let mut latencies: Vec<Duration> = self.writes.iter().map(|write| write.latency).collect();
        latencies.sort_unstable();
        let failed = self.writes.iter().filter(|write| write.end_state == EndState::Failed).count();
        SamplingLoad {
            rows_per_second: self.lines as f64 / counted.as_secs_f64(),
            // The least latency that 95 of 100 writes do not exceed.
            write_p95: (latencies.len() * 95).div_ceil(100).checked_sub(1).map_or(Duration::ZERO, |at| latencies[at]),
            error_rate: failed as f64 / latencies.len().max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::Path;
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use lynxstore_query::{QueryEngine, QueryOptions};
    use lynxstore_storage::engine::{Background, Engine, EngineOptions};
    use lynxstore_storage::io::sim::{FaultAt, FaultKind, SimIo};

    use super::*;
    use crate::ingest::rows::{RowLimits, SampledRows};

    struct Fixture {
        disk: SimIo,
        query: QueryEngine,
        writer: RowWriter,
        samplers: EventSamplers,
        now: Cell<Instant>,
        /// How long a write takes.
        latency: Cell<Duration>,
        lines: Cell<u64>,
    }

    impl Fixture {
        /// At most 1,000 rows per second.
        fn new() -> Self {
            let disk = SimIo::new();
            let options = EngineOptions { background: Background::Caller, ..EngineOptions::default() };
            let engine = Arc::new(Engine::open_with(Arc::new(disk.clone()), Path::new("/db"), options).unwrap());
            Self {
                disk,
                query: QueryEngine::new(Arc::clone(&engine), QueryOptions::default()),
                writer: RowWriter::new(engine, "public", RowLimits::default(), 1 << 20),
                samplers: EventSamplers::new(SamplingOptions { rows_per_second_max: 1_000.0, ..Default::default() }),
                now: Cell::new(Instant::now()),
                latency: Cell::new(Duration::ZERO),
                lines: Cell::new(0),
            }
        }

        fn write(&self, body: &str, options: &EventOptions) -> Result<RowOutcome, RowsError> {
            // The first look at the clock is before the write, the second one after it.
            let looks = Cell::new(0);
            let clock = || {
                looks.set(looks.get() + 1);
                self.now.get() + if looks.get() == 1 { Duration::ZERO } else { self.latency.get() }
            };
            self.samplers.write(&self.writer, "e", body.as_bytes(), options, clock)
        }

        fn body(&self, lines: u64) -> String {
            let first = self.lines.replace(self.lines.get() + lines);
            let line = |id: u64| format!("{{\"time\":{},\"id\":\"event-{id}\"}}\n", 1_767_225_600_000 + id);
            (first..first + lines).map(line).collect()
        }

        /// So many new lines in the next second; the weight and how many were left out.
        fn second(&self, lines: u64) -> SampledRows {
            let sampled = self.write(&self.body(lines), &EventOptions::default()).unwrap().sampled.unwrap();
            self.now.set(self.now.get() + Duration::from_secs(1));
            sampled
        }

        fn sum_of_weights(&self) -> f64 {
            let output = self.query.execute("SELECT sum(sample_weight) FROM e").unwrap();
            output.batches[0].column(0).as_primitive::<Int64Type>().value(0) as f64
        }
    }

    #[test]
    fn under_a_flood_fewer_lines_are_kept_and_their_weights_estimate_how_many_came() {
        let fixture = Fixture::new();
        assert_eq!(fixture.second(5_000), SampledRows { sampled_out: 0, weight: 1 });
        for _ in 0..4 {
            let sampled = fixture.second(5_000);
            assert_eq!(sampled.weight, 5);
            assert!((3_800..4_200).contains(&sampled.sampled_out), "{sampled:?}");
        }
        let error = fixture.sum_of_weights() / 25_000.0 - 1.0;
        assert!(error.abs() < 0.03, "{error}");
        // Twenty times the bound: at once the least rate.
        let fixture = Fixture::new();
        fixture.second(20_000);
        for _ in 0..5 {
            assert_eq!(fixture.second(20_000).weight, 100);
        }
        let error = fixture.sum_of_weights() / 120_000.0 - 1.0;
        assert!(error.abs() < 0.1, "{error}");
    }

    #[test]
    fn after_a_minute_of_calm_every_line_is_kept_again() {
        let fixture = Fixture::new();
        fixture.second(5_000);
        assert_eq!(fixture.second(5_000).weight, 5);
        let seconds = (0..200).take_while(|_| fixture.second(100).weight == 5).count();
        assert!((60..65).contains(&seconds), "{seconds}");
        assert_eq!(fixture.second(100), SampledRows { sampled_out: 0, weight: 1 });
    }

    #[test]
    fn a_repetition_meets_the_same_fate() {
        let fixture = Fixture::new();
        fixture.second(5_000);
        fixture.second(5_000);
        let options = EventOptions { dedup_key: vec!["id".into()], ..EventOptions::default() };
        let body = fixture.body(1_000);
        let first = fixture.write(&body, &options).unwrap();
        // Spaces around a line are not part of it.
        let again = fixture.write(&body.replace('\n', " \r\n"), &options).unwrap();
        assert!((100..300).contains(&first.written), "{first:?}");
        assert_eq!((again.written, again.duplicates), (0, first.written));
        assert_eq!(again.sampled, first.sampled);
        assert_eq!(first.sampled.unwrap().sampled_out + first.written, 1_000);
    }

    #[test]
    fn writes_that_are_slow_or_fail_lower_the_rate_until_they_are_forgotten() {
        let fixture = Fixture::new();
        fixture.latency.set(Duration::from_millis(300));
        assert_eq!(fixture.second(10).weight, 1);
        fixture.latency.set(Duration::ZERO);
        assert_eq!(fixture.second(10).weight, 5);
        let fixture = Fixture::new();
        fixture.second(10);
        fixture.disk.fail(FaultAt::From(fixture.disk.operations() + 1), FaultKind::Eio);
        assert!(matches!(fixture.write(&fixture.body(10), &EventOptions::default()), Err(RowsError::Store(_))));
        let second = |number| fixture.now.get() + Duration::from_secs(number);
        assert_eq!(fixture.samplers.begin("e", 0, second(1)).weight(), 100);
        // What failed is out of the window a minute later; calm lasts another one, for each step.
        let weights: Vec<u64> =
            (2..=260).map(|number| fixture.samplers.begin("e", 0, second(number)).weight()).collect();
        assert_eq!(weights[..100], [100; 100]);
        assert_eq!(weights.last(), Some(&1));
    }

    #[test]
    fn an_event_that_brings_a_weight_of_its_own_is_refused() {
        let fixture = Fixture::new();
        let body = "{\"time\":1767225600,\"sample_weight\":3}\n{\"time\":1767225600,\"id\":\"a\"}\n";
        let outcome = fixture.write(body, &EventOptions::default()).unwrap();
        assert_eq!((outcome.written, outcome.rejected.count()), (1, 1));
    }

    #[test]
    fn as_many_tables_as_may_be_have_a_sampler_and_the_one_used_last_stays() {
        let samplers = EventSamplers::new(SamplingOptions::default());
        let start = Instant::now();
        for number in 0..1_000 {
            samplers.begin(&format!("t{number}"), 1, start + Duration::from_millis(number));
            samplers.begin("always", 1, start + Duration::from_millis(number));
        }
        let tables = samplers.tables.lock();
        assert_eq!(tables.len(), TABLES_MAX);
        assert!(tables.contains_key("always") && tables.contains_key("t999") && !tables.contains_key("t1"));
    }
}
