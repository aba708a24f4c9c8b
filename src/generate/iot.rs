//! The `readings` and `diagnostics` tables of the Time Series Benchmark Suite (TSBS), use case IoT: a fleet of trucks.
//!
//! Rows come in the order of their arrival, and as in TSBS some never arrive, some arrive late, and some lack a value.
//! Truck after truck reports its readings, then truck after truck its diagnostics, and so on for each point of time;
//! the reports are cut into batches of ten. Of the batches 1 % are lost, and 5 % wait until a later one has been sent
//! (each further batch lets the first of them go with a chance of one half). Of the entries of the other batches 10 %
//! are lost and 30 % wait in the same manner; an entry that waited may be lost or wait once more. Of the entries that
//! arrive, 10 % lack the value of one field and 1 % that of one tag. What waits goes after a few batches, so it is late
//! behind the rows of other trucks, seldom behind those of its own.
//!
//! Values are walks with uniform steps as in TSBS, cut to its numbers of decimals. A truck has a random stream of its
//! own, and so has the transport; another number of trucks or hours therefore changes which rows arrive, but no value.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::random::Random;

/// Names of the tags with text.
pub const IOT_TAGS: [&str; 5] = ["name", "fleet", "driver", "model", "device_version"];

/// Names of the properties of a truck that are numbers. TSBS calls them tags; here they are fields, since they are
/// calculated with.
pub const IOT_CAPACITIES: [&str; 3] = ["load_capacity", "fuel_capacity", "nominal_fuel_consumption"];

/// Tags in the sense of TSBS: any of them may be missing from an entry.
const PROPERTIES: u64 = (IOT_TAGS.len() + IOT_CAPACITIES.len()) as u64;

const FLEETS: [&str; 4] = ["East", "West", "North", "South"];
const DRIVERS: [&str; 6] = ["Derek", "Rodney", "Albert", "Andy", "Seth", "Trish"];
/// Names of models and their capacities.
const MODELS: [(&str, [f64; IOT_CAPACITIES.len()]); 3] =
    [("F-150", [2_000.0, 200.0, 15.0]), ("G-2000", [5_000.0, 300.0, 19.0]), ("H-2", [1_500.0, 150.0, 12.0])];
const DEVICE_VERSIONS: [&str; 4] = ["v1.0", "v1.5", "v2.0", "v2.3"];

/// Entries of a batch on its way.
const BATCH_ENTRIES: usize = 10;
const BATCH_LOST: f64 = 0.01;
const BATCH_WAITS: f64 = 0.05;
const ENTRY_LOST: f64 = 0.1;
const ENTRY_WAITS: f64 = 0.3;
const WAITING_GOES: f64 = 0.5;
const FIELD_MISSING: f64 = 0.1;
const PROPERTY_MISSING: f64 = 0.01;

/// The random stream of the transport; trucks have the streams of their numbers, which are below 2^32.
const TRANSPORT: u64 = u64::MAX;

/// Rows of one record batch.
const ROWS_MAX: usize = 65_536;

/// Most fields of a table.
const FIELDS_MAX: usize = 7;

/// One of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IotTable {
    /// Where a truck is and how it drives.
    Readings,
    /// Its fuel, load and status.
    Diagnostics,
}

impl IotTable {
    /// Both, in the order in which a truck reports them.
    pub const ALL: [Self; 2] = [Self::Readings, Self::Diagnostics];

    /// Name of the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Diagnostics => "diagnostics",
        }
    }

    /// Names of the fields that are measured. All are floats but `status`, an integer.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Readings => {
                &["latitude", "longitude", "elevation", "velocity", "heading", "grade", "fuel_consumption"]
            }
            Self::Diagnostics => &["fuel_state", "current_load", "status"],
        }
    }

    /// Type of a field.
    fn field_type(name: &str) -> DataType {
        if name == "status" { DataType::Int64 } else { DataType::Float64 }
    }
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct IotOptions {
    /// Number of trucks.
    pub trucks: u32,
    /// Time of the first report of each truck.
    pub start_ns: i64,
    /// Time between two reports of a truck.
    pub interval_ns: i64,
    /// Reports of each truck to each table; about 15 of 100 do not arrive.
    pub reports_per_truck: u32,
    /// Selects the data set.
    pub seed: u64,
}

