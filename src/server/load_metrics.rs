//! What `/metrics` shows of load, bounds and tenants.
//!
//! Read when someone asks, from the things that do the bounding, so that a figure cannot drift from what it is about. The
//! label `tenant` takes the names that credentials hold and no others, so the set of series is up to the operator. A user
//! without the role admin is shown the series of its own tenants alone.

use lynxstore_storage::engine::EngineStats;
use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, CounterVec, Encoder, Gauge, GaugeVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use super::auth::TenantName;
use super::state::ServerState;

/// The label of what belongs to one tenant.
const TENANT: &str = "tenant";

/// Figures that are read when they are asked for, and counts by tenant.
#[derive(Debug)]
pub(super) struct LoadMetrics {
    registry: Registry,
    /// Open connections.
    pub(super) connections: IntGauge,
    /// Requests by tenant and answer.
    pub(super) tenant_requests: IntCounterVec,
    bytes: GaugeVec,
    bytes_max: GaugeVec,
    running: GaugeVec,
    waiting: GaugeVec,
    disk_free: Gauge,
    disk_low: Gauge,
    compactions: Counter,
    compacted_bytes: Counter,
    tenant_samples: CounterVec,
    tenant_refused_series: CounterVec,
    tenant_series: GaugeVec,
    tenant_cached_series: GaugeVec,
    #[cfg(feature = "otel")]
    trace_spans: CounterVec,
    sampled_tables: GaugeVec,
    sampled_out: CounterVec,
    scrape: Mutex<()>,
}

/// Registers a metric; names are constants, each used once.
fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("the name and labels of a metric are valid constants");
    registry.register(Box::new(metric.clone())).expect("no two metrics have one name");
    metric
}

