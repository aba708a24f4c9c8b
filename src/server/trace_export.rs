//! Spans on their way to a collector of OpenTelemetry.
//!
//! A span that ends goes into a bounded queue, from which a thread of its own posts batches as OTLP. Nobody who works on a
//! request ever waits for the collector: where the queue is full, the span is dropped and counted, and what the collector
//! does not take is counted too. At a shutdown what is queued has a few seconds to leave.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::log_limit::LogLimit;
use super::secret_file::read_secret_file;
use super::trace_options::TraceOptions;

/// Spans that wait to be sent; a request has about three.
const QUEUE_SPANS_MAX: usize = 4_096;
/// Spans of one post.
const BATCH_SPANS_MAX: usize = 512;
/// How long a span waits for others to be sent with.
const LINGER: Duration = Duration::from_secs(1);
/// How long a post may take.
const POST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the spans that are queued at a shutdown have to leave.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// What the server is called where nobody says otherwise.
const SERVICE_NAME: &str = "lynxstore";

/// What became of the spans of this process.
#[derive(Debug, Default)]
pub(super) struct SpanCounts {
    queued: AtomicUsize,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

static COUNTS: OnceLock<Arc<SpanCounts>> = OnceLock::new();

/// Spans by what became of them, once an export was started.
pub(super) fn span_counts() -> Option<[(&'static str, u64); 3]> {
    let counts = COUNTS.get()?;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Some([
        ("exported", count(&counts.exported)),
        ("failed", count(&counts.failed)),
        ("dropped", count(&counts.dropped)),
    ])
}

/// The export of a process. Threads may share it.
#[derive(Debug)]
pub struct TraceExport {
    provider: SdkTracerProvider,
}

impl TraceExport {
    /// Starts the export; `None` when neither the options nor the variables of OpenTelemetry name a collector. That there
    /// is one is not asked.
    ///
    /// # Errors
    /// When the address or the file of headers is of no use.
    pub fn start(options: &TraceOptions) -> Result<Option<Self>, String> {
        let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        let by_variables = is_set("OTEL_EXPORTER_OTLP_ENDPOINT") || is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        if options.endpoint.is_empty() && !by_variables {
            return Ok(None);
        }
        let mut exporter = OtlpExporter::builder().with_http().with_http_client(Client::new());
        if !options.endpoint.is_empty() {
            exporter = exporter.with_endpoint(&options.endpoint);
        }
        if let Some(path) = &options.headers_file {
            exporter = exporter.with_headers(headers(&read_secret_file(path)?)?);
        }
        let exporter = exporter.build().map_err(|error| format!("traces cannot be exported: {error}"))?;
        let counts = Arc::clone(COUNTS.get_or_init(Arc::default));
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if !options.service_name.is_empty() {
            resource = resource.with_service_name(options.service_name.clone());
        } else if !is_set("OTEL_SERVICE_NAME") {
            resource = resource.with_service_name(SERVICE_NAME);
        }
        let mut provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_span_processor(Bounded::new(exporter, counts, QUEUE_SPANS_MAX));
        // Without a ratio it is up to OTEL_TRACES_SAMPLER.
        if options.sample_ratio < 1.0 {
            let sampler = Sampler::TraceIdRatioBased(options.sample_ratio);
            provider = provider.with_sampler(Sampler::ParentBased(Box::new(sampler)));
        }
        Ok(Some(Self { provider: provider.build() }))
    }

    /// The layer of a subscriber that exports the spans of this project, whatever is written to the log.
    pub fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> impl Layer<S> + use<S> {
        // Of what is written within spans only that which the log has too: nobody asked for the details.
        let is_ours = filter_fn(|metadata| {
            let most = if metadata.is_span() { Level::DEBUG } else { Level::INFO };
            metadata.target().starts_with("lynxstore") && *metadata.level() <= most
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("lynxstore"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(is_ours.with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what is queued, as far as the collector takes it within a few seconds.
    pub fn shutdown(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "not every span was exported");
        }
    }
}

/// The trace and the span that sent a request, by headers that have the form of the recommendation.
pub(super) fn remote_context(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

/// Headers as they stand in a file, one per line.
fn headers(text: &str) -> Result<HashMap<String, String>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    // A line is a secret: the message names none.
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        let is_fine = HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok();
        is_fine.then(|| (name.to_owned(), value.to_owned()))
    };
    let headers = lines.map(header).collect::<Option<_>>();
    headers.ok_or_else(|| "the file of headers has a line that is not of the form 'name: value'".to_owned())
}

/// The queue of spans, with its bound and what it dropped.
#[derive(Debug)]
struct Bounded {
    next: BatchSpanProcessor,
    counts: Arc<SpanCounts>,
    queue_spans_max: usize,
}

impl Bounded {
    fn new<E: SpanExporter + 'static>(exporter: E, counts: Arc<SpanCounts>, queue_spans_max: usize) -> Self {
        let exporter = Counted { next: exporter, counts: Arc::clone(&counts), log: LogLimit::default() };
        // As long as the bound here: it is never the one that is reached.
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(queue_spans_max)
            .with_max_export_batch_size(BATCH_SPANS_MAX.min(queue_spans_max))
            .with_scheduled_delay(LINGER)
            .build();
        let next = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Self { next, counts, queue_spans_max }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let place = |queued: usize| (queued < self.queue_spans_max).then_some(queued + 1);
        match self.counts.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place) {
            Ok(_) => self.next.on_end(span),
            Err(_) => _ = self.counts.dropped.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// An exporter, and what became of its spans.
#[derive(Debug)]
struct Counted<E> {
    next: E,
    counts: Arc<SpanCounts>,
    log: LogLimit,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.counts.queued.fetch_sub(spans, Ordering::Relaxed);
        let result = self.next.export(batch).await;
        let outcome = if result.is_ok() { &self.counts.exported } else { &self.counts.failed };
        outcome.fetch_add(spans as u64, Ordering::Relaxed);
        if let Err(error) = &result
            && self.log.allows()
        {
            tracing::warn!(%error, spans, "the collector of traces did not take spans: they are lost");
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Posts on the thread of the exporter, which may block.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(POST_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Self(config.into())
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let response = self.0.run(Request::from_parts(head, &body[..]))?;
        let (head, mut body) = response.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
    use parking_lot::Mutex;

    use super::*;

    /// An exporter that says when it has begun and goes on when it is told to.
    #[derive(Debug)]
    struct Stuck {
        begun: mpsc::Sender<usize>,
        go_on: Mutex<mpsc::Receiver<OTelSdkResult>>,
    }

    impl SpanExporter for Stuck {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.begun.send(batch.len()).unwrap();
            self.go_on.lock().recv().unwrap()
        }
    }

    fn span(id: u64) -> SpanData {
        let flags = TraceFlags::SAMPLED;
        let context = SpanContext::new(TraceId::from(7), SpanId::from(id), flags, false, TraceState::default());
        let provider = SdkTracerProvider::builder().build();
        let mut data = sample(&provider);
        data.span_context = context;
        data
    }

    /// A span as the SDK makes them.
    fn sample(provider: &SdkTracerProvider) -> SpanData {
        use opentelemetry::trace::{Span as _, Tracer};

        let mut span = provider.tracer("test").start("x");
        let data = span.exported_data().expect("the span is sampled");
        span.end();
        data
    }

    #[test]
    fn a_collector_that_hangs_makes_spans_drop_and_nobody_wait() {
        let (begun, begins) = mpsc::channel();
        let (goes_on, go_on) = mpsc::channel();
        let counts = Arc::new(SpanCounts::default());
        let queue = Bounded::new(Stuck { begun, go_on: Mutex::new(go_on) }, Arc::clone(&counts), 4);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (0..4).for_each(|id| queue.on_end(span(id)));
        assert_eq!(begins.recv().unwrap(), 4, "they are being sent");
        (0..10).for_each(|id| queue.on_end(span(id)));
        assert_eq!((count(&counts.dropped), counts.queued.load(Ordering::Relaxed)), (6, 4));
        goes_on.send(Ok(())).unwrap();
        goes_on.send(Err(opentelemetry_sdk::error::OTelSdkError::InternalFailure("no".into()))).unwrap();
        queue.shutdown_with_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!((count(&counts.exported), count(&counts.failed), count(&counts.dropped)), (4, 4, 6));
    }

    #[test]
    fn the_context_of_a_request_is_its_parent() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let headers = HeaderMap::from_iter([(HeaderName::from_static("traceparent"), parent.parse().unwrap())]);
        let context = remote_context(&headers);
        let span = context.span().span_context().clone();
        assert!(span.is_remote() && span.is_sampled());
        assert_eq!(format!("{}-{}", span.trace_id(), span.span_id()), parent[3..52]);
        assert!(!remote_context(&HeaderMap::new()).span().span_context().is_valid());
    }

    #[test]
    fn headers_are_lines_of_name_and_value() {
        let found = headers("# of the collector\nauthorization: Bearer a:b\n\n x-scope : one \n").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found["authorization"].as_str(), found["x-scope"].as_str()), ("Bearer a:b", "one"));
        for odd in ["secret", "a b: c", "a: b\u{7}"] {
            let message = headers(odd).unwrap_err();
            assert!(!message.contains(odd), "{message}");
        }
    }
}
