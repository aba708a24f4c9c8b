//! From an export request to one commit.

use lynxstore_storage::types::Dedup;

use super::attributes::{Attribute, any_text, attribute, labels};
use super::histogram::native_histogram;
use super::names::{MetricKind, metric_name};
use super::point::{ATTRIBUTES_MAX, Point, PointKind, bytes, next, varint};
use crate::field_builder::FieldValue;
use crate::ingest::prometheus::wire::Reader;
use crate::ingest::prometheus::{HISTOGRAM_COLUMN, VALUE_COLUMN, table_name, tag_name};
use crate::ingest::rows::{
    IntegerTyping, RowFault, RowOptions, RowOutcome, RowReason, RowRequest, RowWriter, RowsError, SeriesName, Unfit,
    quoted,
};

/// The value that says that a series has ended, as Prometheus marks it.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
/// Bit of the flags of a point: nothing was recorded.
const NO_VALUE: u64 = 1;
/// Value of the enum `AggregationTemporality` for totals since a start.
const CUMULATIVE: u64 = 2;
/// Attributes of a resource that become `job` and `instance` and are not repeated in `target_info`.
const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";

/// Writes the points of an export request, a protobuf message. Rejected rows are numbered by their point, from 1.
///
/// # Errors
/// `Malformed` when the message is not well-formed; as [`RowWriter::write`].
pub fn write(writer: &RowWriter, message: &[u8]) -> Result<RowOutcome, RowsError> {
    let options = RowOptions {
        integers: IntegerTyping::Declared,
        unfit: Unfit::LeaveOut,
        dedup: Dedup::Last,
        dedup_key: Vec::new(),
    };
    writer.write(&options, |request| {
        let mut walk = Walk { request, writer, point: 0, raw: Vec::new() };
        let mut reader = Reader::new(message);
        while let Some((number, value)) = next(&mut reader)? {
            if number == 1 {
                walk.resource_metrics(bytes(value)?)?;
            }
        }
        Ok(())
    })
}

struct Walk<'w, 'r> {
    request: &'w mut RowRequest<'r>,
    writer: &'w RowWriter,
    /// Number of the point.
    point: usize,
    raw: Vec<u8>,
}

/// What all points of a resource share.
#[derive(Default)]
struct Resource<'a> {
    job: String,
    instance: String,
    /// Without those of `job` and `instance`.
    attributes: Vec<Attribute<'a>>,
    fault: Option<RowFault>,
    /// Of its points.
    newest_ns: i64,
}

/// A metric, as far as its points need it.
struct Metric<'a> {
    name: &'a [u8],
    unit: &'a [u8],
    kind: PointKind,
    /// The message of the sort of data that it has.
    data: &'a [u8],
    is_sum: bool,
}

