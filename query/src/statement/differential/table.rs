//! Generated tables: values at their limits, duplicates, late rows, deletes and changed columns, with rows in memory, in
//! several segments and compacted.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::{Ack, Engine, EngineOptions};
use lynxstore_storage::ingest::group_rows;
use tempfile::TempDir;

use super::random::Random;
use crate::{QueryEngine, QueryOptions, RollupMode};

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3_600 * SECOND_NS;
/// Rows are written on this grid, so that the same times come again.
const GRID_NS: i64 = 10 * SECOND_NS;

/// The columns of a table by what may be asked of them.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) tags: Vec<&'static str>,
    /// Small integers.
    pub(super) integers: Vec<&'static str>,
    /// Multiples of 1/8 and small, so that sums are exact in any order.
    pub(super) floats: Vec<&'static str>,
    pub(super) texts: Vec<&'static str>,
}

/// A table named `t` in an engine of its own, and the ways to ask it.
pub(super) struct Table {
    _dir: TempDir,
    pub(super) engine: Arc<Engine>,
    /// Rollups on and off, one thread and two.
    pub(super) ways: Vec<QueryEngine>,
    pub(super) columns: Columns,
    /// First possible time; negative for some tables.
    pub(super) start_ns: i64,
    pub(super) hours: i64,
    series: Vec<Series>,
    /// What was done, to be printed when an answer is wrong.
    pub(super) story: Vec<String>,
}

/// The tags of a series and how its times lie.
#[derive(Debug, Clone)]
struct Series {
    tags: [Option<String>; 3],
    step_ns: Option<i64>,
}

