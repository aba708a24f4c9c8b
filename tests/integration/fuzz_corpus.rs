//! Replays the seed corpora of the fuzz targets, so that a machine without cargo-fuzz runs each of them, and makes them.
//!
//! `cargo test --test integration write_seed_corpora -- --ignored` writes the seeds that follow from the formats, after
//! a change of one. Seeds that a fuzzer found stay beside them under names of their own.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use lynxstore_query::{QueryEngine, QueryOptions};
use lynxstore_storage::encoding::{VectorHeader, encode_f64, encode_i64};
use lynxstore_storage::engine::{Background, Engine, EngineOptions};
use lynxstore_storage::io::sim::SimIo;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};

use crate::support::{Rng, project_root};

#[path = "../../fuzz/src/targets.rs"]
mod targets;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 10] = [
    ("engine_model", targets::engine_model),
    ("wal_record", targets::wal_record),
    ("segment_reader", targets::segment_reader),
    ("remote_write_body", targets::remote_write_body),
    ("line_protocol", targets::line_protocol),
    ("event_line", targets::event_line),
    ("otlp_body", targets::otlp_body),
    ("table_body", targets::table_body),
    ("exposition_line", targets::exposition_line),
    ("sql_text", targets::sql_text),
];

fn corpus_dir(target: &str) -> PathBuf {
    project_root().join("fuzz/corpus").join(target)
}

fn seeds(target: &str) -> Vec<PathBuf> {
    let mut seeds: Vec<_> = fs::read_dir(corpus_dir(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    seeds
}

#[test]
fn every_seed_is_decoded_or_refused() {
    let mut failures = Vec::new();
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() >= 3, "the corpus of {name} has {} seeds", seeds.len());
        for seed in seeds {
            let bytes = fs::read(&seed).unwrap();
            if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                failures.push(seed);
            }
        }
    }
    assert!(failures.is_empty(), "these inputs bring their target down: {failures:?}");
}

