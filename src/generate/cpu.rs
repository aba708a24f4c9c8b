//! The `cpu` table of the Time Series Benchmark Suite (TSBS): per host and interval one row of ten usage gauges.
//!
//! Hosts carry ten tags of the cardinalities that TSBS uses. Every gauge is a random walk: it starts uniformly in 0..100,
//! each step adds a normal number, and the result is clamped to 0..=100. A host has a random stream of its own, so the
//! order of rows changes nothing about their values, and fewer hosts or hours give a part of the larger data set.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::random::Random;

/// Names of the tags.
pub const CPU_TAGS: [&str; 10] = [
    "hostname",
    "region",
    "datacenter",
    "rack",
    "os",
    "arch",
    "team",
    "service",
    "service_version",
    "service_environment",
];

/// Names of the fields.
pub const CPU_FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// Regions with the suffixes of their datacenters.
const REGIONS: [(&str, &[&str]); 9] = [
    ("us-east-1", &["a", "b", "c", "e"]),
    ("us-west-1", &["a", "b"]),
    ("us-west-2", &["a", "b", "c"]),
    ("eu-west-1", &["a", "b", "c"]),
    ("eu-central-1", &["a", "b"]),
    ("ap-southeast-1", &["a", "b"]),
    ("ap-southeast-2", &["a", "b"]),
    ("ap-northeast-1", &["a", "c"]),
    ("sa-east-1", &["a", "b", "c"]),
];
const OPERATING_SYSTEMS: [&str; 3] = ["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"];
const ARCHITECTURES: [&str; 2] = ["x64", "x86"];
const TEAMS: [&str; 4] = ["SF", "NYC", "LON", "CHI"];
const ENVIRONMENTS: [&str; 3] = ["production", "staging", "test"];
const RACKS: u64 = 100;
const SERVICES: u64 = 20;
const SERVICE_VERSIONS: u64 = 2;

/// Rows of one batch.
const BATCH_ROWS: usize = 65_536;

/// The order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowOrder {
    /// By time, then host: as measurements arrive.
    #[default]
    Time,
    /// By host, then time: as a sorted file has them.
    Host,
}

/// The type of the gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValueKind {
    /// Whole numbers, truncated, as TSBS writes them.
    #[default]
    Integer,
    /// Floats rounded to two decimals.
    TwoDecimals,
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct CpuOptions {
    /// Number of hosts.
    pub hosts: u32,
    /// Time of the first row of each host.
    pub start_ns: i64,
    /// Time between two rows of a host.
    pub interval_ns: i64,
    /// Rows of each host.
    pub rows_per_host: u32,
    /// Selects the data set.
    pub seed: u64,
    /// Order of rows.
    pub order: RowOrder,
    /// Type of the gauges.
    pub values: ValueKind,
}

impl Default for CpuOptions {
    /// 1,000 hosts, one row per 10 s, one day from 2026-01-01: 8.64 M rows.
    fn default() -> Self {
        Self {
            hosts: 1_000,
            start_ns: 1_767_225_600_000_000_000,
            interval_ns: 10_000_000_000,
            rows_per_host: 8_640,
            seed: 123,
            order: RowOrder::Time,
            values: ValueKind::Integer,
        }
    }
}

impl CpuOptions {
    /// Number of rows of the data set.
    pub fn row_count(&self) -> u64 {
        u64::from(self.hosts) * u64::from(self.rows_per_host)
    }

    /// Columns of the batches: `time`, the tags as dictionaries, the fields.
    pub fn schema(&self) -> SchemaRef {
        let tag_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let field_type = match self.values {
            ValueKind::Integer => DataType::Int64,
            ValueKind::TwoDecimals => DataType::Float64,
        };
        let mut columns = vec![Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, None), false)];
        columns.extend(CPU_TAGS.map(|name| Field::new(name, tag_type.clone(), true)));
        columns.extend(CPU_FIELDS.map(|name| Field::new(name, field_type.clone(), true)));
        Arc::new(Schema::new(columns))
    }

    /// The rows, in batches of at most 65,536.
    ///
    /// # Panics
    /// With 2^31 hosts or more; their state alone would take 400 GB.
    pub fn batches(&self) -> CpuBatches {
        let mut dictionaries: [TagDictionary; CPU_TAGS.len()] = Default::default();
        let hosts = (0..self.hosts).map(|index| Host::new(self.seed, index, &mut dictionaries)).collect();
        CpuBatches {
            options: self.clone(),
            schema: self.schema(),
            dictionaries: dictionaries.map(|dictionary| Arc::new(StringArray::from(dictionary.values)) as ArrayRef),
            hosts,
            position: 0,
        }
    }
}

/// Distinct values of a tag in order of first use.
#[derive(Default)]
struct TagDictionary {
    values: Vec<String>,
}