impl<'w> Walk<'w, '_> {
    fn resource_metrics(&mut self, message: &[u8]) -> Result<(), RowsError> {
        let mut resource = Resource { newest_ns: i64::MIN, ..Resource::default() };
        let mut reader = Reader::new(message);
        while let Some((number, value)) = next(&mut reader)? {
            if number == 1 {
                resource.read(bytes(value)?, self.writer)?;
            }
        }
        let mut reader = Reader::new(message);
        while let Some((number, value)) = next(&mut reader)? {
            if number == 2 {
                let mut scope = Reader::new(bytes(value)?);
                while let Some((number, value)) = next(&mut scope)? {
                    if number == 2
                        && let Some(metric) = Metric::read(bytes(value)?)?
                    {
                        self.metric(&metric, &mut resource)?;
                    }
                }
            }
        }
        self.target_info(&resource)
    }

    fn metric(&mut self, metric: &Metric<'_>, resource: &mut Resource<'_>) -> Result<(), RowsError> {
        let (mut temporality, mut is_monotonic) = (0, false);
        let mut reader = Reader::new(metric.data);
        while let Some((number, value)) = next(&mut reader)? {
            match number {
                2 => temporality = varint(value)?,
                3 => is_monotonic = varint(value)? != 0,
                _ => {}
            }
        }
        let has_temporality = metric.is_sum || matches!(metric.kind, PointKind::Histogram | PointKind::Exponential);
        let name = metric.table(is_monotonic).and_then(|name| match temporality {
            _ if !has_temporality => Ok(name),
            CUMULATIVE => Ok(name),
            _ => {
                let text = format!("metric {} is not cumulative: set the exporter to it", quoted(metric.name));
                Err(RowFault::new(RowReason::Unsupported, text))
            }
        });
        let name = match resource.fault.clone() {
            Some(fault) => Err(fault),
            None => name,
        };
        let mut reader = Reader::new(metric.data);
        while let Some((number, value)) = next(&mut reader)? {
            if number != 1 {
                continue;
            }
            self.point += 1;
            RowsError::check("data points", self.point, self.writer.limits().rows_max)?;
            let mut point = Point::read(bytes(value)?, metric.kind)?;
            let time_ns = i64::try_from(point.time_ns).ok().filter(|time_ns| *time_ns > 0);
            let fault = point.fault.take().or_else(|| name.clone().err());
            match (&name, time_ns, fault) {
                (Ok(name), Some(time_ns), None) => {
                    resource.newest_ns = resource.newest_ns.max(time_ns);
                    self.point(name, metric.kind, &point, time_ns, resource)?;
                }
                (_, _, Some(fault)) => self.request.reject(self.point, fault),
                _ => {
                    let fault = RowFault::new(RowReason::InvalidTime, "the time of a point is 0 or out of range");
                    self.request.reject(self.point, fault);
                }
            }
        }
        Ok(())
    }

    fn point(
        &mut self,
        name: &str,
        kind: PointKind,
        point: &Point<'_>,
        time_ns: i64,
        resource: &Resource<'_>,
    ) -> Result<(), RowsError> {
        let is_stale = point.flags & NO_VALUE != 0;
        let known = |value: f64| FieldValue::F64(if is_stale { STALE } else { value });
        let mut put = |table: &str, extra: Option<(&str, String)>, field: &str, value: FieldValue<'_>| {
            self.row(&table_name(table), extra, point, resource, (field, value), time_ns)
        };
        match kind {
            PointKind::Number => match point.value {
                None if !is_stale => {
                    let fault = RowFault::new(RowReason::Malformed, "a point has no value");
                    self.request.reject(self.point, fault);
                    Ok(())
                }
                value => put(name, None, VALUE_COLUMN, known(value.unwrap_or(0.0))),
            },
            PointKind::Exponential if is_stale => put(name, None, VALUE_COLUMN, known(0.0)),
            PointKind::Exponential => match native_histogram(point, time_ns / 1_000_000) {
                Ok(message) => put(name, None, HISTOGRAM_COLUMN, FieldValue::Binary(&message)),
                Err(rule) => {
                    self.request.reject(self.point, RowFault::new(RowReason::Unsupported, rule));
                    Ok(())
                }
            },
            PointKind::Histogram => {
                let buckets = point.bucket_counts.len();
                if buckets != 0 && buckets != point.bounds.len() + 1 {
                    let fault = RowFault::new(RowReason::Malformed, "bucket counts and bounds differ in number");
                    self.request.reject(self.point, fault);
                    return Ok(());
                }
                let bucket = format!("{name}_bucket");
                let mut total = 0_u64;
                for (bound, count) in point.bounds.iter().zip(&point.bucket_counts) {
                    total = total.saturating_add(*count);
                    let bound = f64::from_bits(*bound).to_string();
                    put(&bucket, Some(("le", bound)), VALUE_COLUMN, known(total as f64))?;
                }
                put(&bucket, Some(("le", "+Inf".into())), VALUE_COLUMN, known(point.count as f64))?;
                put(&format!("{name}_count"), None, VALUE_COLUMN, known(point.count as f64))?;
                match point.sum {
                    Some(sum) => put(&format!("{name}_sum"), None, VALUE_COLUMN, known(sum)),
                    None => Ok(()),
                }
            }
            PointKind::Summary => {
                for (quantile, value) in &point.quantiles {
                    put(name, Some(("quantile", quantile.to_string())), VALUE_COLUMN, known(*value))?;
                }
                put(&format!("{name}_count"), None, VALUE_COLUMN, known(point.count as f64))?;
                put(&format!("{name}_sum"), None, VALUE_COLUMN, known(point.sum.unwrap_or(0.0)))
            }
        }
    }

    /// The attributes of a resource, as a metric of their own.
    fn target_info(&mut self, resource: &Resource<'_>) -> Result<(), RowsError> {
        let has_identity = !resource.job.is_empty() || !resource.instance.is_empty();
        if resource.newest_ns == i64::MIN || resource.attributes.is_empty() || !has_identity {
            return Ok(());
        }
        let point = Point { attributes: resource.attributes.clone(), ..Point::default() };
        let one = (VALUE_COLUMN, FieldValue::F64(1.0));
        self.row("target_info", None, &point, resource, one, resource.newest_ns)
    }

    fn row(
        &mut self,
        table: &str,
        extra: Option<(&str, String)>,
        point: &Point<'_>,
        resource: &Resource<'_>,
        field: (&str, FieldValue<'_>),
        time_ns: i64,
    ) -> Result<(), RowsError> {
        self.raw.clear();
        // No line of another protocol begins with a carriage return.
        self.raw.push(b'\r');
        let extra_text = extra.as_ref().map_or("", |(_, value)| value.as_str());
        for part in [table, &resource.job, &resource.instance, extra_text] {
            push_part(&mut self.raw, part.as_bytes());
        }
        point.raw_attributes.iter().for_each(|message| push_part(&mut self.raw, message));
        if point.raw_attributes.is_empty() {
            for (key, value) in &point.attributes {
                push_part(&mut self.raw, key.as_bytes());
                push_part(&mut self.raw, value);
            }
        }
        let limits = self.writer.limits();
        let name = || {
            let mut labels = labels(&point.attributes, limits)?;
            let identity = [("job", &resource.job), ("instance", &resource.instance)];
            let identity = identity.into_iter().filter(|(_, value)| !value.is_empty());
            labels.extend(identity.map(|(name, value)| (name.to_owned(), value.clone())));
            labels.extend(extra.map(|(name, value)| (name.to_owned(), value)));
            let tags = labels.into_iter().map(|(name, value)| (tag_name(&name).into_owned().into(), value.into()));
            Ok(SeriesName { table: table.to_owned().into(), tags: tags.collect() })
        };
        self.request.push(self.point, &self.raw, name, std::iter::once(field), time_ns)
    }
}