/// Each seed cut short and each with one byte changed: no replacement for a fuzzer, but it runs everywhere.
#[test]
fn damaged_seeds_are_refused() {
    let mut failures = Vec::new();
    for (name, target) in TARGETS {
        for seed in seeds(name) {
            let bytes = fs::read(&seed).unwrap();
            // At most about 200 variants per seed.
            let stride = (bytes.len() / 100).max(1);
            for place in (0..bytes.len()).step_by(stride) {
                let mut changed = bytes.clone();
                changed[place] ^= 0x41;
                for variant in [&bytes[..place], &changed] {
                    if catch_unwind(AssertUnwindSafe(|| target(variant))).is_err() {
                        failures.push((seed.clone(), place));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "damage at these places brings a target down: {failures:?}");
}

/// Seeds changed at random in several places, for as many seconds per target as `LYNX_MUTATION_SECONDS` says: what can be
/// done without coverage on a machine that cannot fuzz.
#[test]
#[ignore = "it takes minutes; .ci/run starts it where cargo-fuzz cannot run"]
fn mutated_seeds_are_refused() {
    let seconds = std::env::var("LYNX_MUTATION_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    for (name, target) in TARGETS {
        let seeds: Vec<_> = seeds(name).iter().map(|seed| fs::read(seed).unwrap()).collect();
        let begin = std::time::Instant::now();
        let mut round = 0;
        while begin.elapsed().as_secs() < seconds {
            // The number of the round is the seed of its randomness, so that a failing one can be repeated.
            let bytes = mutate(&seeds, &mut Rng::new(round));
            let outcome = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            assert!(outcome.is_ok(), "{name}: round {round} brings the target down with {bytes:?}");
            round += 1;
        }
        eprintln!("{name}: {round} inputs, no finding");
    }
}

/// One seed with a few bytes changed, removed, repeated, or taken from another seed.
fn mutate(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'(', b'\'', b'9'];
    let pick = |rng: &mut Rng| &seeds[rng.below(seeds.len() as u64) as usize];
    let mut bytes = pick(rng).clone();
    for _ in 0..1 + rng.below(6) {
        let place = rng.below(bytes.len() as u64 + 1) as usize;
        let end = (place + 1 + rng.below(16) as usize).min(bytes.len());
        match rng.below(6) {
            0 => bytes.truncate(place),
            1 => drop(bytes.drain(place..end)),
            2 => {
                let part = bytes[place..end].to_vec();
                bytes.splice(place..place, part);
            }
            3 => {
                let other = pick(rng);
                let from = rng.below(other.len() as u64 + 1) as usize;
                bytes.truncate(place);
                bytes.extend_from_slice(&other[from..]);
            }
            kind => {
                if let Some(byte) = bytes.get_mut(place) {
                    let telling = TELLING[rng.below(TELLING.len() as u64) as usize];
                    *byte = if kind == 4 { telling } else { rng.next_u64() as u8 };
                }
            }
        }
    }
    bytes
}

#[test]
#[ignore = "it writes fuzz/corpus; run it after a change of a format"]
fn write_seed_corpora() {
    for (name, _) in TARGETS {
        fs::create_dir_all(corpus_dir(name)).unwrap();
    }
    write_storage_seeds();
    for (name, message) in remote_write_messages() {
        fs::write(corpus_dir("remote_write_body").join(format!("{name}.message")), &message).unwrap();
        let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
        fs::write(corpus_dir("remote_write_body").join(format!("{name}.snappy")), body).unwrap();
    }
    for (name, body) in table_bodies() {
        fs::write(corpus_dir("table_body").join(name), body).unwrap();
    }
    for (number, sql) in SQL_SEEDS.iter().enumerate() {
        fs::write(corpus_dir("sql_text").join(format!("{number:02}.sql")), sql).unwrap();
    }
}

/// A few rows in every form that bodies have.
fn table_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampMillisecondArray::from(vec![1, 2, 2]))),
        ("host", Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]))),
        ("f", Arc::new(Float64Array::from(vec![0.5, -0.0, 1e300]))),
        ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(3)]))),
        ("b", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("s", Arc::new(StringArray::from(vec!["ü", "", "ü"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut stream = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    let parquet = |properties: WriterPropertiesBuilder| {
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let compressed = |compression| WriterProperties::builder().set_compression(compression);
    vec![
        ("rows.arrow", stream.into_inner().unwrap()),
        ("rows.csv", b"time,host,f,i,b,s\n2026-01-01T00:00:00Z,a,0.5,-1,true,\"x,\"\"y\"\"\"\n2,,,,,\n".to_vec()),
        ("dictionaries.parquet", parquet(compressed(Compression::SNAPPY))),
        ("gzip.parquet", parquet(compressed(Compression::GZIP(Default::default())).set_dictionary_enabled(false))),
        (
            "second_version.parquet",
            parquet(
                compressed(Compression::ZSTD(Default::default()))
                    .set_dictionary_enabled(false)
                    .set_encoding(Encoding::PLAIN)
                    .set_writer_version(WriterVersion::PARQUET_2_0)
                    .set_max_row_group_row_count(Some(2)),
            ),
        ),
    ]
}

/// WAL files, their first payloads, and segments of small databases.
fn write_storage_seeds() {
    const WAL_HEADER_BYTES: usize = 64;
    const RECORD_HEADER_BYTES: usize = 40;
    const TABLE: &str = "CREATE TABLE t (time TIMESTAMP TIME, host STRING TAG, dc STRING TAG, f DOUBLE, i BIGINT, \
                         u BIGINT UNSIGNED, b BOOLEAN, s STRING)";
    let row = |time: usize, host: usize| {
        format!(
            "({}, 'host-{host}', {}, {}, {}, {time}, {}, 'text {}')",
            time * 10_000_000_000,
            if host == 0 { "NULL" } else { "'eu'" },
            time as f64 / 8.0,
            if time.is_multiple_of(5) { "NULL".to_owned() } else { (time * time).to_string() },
            time.is_multiple_of(2),
            time % 3
        )
    };
    let values = |times: std::ops::Range<usize>, hosts: usize| {
        let rows: Vec<_> = times.flat_map(|time| (0..hosts).map(move |host| row(time, host))).collect();
        rows.join(", ")
    };
    let samples = [
        ("one_row", format!("INSERT INTO t VALUES {}", values(1..2, 1))),
        ("regular_times", format!("INSERT INTO t VALUES {}", values(0..40, 2))),
        ("nulls_only", "INSERT INTO t (time, host) VALUES (5, NULL), (3, 'a'), (5, 'a')".to_owned()),
        (
            "shared_keys",
            "INSERT INTO t (time, host, f) VALUES (1, 'a-long-name-of-host-0001', 1), (1, 'a-long-name-of-host-0002', 2), \
             (1, 'a-long-name-of-host-0013', 3), (1, '', 4)"
                .to_owned(),
        ),
        (
            "extremes",
            format!(
                "INSERT INTO t VALUES ({}, '', '', 5e-324, {}, 18446744073709551615, true, ''), \
          ({}, 'x', 'y', -1e308, {}, 0, false, 'ü')",
                i64::MIN + 1,
                i64::MIN + 1,
                i64::MAX,
                i64::MAX
            ),
        ),
    ];
    write_vector_seeds();
    for (name, insert) in samples {
        let disk = SimIo::new();
        let options = EngineOptions { background: Background::Caller, ..EngineOptions::default() };
        let engine = Arc::new(Engine::open_with(Arc::new(disk.clone()), Path::new("/db"), options).unwrap());
        let query = QueryEngine::new(Arc::clone(&engine), QueryOptions::default());
        query.execute(TABLE).unwrap();
        query.execute(&insert).unwrap();
        let content_of = |extension: &str| {
            let path = disk.paths().into_iter().find(|path| path.extension().is_some_and(|found| found == extension));
            disk.content(&path.unwrap()).unwrap()
        };
        let wal = content_of("wal");
        let payload = &wal[WAL_HEADER_BYTES + RECORD_HEADER_BYTES..];
        let len = u32::from_le_bytes(wal[WAL_HEADER_BYTES + 4..][..4].try_into().unwrap()) as usize;
        fs::write(corpus_dir("wal_record").join(format!("{name}.payload")), &payload[..len]).unwrap();
        // The zeros of the preallocated rest say nothing.
        let end = (WAL_HEADER_BYTES + RECORD_HEADER_BYTES + len).next_multiple_of(8) + 64;
        fs::write(corpus_dir("wal_record").join(format!("{name}.wal")), &wal[..end.min(wal.len())]).unwrap();
        engine.flush().unwrap();
        fs::write(corpus_dir("segment_reader").join(format!("{name}.seg")), content_of("seg")).unwrap();
    }
}

/// Single vectors, as the target of segments takes them beside files: header, length, data. One of each encoding that
/// lists something: outliers, jumps, runs, split floats.
fn write_vector_seeds() {
    let jump = |row: i64| if row % 50 == 20 { 1 << 30 } else { row % 7 };
    let mut total = 0;
    let mut sum = |row: i64| {
        total += jump(row);
        total
    };
    let integers: [(&str, Vec<i64>); 3] = [
        ("outliers", (0..200).map(jump).collect()),
        ("jumps", (0..200).map(&mut sum).collect()),
        ("runs", (0..200).map(|row| row / 23 * 1_000_003 % 7).collect()),
    ];
    let floats: Vec<f64> = (1..200).map(|row| f64::from(row).sqrt() / 7.0 - 1.0).collect();
    let write = |name: &str, len: usize, encode: &dyn Fn(&mut Vec<u8>) -> VectorHeader| {
        let mut data = Vec::new();
        let header = encode(&mut data);
        let bytes = [header.to_bytes().as_slice(), &(len as u16).to_le_bytes(), &data].concat();
        fs::write(corpus_dir("segment_reader").join(format!("{name}.vector")), bytes).unwrap();
    };
    for (name, values) in &integers {
        write(name, values.len(), &|data| encode_i64(values, None, data).0);
    }
    write("split", floats.len(), &|data| encode_f64(&floats, None, data).0);
}

/// Messages of remote write 1.0 and 2.0, put together field by field.
fn remote_write_messages() -> Vec<(&'static str, Vec<u8>)> {
    let metric = |name: &str| label("__name__", name);
    let samples = [
        metric("up"),
        label("job", "api"),
        sample(1.0, 1_700_000_000_000),
        sample(f64::from_bits(0x7ff0_0000_0000_0002), 1_700_000_001_000),
    ];
    let exemplar = bytes_field(3, &[label("trace_id", "abc"), double(2, 0.5), varint(3, 1_700_000_000_000)].concat());
    let spans = bytes_field(11, &[varint(1, 0), varint(2, 2)].concat());
    let histogram = [
        varint(1, 4),
        double(3, 4.5),
        varint(4, 0),
        double(5, 1e-128),
        varint(6, 1),
        spans,
        bytes_field(12, &[2, 2]),
        varint(15, 1_700_000_000_000),
    ];
    let metadata = [varint(1, 1), bytes_field(2, b"up"), bytes_field(4, b"Whether it is up."), bytes_field(5, b"")];
    let symbols: Vec<u8> = ["", "__name__", "up", "job", "api", "trace_id", "abc", "Whether it is up."]
        .into_iter()
        .flat_map(|symbol| bytes_field(4, symbol.as_bytes()))
        .collect();
    let of_v2 = |series: &[Vec<u8>]| {
        let references = bytes_field(1, &[1, 2, 3, 4]);
        [symbols.clone(), bytes_field(5, &[references, series.concat()].concat())].concat()
    };
    let exemplar_v2 = bytes_field(4, &[bytes_field(1, &[5, 6]), double(2, 0.5), varint(3, 1)].concat());
    let metadata_v2 = bytes_field(5, &[varint(1, 2), varint(3, 7), varint(4, 0)].concat());
    let started = bytes_field(2, &[double(1, 1.0), varint(2, 20), varint(3, 10)].concat());
    vec![
        ("v2_samples", of_v2(&[sample(1.0, 1), started])),
        ("v2_exemplar_only", of_v2(&[exemplar_v2])),
        ("v2_metadata_and_created", of_v2(&[sample(1.0, 20), metadata_v2, varint(6, 10)])),
        ("v2_histogram", of_v2(&[bytes_field(3, &histogram.concat())])),
        ("v2_odd_references", [symbols.clone(), bytes_field(5, &bytes_field(1, &[1, 2, 99]))].concat()),
        ("v2_scattered_references", of_v2(&[varint(1, 3), varint(1, 4), bytes_field(1, &[5, 6])])),
        ("samples", bytes_field(1, &samples.concat())),
        ("two_series", [bytes_field(1, &samples.concat()), bytes_field(1, &samples[..3].concat())].concat()),
        ("exemplar", bytes_field(1, &[metric("requests_total"), sample(1.0, 1), exemplar].concat())),
        ("histogram", bytes_field(1, &[metric("latency"), bytes_field(4, &histogram.concat())].concat())),
        ("metadata", bytes_field(3, &metadata.concat())),
        ("empty", Vec::new()),
    ]
}

fn label(name: &str, value: &str) -> Vec<u8> {
    bytes_field(1, &[bytes_field(1, name.as_bytes()), bytes_field(2, value.as_bytes())].concat())
}

fn sample(value: f64, time_ms: u64) -> Vec<u8> {
    bytes_field(2, &[double(1, value), varint(2, time_ms)].concat())
}

fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    push_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

fn varint(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    push_varint(value, &mut out);
    out
}

fn double(number: u8, value: f64) -> Vec<u8> {
    let mut out = vec![number << 3 | 1];
    out.extend_from_slice(&value.to_le_bytes());
    out
}

fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const SQL_SEEDS: &[&str] = &[
    "SELECT time_bucket('1m', time) AS m, host, max(f), count(*) FROM t WHERE host = 'a' GROUP BY m, host ORDER BY m",
    "SELECT * FROM t WHERE time >= '1970-01-01' AND (i > 1 OR s LIKE 'o%') ORDER BY time DESC LIMIT 2 OFFSET 1",
    "SELECT DISTINCT dc FROM t WHERE dc IS NOT NULL",
    "SELECT host, avg(f) * 2 - 1, stddev(i), first_value(u ORDER BY time) FROM t GROUP BY host HAVING count(*) > 1",
    "SELECT CASE WHEN b THEN i ELSE -i END, CAST(u AS DOUBLE), i % 3, f / 0 FROM t",
    "SELECT date_bin(INTERVAL '1 hour', time), sum(i) FROM t WHERE host IN ('a', 'b') AND i BETWEEN 1 AND 5 GROUP BY 1",
    "CREATE TABLE IF NOT EXISTS x (time TIMESTAMP TIME, host STRING TAG, v DOUBLE) WITH (dedup = 'off')",
    "INSERT INTO t (time, host, f) VALUES ('2024-01-01 00:00:00', 'a', 1e308), (1, NULL, NULL)",
    "COPY t FROM 'x.csv' WITH (HEADER true, DELIMITER ';')",
    "EXPLAIN SELECT count(*) FROM t; SHOW TABLES; DESCRIBE t",
    "SELECT ((((((((1)))))))) FROM t WHERE NOT NOT NOT b",
    "SELECT 'it''s', \"time\", $$dollar$$, -- comment\n 0x1F /* and /* nested */ */ FROM \"t\"",
];