impl Default for IotOptions {
    /// 1,000 trucks, one report per 10 s, one day from 2026-01-01: 7.4 M rows that arrive in each table.
    fn default() -> Self {
        Self {
            trucks: 1_000,
            start_ns: 1_767_225_600_000_000_000,
            interval_ns: 10_000_000_000,
            reports_per_truck: 8_640,
            seed: 123,
        }
    }
}

impl IotOptions {
    /// Columns of the batches of a table: `time`, the tags as dictionaries, the capacities, the measured fields.
    pub fn schema(&self, table: IotTable) -> SchemaRef {
        let tag_type = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let mut columns = vec![Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, None), false)];
        columns.extend(IOT_TAGS.map(|name| Field::new(name, tag_type.clone(), true)));
        columns.extend(IOT_CAPACITIES.map(|name| Field::new(name, DataType::Float64, true)));
        columns.extend(table.fields().iter().map(|name| Field::new(*name, IotTable::field_type(name), true)));
        Arc::new(Schema::new(columns))
    }

    /// The rows of a table that arrive, in the order of their arrival, in batches of at most 65,536.
    pub fn batches(&self, table: IotTable) -> IotBatches {
        let names = (0..self.trucks).map(|index| format!("truck_{index}"));
        let models = MODELS.map(|(name, _)| name);
        let texts = |texts: &[&str]| Arc::new(StringArray::from_iter_values(texts)) as ArrayRef;
        IotBatches {
            start_ns: self.start_ns,
            interval_ns: self.interval_ns,
            table,
            schema: self.schema(table),
            dictionaries: [
                Arc::new(StringArray::from_iter_values(names)),
                texts(&FLEETS),
                texts(&DRIVERS),
                texts(&models),
                texts(&DEVICE_VERSIONS),
            ],
            arrivals: Arrivals {
                reports: Reports {
                    trucks: (0..self.trucks).map(|index| Truck::new(self.seed, index)).collect(),
                    steps: self.reports_per_truck,
                    step: 0,
                    table: IotTable::Readings,
                    truck: 0,
                },
                random: Random::new(self.seed, TRANSPORT),
                batch: VecDeque::new(),
                waiting_batches: VecDeque::new(),
                waiting_entries: VecDeque::new(),
            },
        }
    }
}

/// The state of one truck.
struct Truck {
    random: Random,
    /// Codes of its tags; the first is its number.
    tag_codes: [i32; IOT_TAGS.len()],
    readings: [f64; 7],
    fuel: f64,
    load: f64,
    status: f64,
}

impl Truck {
    fn new(seed: u64, index: u32) -> Self {
        let mut random = Random::new(seed, u64::from(index));
        let mut code = |choices: usize| random.below(choices as u64) as i32;
        let name = i32::try_from(index).expect("the state of 2^31 trucks fits into no memory");
        let tag_codes =
            [name, code(FLEETS.len()), code(DRIVERS.len()), code(MODELS.len()), code(DEVICE_VERSIONS.len())];
        let mut start = |max: f64| random.unit() * max;
        // Velocity and grade start at zero, the consumption in the middle of its range.
        let readings = [start(90.0), start(180.0), start(500.0), 0.0, start(360.0), 0.0, 25.0];
        Self { random, tag_codes, readings, fuel: 1.0, load: 0.0, status: 0.0 }
    }