impl Table {
    /// A table with some rows in memory.
    pub(super) fn generate(random: &mut Random) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(dir.path(), EngineOptions::default()).unwrap());
        let mut ways = Vec::new();
        for rollups in [RollupMode::On, RollupMode::Off] {
            for threads in [1, 2] {
                let options = QueryOptions { threads, rollups, ..QueryOptions::default() };
                ways.push(QueryEngine::new(Arc::clone(&engine), options));
            }
        }
        let dedup = random.pick(&["last", "first", "off"]);
        let partition = random.pick(&["1h", "6h", "1d"]);
        let hosts = random.pick(&[1, 4, 12, 40]);
        let series: Vec<Series> = (0..hosts)
            .map(|host| Series {
                tags: [
                    (host != 3).then(|| format!("h{host}")),
                    random.pick(&[Some("eu"), Some("us"), Some(""), None]).map(str::to_owned),
                    None,
                ],
                step_ns: random.pick(&[None, Some(GRID_NS), Some(6 * GRID_NS)]),
            })
            .collect();
        let mut table = Self {
            _dir: dir,
            engine,
            ways,
            columns: Columns {
                tags: vec!["host", "region"],
                integers: vec!["i", "w"],
                floats: vec!["g"],
                texts: vec!["s", "d"],
            },
            start_ns: random.pick(&[1_767_225_600 * SECOND_NS, -5 * HOUR_NS, 951_782_400 * SECOND_NS]),
            hours: random.pick(&[2, 12, 60]),
            series,
            story: Vec::new(),
        };
        table.execute(&format!(
            "CREATE TABLE t (time TIMESTAMP TIME, host TEXT TAG, region TEXT TAG, i BIGINT, e BIGINT, w BIGINT, f DOUBLE, \
             g DOUBLE, u BIGINT UNSIGNED, b BOOLEAN, s TEXT, d TEXT, x BYTEA) WITH (dedup = '{dedup}', partition = \
             '{partition}')"
        ));
        table.write(random);
        table
    }

    fn execute(&mut self, sql: &str) {
        self.ways[0].execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        self.story.push(sql.to_owned());
    }

    /// Changes something: rows, columns, or where rows are.
    pub(super) fn change(&mut self, random: &mut Random) {
        match random.below(12) {
            0..=3 => self.write(random),
            4..=6 => {
                self.engine.flush().unwrap();
                self.story.push("flush".into());
                self.write(random);
            }
            7 => {
                self.engine.flush().unwrap();
                self.engine.compact().unwrap();
                self.story.push("flush, compact".into());
            }
            8 | 9 => self.delete(random),
            10 => self.alter(random),
            _ => {
                self.engine.flush().unwrap();
                self.story.push("flush".into());
            }
        }
    }

    fn delete(&mut self, random: &mut Random) {
        let (from, to) = (self.time(random), self.time(random));
        let sql = match random.below(3) {
            0 => format!("DELETE FROM t WHERE host = 'h1' AND time >= '{from}'"),
            1 => format!("DELETE FROM t WHERE region IS NULL AND time BETWEEN '{from}' AND '{to}'"),
            _ => format!("DELETE FROM t WHERE time >= '{from}' AND time < '{to}'"),
        };
        self.execute(&sql);
    }

    fn alter(&mut self, random: &mut Random) {
        match random.below(4) {
            0 if self.columns.integers.contains(&"w") => {
                self.execute("ALTER TABLE t ALTER COLUMN w TYPE DOUBLE");
                self.columns.integers.retain(|name| *name != "w");
                self.columns.floats.push("w");
            }
            1 if self.columns.texts.contains(&"d") => {
                self.execute("ALTER TABLE t DROP COLUMN d");
                self.columns.texts.retain(|name| *name != "d");
            }
            2 if !self.columns.integers.contains(&"a") => {
                self.execute("ALTER TABLE t ADD COLUMN a BIGINT");
                self.columns.integers.push("a");
            }
            3 if !self.columns.tags.contains(&"zone") => {
                self.execute("ALTER TABLE t ADD COLUMN zone TEXT TAG");
                self.columns.tags.push("zone");
                let mut zoned = self.series[0].clone();
                zoned.tags[2] = Some("z1".into());
                self.series.push(zoned);
            }
            _ => {}
        }
        self.write(random);
    }

    /// A time as text, within the table or a little outside.
    pub(super) fn time(&self, random: &mut Random) -> String {
        let unit_ns = random.pick(&[HOUR_NS, 600 * SECOND_NS, GRID_NS]);
        let steps = self.hours * HOUR_NS / unit_ns;
        let time_ns = self.start_ns + random.within(-1, steps + 1) * unit_ns;
        arrow::temporal_conversions::timestamp_ns_to_datetime(time_ns).unwrap().format("%Y-%m-%dT%H:%M:%S").to_string()
    }

    /// Writes rows of some series as one commit, perhaps without some of the columns.
    fn write(&mut self, random: &mut Random) {
        let span = self.hours * HOUR_NS / GRID_NS;
        let mut rows: Vec<(usize, i64)> = Vec::new();
        let most = 1_200 / self.series.len().min(12);
        for (index, series) in self.series.iter().enumerate() {
            if random.chance(30) && rows.len() > 10 {
                continue;
            }
            // A long series now and then: more than one vector.
            let count = if random.chance(4) { 2_500 } else { 1 + random.below(most) } as i64;
            let first = random.within(0, span / 2);
            for row in 0..count {
                let time_ns = match series.step_ns {
                    Some(step_ns) => first * GRID_NS + row * step_ns,
                    None => random.within(0, span) * GRID_NS,
                };
                rows.push((index, self.start_ns + time_ns % (self.hours * HOUR_NS)));
            }
        }
        let batch = self.batch(&rows, random);
        let schema = self.engine.table("public", "t").unwrap();
        self.engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Volatile).unwrap();
        self.story.push(format!("{} rows written", rows.len()));
    }

    fn batch(&self, rows: &[(usize, i64)], random: &mut Random) -> RecordBatch {
        let count = rows.len();
        let mut columns: Vec<(&str, ArrayRef)> =
            vec![("time", Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|(_, time)| *time))))];
        for (tag, name) in self.columns.tags.iter().enumerate() {
            let values = rows.iter().map(|(series, _)| self.series[*series].tags[tag].as_deref());
            columns.push((name, Arc::new(values.collect::<StringArray>())));
        }
        let mut fields = vec!["i", "e", "w", "f", "g", "u", "b", "s", "x"];
        fields.extend(["a"].into_iter().filter(|name| self.columns.integers.contains(name)));
        fields.extend(["d"].into_iter().filter(|name| self.columns.texts.contains(name)));
        for name in fields {
            if random.chance(10) && columns.len() > 4 {
                continue;
            }
            let nulls = random.pick(&[0, 0, 5, 50, 100]);
            let is_there = |random: &mut Random| !random.chance(nulls);
            let integer = |random: &mut Random| is_there(random).then(|| random.within(-20, 80));
            let array: ArrayRef = match name {
                "w" if self.columns.floats.contains(&"w") => {
                    Arc::new((0..count).map(|_| integer(random).map(|i| i as f64)).collect::<Float64Array>())
                }
                "i" | "w" | "a" => Arc::new((0..count).map(|_| integer(random)).collect::<Int64Array>()),
                "e" => Arc::new((0..count).map(|_| is_there(random).then(|| extreme(random))).collect::<Int64Array>()),
                "f" => Arc::new((0..count).map(|_| is_there(random).then(|| float(random))).collect::<Float64Array>()),
                "g" => Arc::new(
                    (0..count)
                        .map(|_| is_there(random).then(|| random.within(-4_000, 4_000) as f64 / 8.0))
                        .collect::<Float64Array>(),
                ),
                "u" => Arc::new(
                    (0..count)
                        .map(|_| is_there(random).then(|| random.pick(&[0, 1, 7, 20, 1 << 63, u64::MAX])))
                        .collect::<UInt64Array>(),
                ),
                "b" => {
                    Arc::new((0..count).map(|_| is_there(random).then(|| random.chance(50))).collect::<BooleanArray>())
                }
                "x" => Arc::new(
                    (0..count)
                        .map(|_| is_there(random).then(|| random.pick(&[&b"\x00\xff"[..], b"", b"ab"])))
                        .collect::<BinaryArray>(),
                ),
                _ => Arc::new(
                    (0..count)
                        .map(|_| is_there(random).then(|| random.pick(&["a", "ba", "", "Zeta", "h1", "ünï"])))
                        .collect::<StringArray>(),
                ),
            };
            columns.push((name, array));
        }
        let columns = columns.into_iter().map(|(name, array)| (name, array, name != "time"));
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }
}

fn extreme(random: &mut Random) -> i64 {
    match random.below(8) {
        0 => i64::MIN,
        1 => i64::MAX,
        2 => -1,
        _ => random.within(-1 << 40, 1 << 40),
    }
}

fn float(random: &mut Random) -> f64 {
    match random.below(14) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => -0.0,
        4 => 0.0,
        5 => f64::MIN_POSITIVE / 4.0,
        _ => random.within(-800, 800) as f64 / 8.0,
    }
}