fn push_part(raw: &mut Vec<u8>, part: &[u8]) {
    raw.extend_from_slice(&(part.len() as u64).to_le_bytes());
    raw.extend_from_slice(part);
}

impl<'a> Resource<'a> {
    fn read(&mut self, message: &'a [u8], writer: &RowWriter) -> Result<(), RowsError> {
        let (mut name, mut namespace) = (String::new(), String::new());
        let mut reader = Reader::new(message);
        while let Some((number, value)) = next(&mut reader)? {
            if number != 1 {
                continue;
            }
            let (key, value) = match attribute(bytes(value)?)? {
                Ok(attribute) => attribute,
                Err(fault) => {
                    self.fault = Some(fault);
                    continue;
                }
            };
            let place = match key {
                SERVICE_NAME => &mut name,
                SERVICE_NAMESPACE => &mut namespace,
                SERVICE_INSTANCE => &mut self.instance,
                _ if self.attributes.len() >= ATTRIBUTES_MAX => {
                    let text = format!("a resource has more than {ATTRIBUTES_MAX} attributes");
                    self.fault = Some(RowFault::new(RowReason::TooManyColumns, text));
                    continue;
                }
                _ => {
                    self.attributes.push((key, value));
                    continue;
                }
            };
            // Each of its points carries it, so that it must not be long.
            let is_short = value.len() <= writer.limits().tag_value_bytes_max;
            let text = if is_short { any_text(value) } else { Err(RowFault::new(RowReason::TooLong, key)) };
            match text {
                Ok(text) => *place = text,
                Err(fault) => self.fault = Some(fault),
            }
        }
        self.job = if namespace.is_empty() { name } else { format!("{namespace}/{name}") };
        Ok(())
    }
}

impl<'a> Metric<'a> {
    /// The parts of a metric; `None` when it has no data.
    fn read(message: &'a [u8]) -> Result<Option<Self>, RowsError> {
        let (mut name, mut unit): (&[u8], &[u8]) = (&[], &[]);
        let mut data = None;
        let mut reader = Reader::new(message);
        while let Some((number, value)) = next(&mut reader)? {
            match number {
                1 => name = bytes(value)?,
                3 => unit = bytes(value)?,
                5 => data = Some((PointKind::Number, false, bytes(value)?)),
                7 => data = Some((PointKind::Number, true, bytes(value)?)),
                9 => data = Some((PointKind::Histogram, false, bytes(value)?)),
                10 => data = Some((PointKind::Exponential, false, bytes(value)?)),
                11 => data = Some((PointKind::Summary, false, bytes(value)?)),
                _ => {}
            }
        }
        Ok(data.map(|(kind, is_sum, data)| Self { name, unit, kind, data, is_sum }))
    }

    /// The name of its table, before suffixes of its parts.
    fn table(&self, is_monotonic: bool) -> Result<String, RowFault> {
        let (Ok(name), Ok(unit)) = (str::from_utf8(self.name), str::from_utf8(self.unit)) else {
            return Err(RowFault::new(RowReason::InvalidUtf8, "the name or unit of a metric is not UTF-8"));
        };
        // Names of tables are checked again, with their suffixes; this bounds what is copied per point.
        const NAME_BYTES_MAX: usize = 1_024;
        let kind = match (self.kind, self.is_sum) {
            (PointKind::Number, true) if is_monotonic => MetricKind::Counter,
            (PointKind::Number, false) => MetricKind::Gauge,
            _ => MetricKind::Other,
        };
        let table =
            if name.len() + unit.len() > NAME_BYTES_MAX { String::new() } else { metric_name(name, unit, kind) };
        if table.is_empty() {
            let text = format!("{} is no name of a metric", quoted(self.name));
            return Err(RowFault::new(RowReason::InvalidName, text));
        }
        Ok(table)
    }
}