impl TagDictionary {
    fn code(&mut self, value: String) -> i32 {
        let found = self.values.iter().rposition(|known| *known == value);
        let index = found.unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        });
        i32::try_from(index).expect("a tag has at most 100 values")
    }
}

/// The state of one host.
struct Host {
    random: Random,
    tag_codes: [i32; CPU_TAGS.len()],
    gauges: [f64; CPU_FIELDS.len()],
}

impl Host {
    fn new(seed: u64, index: u32, dictionaries: &mut [TagDictionary; CPU_TAGS.len()]) -> Self {
        let mut random = Random::new(seed, u64::from(index));
        let (region, suffixes) = REGIONS[random.below(REGIONS.len() as u64) as usize];
        let datacenter = format!("{region}{}", pick(&mut random, suffixes));
        let tags = [
            format!("host_{index}"),
            region.to_owned(),
            datacenter,
            random.below(RACKS).to_string(),
            pick(&mut random, &OPERATING_SYSTEMS).to_owned(),
            pick(&mut random, &ARCHITECTURES).to_owned(),
            pick(&mut random, &TEAMS).to_owned(),
            random.below(SERVICES).to_string(),
            random.below(SERVICE_VERSIONS).to_string(),
            pick(&mut random, &ENVIRONMENTS).to_owned(),
        ];
        let mut tag_codes = [0; CPU_TAGS.len()];
        for (position, value) in tags.into_iter().enumerate() {
            // Host names never repeat; searching them would make many hosts quadratic.
            tag_codes[position] = if position == 0 {
                dictionaries[0].values.push(value);
                i32::try_from(index).expect("`batches` states the bound")
            } else {
                dictionaries[position].code(value)
            };
        }
        let gauges = std::array::from_fn(|_| random.unit() * 100.0);
        Self { random, tag_codes, gauges }
    }

    fn step(&mut self) {
        for gauge in &mut self.gauges {
            *gauge = (*gauge + self.random.normal()).clamp(0.0, 100.0);
        }
    }
}

fn pick<'a>(random: &mut Random, choices: &[&'a str]) -> &'a str {
    choices[random.below(choices.len() as u64) as usize]
}

/// Iterates over the batches of a data set.
pub struct CpuBatches {
    options: CpuOptions,
    schema: SchemaRef,
    dictionaries: [ArrayRef; CPU_TAGS.len()],
    hosts: Vec<Host>,
    /// Rows made so far.
    position: u64,
}

impl Iterator for CpuBatches {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        let remaining = self.options.row_count() - self.position;
        let len = BATCH_ROWS.min(usize::try_from(remaining).unwrap_or(BATCH_ROWS));
        if len == 0 {
            return None;
        }
        let mut times = Vec::with_capacity(len);
        let mut codes: [Vec<i32>; CPU_TAGS.len()] = std::array::from_fn(|_| Vec::with_capacity(len));
        let mut gauges: [Vec<f64>; CPU_FIELDS.len()] = std::array::from_fn(|_| Vec::with_capacity(len));
        for row in self.position..self.position + len as u64 {
            let (step, host) = match self.options.order {
                RowOrder::Time => (row / u64::from(self.options.hosts), row % u64::from(self.options.hosts)),
                RowOrder::Host => {
                    (row % u64::from(self.options.rows_per_host), row / u64::from(self.options.rows_per_host))
                }
            };
            times.push(self.options.start_ns + step as i64 * self.options.interval_ns);
            let host = &mut self.hosts[host as usize];
            for (column, code) in codes.iter_mut().zip(host.tag_codes) {
                column.push(code);
            }
            for (column, gauge) in gauges.iter_mut().zip(host.gauges) {
                column.push(gauge);
            }
            host.step();
        }
        self.position += len as u64;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(TimestampNanosecondArray::from(times))];
        columns.extend(codes.into_iter().zip(&self.dictionaries).map(|(codes, values)| {
            let keys = Int32Array::new(ScalarBuffer::from(codes), None);
            let array = DictionaryArray::try_new(keys, values.clone()).expect("codes were given out by the dictionary");
            Arc::new(array) as ArrayRef
        }));
        columns.extend(gauges.into_iter().map(|gauges| match self.options.values {
            ValueKind::Integer => {
                Arc::new(Int64Array::from_iter_values(gauges.into_iter().map(|g| g as i64))) as ArrayRef
            }
            ValueKind::TwoDecimals => {
                Arc::new(Float64Array::from_iter_values(gauges.into_iter().map(|g| (g * 100.0).round() / 100.0)))
            }
        }));
        Some(RecordBatch::try_new(self.schema.clone(), columns).expect("columns were made for this schema"))
    }
}

#[cfg(test)]
mod tests;
