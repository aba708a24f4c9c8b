//! What `/metrics` shows: requests, samples, statements, the engine and the process.
//!
//! Request figures are counted as they happen; those of the engine and the process are read when someone asks, under one
//! lock, so that two scrapes at once do not mix.

use lynxstore_storage::engine::EngineStats;
use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{
    Counter, Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use super::process;
use crate::ingest::prometheus::{RejectReason, WriteOutcome};
use crate::ingest::rejected::RejectedCounts;

/// Durations from half a millisecond to half a minute.
const DURATION_BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// All metrics of a server.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    pub(super) requests: IntCounterVec,
    pub(super) request_seconds: HistogramVec,
    pub(super) refused_requests: IntCounterVec,
    pub(super) reloads: IntCounterVec,
    pub(super) received_bytes: IntCounter,
    decoded_bytes: IntCounter,
    written: IntCounterVec,
    rejected: IntCounterVec,
    rejected_elements: IntCounterVec,
    pub(super) retried_requests: IntCounter,
    pub(super) statement_seconds: HistogramVec,
    pub(super) result_rows: IntCounter,
    cached_series: Gauge,
    engine_totals: Vec<Counter>,
    engine_figures: Vec<Gauge>,
    process_cpu: Counter,
    process_figures: Vec<Gauge>,
    scrape: Mutex<()>,
}

/// Registers a metric. Names are constants, each used once, so neither step can fail on them.
fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("the name and labels of a metric are valid constants");
    registry.register(Box::new(metric.clone())).expect("no two metrics have one name");
    metric
}

impl Metrics {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histograms = |name: &str, help: &str, label: &str| {
            let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
            register(&registry, HistogramVec::new(options, &[label]))
        };
        let gauge = |name: &str, help: &str| register(&registry, Gauge::new(name, help));