    /// The values of a report: coordinates with five decimals, consumption and fuel with one, the others whole.
    fn values(&self, table: IotTable) -> [f64; FIELDS_MAX] {
        let cut = |value: f64, scale: f64| (value * scale).trunc() / scale;
        match table {
            IotTable::Readings => {
                let [latitude, longitude, elevation, velocity, heading, grade, consumption] = self.readings;
                [
                    cut(latitude, 1e5),
                    cut(longitude, 1e5),
                    elevation.trunc(),
                    velocity.trunc(),
                    heading.trunc(),
                    grade.trunc(),
                    cut(consumption, 10.0),
                ]
            }
            IotTable::Diagnostics => [cut(self.fuel, 10.0), self.load.trunc(), self.status.trunc(), 0.0, 0.0, 0.0, 0.0],
        }
    }

    /// Moves on by one interval.
    fn step(&mut self) {
        /// Half of the widest step, and the range of each reading.
        const WALKS: [(f64, f64, f64); 7] = [
            (0.005, -90.0, 90.0),
            (0.005, -180.0, 180.0),
            (10.0, 0.0, 5_000.0),
            (10.0, 0.0, 100.0),
            (5.0, 0.0, 360.0),
            (5.0, 0.0, 100.0),
            (5.0, 0.0, 50.0),
        ];
        for (value, (reach, min, max)) in self.readings.iter_mut().zip(WALKS) {
            *value = (*value + (self.random.unit() * 2.0 - 1.0) * reach).clamp(min, max);
        }
        self.fuel -= self.random.unit() * 0.001;
        // An empty truck is refuelled at once.
        if self.fuel <= 0.0 {
            self.fuel = 1.0;
        }
        if self.random.unit() >= 0.95 {
            self.load = self.random.unit() * 5_000.0;
        }
        self.status = (self.status + self.random.normal()).clamp(0.0, 5.0);
    }
}

/// One report of one truck to one table.
struct Entry {
    table: IotTable,
    truck: u32,
    step: u32,
    values: [f64; FIELDS_MAX],
    /// A bit per measured field without a value.
    missing_fields: u8,
    /// A bit per tag and capacity without a value.
    missing_properties: u8,
}

/// All reports as the trucks send them.
struct Reports {
    trucks: Vec<Truck>,
    steps: u32,
    step: u32,
    table: IotTable,
    truck: u32,
}

impl Reports {
    fn is_finished(&self) -> bool {
        self.step == self.steps || self.trucks.is_empty()
    }
}

impl Iterator for Reports {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.is_finished() {
            return None;
        }
        let truck = &mut self.trucks[self.truck as usize];
        let entry = Entry {
            table: self.table,
            truck: self.truck,
            step: self.step,
            values: truck.values(self.table),
            missing_fields: 0,
            missing_properties: 0,
        };
        if self.table == IotTable::Diagnostics {
            truck.step();
        }
        self.truck += 1;
        if self.truck as usize == self.trucks.len() {
            self.truck = 0;
            (self.table, self.step) = match self.table {
                IotTable::Readings => (IotTable::Diagnostics, self.step),
                IotTable::Diagnostics => (IotTable::Readings, self.step + 1),
            };
        }
        Some(entry)
    }
}

/// The reports as they arrive.
struct Arrivals {
    reports: Reports,
    random: Random,
    /// What is left of the batch that arrived last.
    batch: VecDeque<Entry>,
    waiting_batches: VecDeque<VecDeque<Entry>>,
    waiting_entries: VecDeque<Entry>,
}

impl Arrivals {
    /// Lets a batch arrive, be lost or wait; false when there is nothing left.
    fn turn(&mut self) -> bool {
        if self.reports.is_finished() {
            self.batch = self.waiting_batches.pop_front().unwrap_or_else(|| mem::take(&mut self.waiting_entries));
            return !self.batch.is_empty();
        }
        if self.chance(BATCH_LOST) {
            self.reports.by_ref().take(BATCH_ENTRIES).for_each(drop);
            return true;
        }
        if !self.waiting_batches.is_empty() && self.chance(WAITING_GOES) {
            self.batch = self.waiting_batches.pop_front().expect("one waits");
            return true;
        }
        let waits = self.chance(BATCH_WAITS);
        let batch = self.new_batch();
        if waits && !batch.is_empty() {
            self.waiting_batches.push_back(batch);
        } else {
            self.batch = batch;
        }
        true
    }