impl LoadMetrics {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| register(&registry, Gauge::new(name, help));
        let counter = |name: &str, help: &str| register(&registry, Counter::new(name, help));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, CounterVec::new(Opts::new(name, help), labels))
        };
        let gauges =
            |name: &str, help: &str, labels: &[&str]| register(&registry, GaugeVec::new(Opts::new(name, help), labels));
        Self {
            connections: register(&registry, IntGauge::new("lynxstore_http_connections", "Open connections.")),
            tenant_requests: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("lynxstore_tenant_requests_total", "Requests by tenant and answer."),
                    &[TENANT, "code"],
                ),
            ),
            bytes: gauges("lynxstore_memory_bytes", "Bytes that are held now, by what for.", &["area"]),
            bytes_max: gauges("lynxstore_memory_bytes_max", "The bound of those bytes.", &["area"]),
            running: gauges("lynxstore_jobs_running", "Requests that are worked on, by kind.", &["kind"]),
            waiting: gauges("lynxstore_jobs_waiting", "Requests that wait for their turn, by kind.", &["kind"]),
            disk_free: gauge("lynxstore_disk_free_bytes", "Free bytes on the disk of the database."),
            disk_low: gauge("lynxstore_disk_low", "1 while writes are refused for want of room on the disk."),
            compactions: counter("lynxstore_compactions_total", "Compactions that ended well."),
            compacted_bytes: counter("lynxstore_compacted_bytes_total", "Bytes of segments that compactions wrote."),
            tenant_samples: counters(
                "lynxstore_tenant_samples_total",
                "Samples that a tenant brought, by what became of them at its quota.",
                &[TENANT, "outcome"],
            ),
            tenant_refused_series: counters(
                "lynxstore_tenant_refused_series_total",
                "Series that were not let begin, each time that one came.",
                &[TENANT],
            ),
            tenant_series: gauges(
                "lynxstore_tenant_series",
                "Series of a tenant, as they were last counted at its quota; 0 before the first began.",
                &[TENANT],
            ),
            tenant_cached_series: gauges(
                "lynxstore_tenant_cached_series",
                "Series of a tenant in the cache of labels.",
                &[TENANT],
            ),
            #[cfg(feature = "otel")]
            trace_spans: counters(
                "lynxstore_trace_spans_total",
                "Spans for the collector of traces, by what became of them.",
                &["outcome"],
            ),
            sampled_tables: gauges(
                "lynxstore_sampled_tables",
                "Event tables that requests asked to be sampled, by how much of their events is kept now.",
                &[TENANT, "percent"],
            ),
            sampled_out: counters("lynxstore_sampled_out_rows_total", "Events that sampling left out.", &[TENANT]),
            registry,
            scrape: Mutex::new(()),
        }
    }

    /// All figures in the text format; of some tenants alone when they are named.
    pub(super) fn render(&self, state: &ServerState, stats: &EngineStats, only: Option<&[TenantName]>) -> Vec<u8> {
        let _one_at_a_time = self.scrape.lock();
        self.set(state, stats);
        let mut families = self.registry.gather();
        if let Some(only) = only {
            families = families.into_iter().filter_map(|family| of_tenants(family, only)).collect();
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text).expect("a vector takes every write");
        text
    }

    fn set(&self, state: &ServerState, stats: &EngineStats) {
        let (bodies, results) = (state.bodies.in_flight(), &state.results);
        for (area, bytes, bytes_max) in [
            ("memtables", stats.memtable_bytes, stats.memtable_bytes_max),
            ("writes", stats.writing_bytes, stats.memtable_bytes_max),
            ("wal_buffer", stats.wal_buffer_bytes, stats.memtable_bytes_max),
            ("bodies", bodies.bytes() as u64, bodies.bytes_max() as u64),
            ("results", results.bytes() as u64, results.bytes_max() as u64),
        ] {
            self.bytes.with_label_values(&[area]).set(bytes as f64);
            self.bytes_max.with_label_values(&[area]).set(bytes_max as f64);
        }
        for (kind, gate) in [("write", &state.write_gate), ("sql", &state.sql_gate)] {
            self.running.with_label_values(&[kind]).set(gate.running() as f64);
            self.waiting.with_label_values(&[kind]).set(gate.waiting() as f64);
        }
        self.disk_free.set(state.disk.free_bytes() as f64);
        self.disk_low.set(f64::from(u8::from(state.disk.is_low())));
        raise(&self.compactions, stats.compactions);
        raise(&self.compacted_bytes, stats.compacted_bytes);
        #[cfg(feature = "otel")]
        for (outcome, spans) in super::trace_export::span_counts().into_iter().flatten() {
            raise(&self.trace_spans.with_label_values(&[outcome]), spans);
        }
        for tenant in state.tenants.known() {
            let (name, quota) = (tenant.name(), &tenant.quota);
            raise(&self.tenant_samples.with_label_values(&[name, "accepted"]), quota.accepted_samples());
            raise(&self.tenant_samples.with_label_values(&[name, "refused"]), quota.refused_samples());
            raise(&self.tenant_refused_series.with_label_values(&[name]), quota.refused_series());
            self.tenant_series.with_label_values(&[name]).set(quota.series() as f64);
            // Names of tables come from outside, and are no labels.
            for (rate, tables) in tenant.event_samplers.tables() {
                self.sampled_tables.with_label_values(&[name, &rate.percent().to_string()]).set(tables as f64);
            }
            raise(&self.sampled_out.with_label_values(&[name]), tenant.event_samplers.sampled_out());
            self.tenant_cached_series.with_label_values(&[name]).set(tenant.writer.cached_series() as f64);
        }
    }
}

/// Brings a counter up to what was counted elsewhere.
fn raise(counter: &Counter, total: u64) {
    counter.inc_by((total as f64 - counter.get()).max(0.0));
}

/// The part of a family that belongs to some tenants; `None` when there is none.
fn of_tenants(mut family: MetricFamily, only: &[TenantName]) -> Option<MetricFamily> {
    let mut metrics = family.take_metric();
    metrics.retain(|metric| {
        let tenant = metric.get_label().iter().find(|label| label.name() == TENANT);
        tenant.is_some_and(|tenant| only.iter().any(|name| name.as_str() == tenant.value()))
    });
    if metrics.is_empty() {
        return None;
    }
    family.set_metric(metrics);
    Some(family)
}