        let build = GaugeVec::new(Opts::new("lynxstore_build_info", "Version of the program; always 1."), &["version"]);
        register(&registry, build).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let rejected = counters(
            "lynxstore_remote_write_rejected_total",
            "Series and elements of remote-write requests that were left out, by reason.",
            &["reason"],
        );
        let reloads = counters(
            "lynxstore_reloads_total",
            "Files that changed under the running server, by what became of them.",
            &["what", "outcome"],
        );
        for what in ["credentials", "tls"] {
            ["taken", "refused"].iter().for_each(|outcome| _ = reloads.with_label_values(&[what, outcome]));
        }
        for reason in RejectReason::ALL {
            // So that the first rejection is an increase and not a new series.
            rejected.with_label_values(&[reason.as_str()]);
        }
        Self {
            requests: counters("lynxstore_http_requests_total", "Requests by path and answer.", &["path", "code"]),
            request_seconds: histograms(
                "lynxstore_http_request_duration_seconds",
                "From the head of a request to the head of its answer.",
                "path",
            ),
            refused_requests: counters(
                "lynxstore_http_refused_requests_total",
                "Requests that were refused before their handler, by reason.",
                &["reason"],
            ),
            reloads,
            received_bytes: counter("lynxstore_remote_write_received_bytes_total", "Bytes of remote-write bodies."),
            decoded_bytes: counter(
                "lynxstore_remote_write_decoded_bytes_total",
                "Bytes of remote-write bodies after decompression, of requests that were written.",
            ),
            written: counters(
                "lynxstore_remote_write_written_total",
                "What remote-write requests made durable, by kind of element.",
                &["kind"],
            ),
            rejected,
            rejected_elements: counters(
                "lynxstore_rejected_total",
                "Samples and rows that were refused, by tenant, protocol and reason.",
                &["tenant", "protocol", "reason"],
            ),
            retried_requests: counter(
                "lynxstore_remote_write_retried_requests_total",
                "Remote-write requests that their sender marked as a repetition.",
            ),
            statement_seconds: histograms(
                "lynxstore_sql_duration_seconds",
                "Execution of SQL statements that succeeded, by the part of the system that ran them.",
                "route",
            ),
            result_rows: counter("lynxstore_sql_result_rows_total", "Rows of SQL results."),
            cached_series: gauge("lynxstore_remote_write_cached_series", "Series in the cache of labels."),
            engine_totals: [
                ("lynxstore_commits_total", "Commits."),
                ("lynxstore_rows_written_total", "Rows written, before duplicates are resolved."),
                ("lynxstore_wal_syncs_total", "Syncs of the write-ahead log."),
                ("lynxstore_flushes_total", "Flushes that ended well."),
                ("lynxstore_flush_failures_total", "Flushes that failed and are tried again."),
                ("lynxstore_flushed_bytes_total", "Bytes of segments that flushes wrote."),
            ]
            .map(|(name, help)| register(&registry, Counter::new(name, help)))
            .into(),
            engine_figures: [
                ("lynxstore_wal_bytes", "Bytes in files of the write-ahead log."),
                ("lynxstore_memtable_bytes", "Bytes in memtables."),
                ("lynxstore_memtable_rows", "Rows in memtables, before duplicates are resolved."),
                ("lynxstore_segments", "Segments."),
                ("lynxstore_segment_bytes", "Bytes of all segments."),
                ("lynxstore_tables", "Tables."),
            ]
            .map(|(name, help)| gauge(name, help))
            .into(),
            process_cpu: register(
                &registry,
                Counter::new("process_cpu_seconds_total", "Processor time, user and system."),
            ),
            process_figures: [
                ("process_resident_memory_bytes", "Memory in use, mapped files included."),
                ("process_virtual_memory_bytes", "Address space in use."),
                ("process_threads", "Threads."),
                ("process_open_fds", "Open file descriptors."),
                ("process_start_time_seconds", "Start of the process, in seconds since the epoch."),
            ]
            .map(|(name, help)| gauge(name, help))
            .into(),
            registry,
            scrape: Mutex::new(()),
        }
    }

    /// Counts what a request wrote and what it did not.
    pub(super) fn count_write(&self, outcome: &WriteOutcome) {
        let written = &outcome.written;
        for (kind, count) in [
            ("series", written.series),
            ("samples", written.samples),
            ("histograms", written.histograms),
            ("exemplars", written.exemplars),
            ("metadata", written.metadata),
        ] {
            self.written.with_label_values(&[kind]).inc_by(count);
        }
        self.decoded_bytes.inc_by(outcome.decoded_bytes);
        for (reason, count) in outcome.rejected.by_reason() {
            self.rejected.with_label_values(&[reason.as_str()]).inc_by(count);
        }
    }

    /// All metrics in the text format.
    pub(super) fn render(&self, engine: &EngineStats, cached_series: usize) -> Vec<u8> {
        let _one_at_a_time = self.scrape.lock();
        self.set_engine(engine);
        self.set_process();
        self.cached_series.set(cached_series as f64);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("a vector takes every write");
        text
    }

    /// Shows how much was refused of a tenant so far.
    pub(super) fn set_rejected(&self, tenant: &str, counts: &RejectedCounts) {
        for ((protocol, reason), count) in counts {
            let counter = self.rejected_elements.with_label_values(&[tenant, protocol, reason]);
            // Two scrapes at once may both see the lower count; neither takes anything back.
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }

    fn set_engine(&self, stats: &EngineStats) {
        // In the order in which they were registered.
        let totals = [
            stats.commits,
            stats.rows_written,
            stats.wal_syncs,
            stats.flushes,
            stats.flush_failures,
            stats.flushed_bytes,
        ];
        for (counter, total) in self.engine_totals.iter().zip(totals) {
            counter.inc_by((total as f64 - counter.get()).max(0.0));
        }
        let figures = [
            stats.wal_bytes,
            stats.memtable_bytes,
            stats.memtable_rows,
            stats.segments,
            stats.segment_bytes,
            stats.tables,
        ];
        for (gauge, figure) in self.engine_figures.iter().zip(figures) {
            gauge.set(figure as f64);
        }
    }

    fn set_process(&self) {
        let Some(figures) = process::read() else { return };
        self.process_cpu.inc_by((figures.cpu_seconds - self.process_cpu.get()).max(0.0));
        let values = [
            figures.resident_bytes as f64,
            figures.virtual_bytes as f64,
            figures.threads as f64,
            figures.open_fds as f64,
            figures.start_time_seconds,
        ];
        for (gauge, value) in self.process_figures.iter().zip(values) {
            gauge.set(value);
        }
    }
}