    fn new_batch(&mut self) -> VecDeque<Entry> {
        let mut batch = VecDeque::with_capacity(BATCH_ENTRIES);
        // Entries of this batch that wait are for a later one.
        let mut may_go = self.waiting_entries.len();
        while batch.len() < BATCH_ENTRIES {
            let next = if may_go > 0 && self.chance(WAITING_GOES) {
                may_go -= 1;
                self.waiting_entries.pop_front()
            } else {
                self.reports.next()
            };
            let Some(mut entry) = next else { break };
            if self.chance(ENTRY_LOST) {
                continue;
            }
            if self.chance(ENTRY_WAITS) {
                self.waiting_entries.push_back(entry);
                continue;
            }
            if self.chance(FIELD_MISSING) {
                // As in TSBS: a field of the wider table, counted round in the narrower one.
                let field = self.random.below(FIELDS_MAX as u64) as usize % entry.table.fields().len();
                entry.missing_fields |= 1 << field;
            }
            if self.chance(PROPERTY_MISSING) {
                entry.missing_properties |= 1 << self.random.below(PROPERTIES);
            }
            batch.push_back(entry);
        }
        batch
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random.unit() < share
    }
}

impl Iterator for Arrivals {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.batch.pop_front() {
                return Some(entry);
            }
            if !self.turn() {
                return None;
            }
        }
    }
}

/// Iterates over the batches of a table.
pub struct IotBatches {
    start_ns: i64,
    interval_ns: i64,
    table: IotTable,
    schema: SchemaRef,
    dictionaries: [ArrayRef; IOT_TAGS.len()],
    arrivals: Arrivals,
}

impl Iterator for IotBatches {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        let table = self.table;
        let entries: Vec<Entry> = self.arrivals.by_ref().filter(|entry| entry.table == table).take(ROWS_MAX).collect();
        if entries.is_empty() {
            return None;
        }
        let trucks = &self.arrivals.reports.trucks;
        let times = entries.iter().map(|entry| self.start_ns + i64::from(entry.step) * self.interval_ns);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(TimestampNanosecondArray::from_iter_values(times))];
        let present = |entry: &Entry, property: usize| entry.missing_properties & (1 << property) == 0;
        for (tag, dictionary) in self.dictionaries.iter().enumerate() {
            let code = |entry: &Entry| present(entry, tag).then(|| trucks[entry.truck as usize].tag_codes[tag]);
            let codes: Int32Array = entries.iter().map(code).collect();
            let array =
                DictionaryArray::try_new(codes, dictionary.clone()).expect("codes are positions in the dictionary");
            columns.push(Arc::new(array));
        }
        for capacity in 0..IOT_CAPACITIES.len() {
            let value = |entry: &Entry| {
                let model = trucks[entry.truck as usize].tag_codes[3] as usize;
                present(entry, IOT_TAGS.len() + capacity).then(|| MODELS[model].1[capacity])
            };
            columns.push(Arc::new(entries.iter().map(value).collect::<Float64Array>()));
        }
        for (field, name) in table.fields().iter().enumerate() {
            let values =
                entries.iter().map(|entry| (entry.missing_fields & (1 << field) == 0).then(|| entry.values[field]));
            columns.push(match IotTable::field_type(name) {
                DataType::Int64 => Arc::new(values.map(|value| value.map(|v| v as i64)).collect::<Int64Array>()),
                _ => Arc::new(values.collect::<Float64Array>()),
            });
        }
        Some(RecordBatch::try_new(self.schema.clone(), columns).expect("columns were made for this schema"))
    }
}

#[cfg(test)]
mod tests;
