//! Bytes on disk: hot and warm segments of a monitored fleet, and real metrics beside other formats.
//!
//! Run with `cargo bench --no-default-features --bench sizes`. The fleet is one day of 1,000 hosts, 8.64 M rows of ten gauges,
//! once of integers and once of floats of two decimals. Of the first gauge, warm vectors are measured beside what else
//! could have coded them, with the speed of decoding: pco, and ZSTD with a dictionary of differences of the column.
//!
//! `LYNX_NAB_DIR` may name a directory with the files of the Numenta Anomaly Benchmark (`data/` of github.com/numenta/NAB): a
//! folder per kind, CSV files of `timestamp,value`. Only the values count, as `f64`, a series per file: vectors of this
//! store beside Gorilla, Parquet with ZSTD, and pco.
#![allow(clippy::unwrap_used)] // A benchmark that cannot go on has nothing better to do than to stop.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use lynxstore::generate::{CPU_TAGS, CpuOptions, RowOrder, ValueKind};
use lynxstore_storage::encoding::{
    ColumnCoder, DecodeTable, PlainVector, VECTOR_LEN, VectorBuffer, VectorHeader, decode_column_i64, decode_f64,
    decode_i64, encode_f64, encode_i64,
};
use lynxstore_storage::io::RealIo;
use lynxstore_storage::segment::{Segment, SegmentOrigin, SegmentWriter, SeriesShape};
use lynxstore_storage::types::{ColumnId, FieldType, SegmentId, SeriesKey, TableId, TableSchema, Tier};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// Bytes of the same values in each form.
#[derive(Default)]
struct Sizes {
    values: usize,
    lynxstore: usize,
    gorilla: usize,
    parquet: usize,
    pco: usize,
}

fn main() {
    for (kind, field_type) in [(ValueKind::Integer, FieldType::I64), (ValueKind::TwoDecimals, FieldType::F64)] {
        let fleet = Fleet::make(kind);
        let schema =
            TableSchema::from_spec(TableId(1), &support::table_spec_of(field_type)).expect("the table is sound");
        for tier in [Tier::Hot, Tier::Warm] {
            println!("{kind:?}, {}: {:.1} MB", tier.name(), fleet.segment_bytes(&schema, tier) as f64 / 1e6);
        }
        if kind == ValueKind::Integer {
            measure_coders(&fleet.first_gauge());
        }
    }
    measure_metrics();
}

/// Rows of a fleet, by host.
struct Fleet {
    hosts: Vec<Host>,
}

/// Rows of one host in the parts in which they were made: the time, the tags, the gauges.
struct Host {
    key: SeriesKey,
    parts: Vec<RecordBatch>,
}

impl Fleet {
    fn make(values: ValueKind) -> Self {
        let options = CpuOptions { order: RowOrder::Host, values, ..support::one_day() };
        let rows_per_host = options.rows_per_host as usize;
        let mut hosts: Vec<Host> = Vec::new();
        let mut row = 0;
        for batch in options.batches() {
            let mut start = 0;
            while start < batch.num_rows() {
                let count = (rows_per_host - row % rows_per_host).min(batch.num_rows() - start);
                let part = batch.slice(start, count);
                if row % rows_per_host == 0 {
                    hosts.push(Host { key: key_of(&part), parts: Vec::new() });
                }
                hosts.last_mut().expect("a host has begun").parts.push(part);
                (start, row) = (start + count, row + count);
            }
        }
        hosts.sort_by(|one, other| one.key.cmp(&other.key));
        Self { hosts }
    }

    /// Length of the file that a segment of all rows takes.
    fn segment_bytes(&self, schema: &TableSchema, tier: Tier) -> u64 {
        let dir = support::scratch_dir();
        let (path, id) = (dir.path().join("rows.seg"), SegmentId(1));
        let origin = SegmentOrigin::of_flush(id);
        let mut writer = SegmentWriter::create_with_origin(Arc::new(RealIo), &path, id, origin, tier)
            .expect("the directory is writable");
        writer.begin_table(schema).expect("the table is the first");
        for Host { key, parts } in &self.hosts {
            let times: Vec<i64> = parts.iter().flat_map(|part| times_of(part).to_vec()).collect();
            let shape = SeriesShape::of(&times).expect("times ascend");
            writer.begin_series(key, &shape).expect("hosts are in order");
            for part in parts {
                let gauges = part.columns()[1 + CPU_TAGS.len()..].iter();
                let fields: Vec<(ColumnId, ArrayRef)> =
                    schema.fields.iter().zip(gauges).map(|(field, gauge)| (field.id, gauge.clone())).collect();
                writer.append_rows(times_of(part), &fields).expect("rows are those of the shape");
            }
        }
        writer.end_table().expect("the disk has room");
        let file_len = writer.finish().expect("the disk has room").file_len;
        Segment::open(Arc::new(RealIo), &path, id, file_len)
            .and_then(|segment| segment.verify_all())
            .expect("it is whole");
        file_len
    }

    /// The first gauge in vectors of each host.
    fn first_gauge(&self) -> Vec<Vec<i64>> {
        let values_of = |host: &Host| -> Vec<i64> {
            let gauge =
                |part: &RecordBatch| part.column(1 + CPU_TAGS.len()).as_primitive::<Int64Type>().values().to_vec();
            host.parts.iter().flat_map(gauge).collect()
        };
        self.hosts
            .iter()
            .flat_map(|host| values_of(host).chunks(VECTOR_LEN).map(<[i64]>::to_vec).collect::<Vec<_>>())
            .collect()
    }
}

fn times_of(part: &RecordBatch) -> &[i64] {
    part.column(0).as_primitive::<TimestampNanosecondType>().values()
}

fn key_of(part: &RecordBatch) -> SeriesKey {
    let value = |tag: usize| {
        let column = part.column(1 + tag).as_dictionary::<Int32Type>();
        let values = column.values().as_string::<i32>();
        column.key(0).map(|code| values.value(code).as_bytes().to_vec())
    };
    let values: Vec<Option<Vec<u8>>> = (0..CPU_TAGS.len()).map(value).collect();
    SeriesKey::from_tags(values.iter().map(Option::as_deref))
}

/// Bits per value and G values a second of decoding, of vectors that are decoded alone.
fn measure_coders(vectors: &[Vec<i64>]) {
    let count: usize = vectors.iter().map(Vec::len).sum();
    let print = |name: &str, bytes: usize, decode: &mut dyn FnMut()| {
        let best = (0..5).map(|_| seconds(decode)).fold(f64::MAX, f64::min);
        println!(
            "{name}: {:.2} bits per value, {:.2} G values/s",
            bytes as f64 * 8.0 / count as f64,
            count as f64 / best / 1e9
        );
    };
    let hot: Vec<(VectorHeader, Vec<u8>)> = vectors
        .iter()
        .map(|values| {
            let mut data = Vec::new();
            (encode_i64(values, None, &mut data).0, data)
        })
        .collect();
    let lens = || vectors.iter().map(Vec::len);
    let mut out = VectorBuffer::<i64>::boxed();
    print("hot", hot.iter().map(|(_, data)| data.len().next_multiple_of(64)).sum(), &mut || {
        for ((header, data), len) in hot.iter().zip(lens()) {
            decode_i64(header, data, len, &mut out).expect("the encoder wrote it");
        }
    });
    let plain: Vec<_> =
        hot.iter().zip(lens()).map(|((header, data), len)| PlainVector { header: *header, data, len }).collect();
    if let Some(coder) = ColumnCoder::choose(&plain) {
        let table = DecodeTable::new(coder.code());
        let warm: Vec<(VectorHeader, Vec<u8>)> = plain
            .iter()
            .map(|vector| {
                let mut data = Vec::new();
                let header = coder.encode(vector, &mut data);
                header.map_or((vector.header, vector.data.to_vec()), |header| (header, data))
            })
            .collect();
        print("warm", warm.iter().map(|(_, data)| data.len()).sum(), &mut || {
            for ((header, data), len) in warm.iter().zip(lens()) {
                decode_column_i64(header, data, len, Some(&table), &mut out).expect("the encoder wrote it");
            }
        });
    }
    // Differences as bytes; those of this column fit.
    let deltas: Vec<Vec<u8>> =
        vectors.iter().map(|values| values.windows(2).map(|pair| (pair[1] - pair[0]) as u8).collect()).collect();
    let dictionary: Vec<u8> = deltas.iter().step_by(deltas.len().div_ceil(16)).flatten().copied().collect();
    for level in [3, 19] {
        let mut compressor = zstd::bulk::Compressor::with_dictionary(level, &dictionary).expect("memory takes all");
        let compressed: Vec<Vec<u8>> =
            deltas.iter().map(|bytes| compressor.compress(bytes).expect("memory takes all")).collect();
        let mut decompressor = zstd::bulk::Decompressor::with_dictionary(&dictionary).expect("memory takes all");
        let mut bytes = Vec::with_capacity(VECTOR_LEN);
        let total = dictionary.len() + compressed.iter().map(Vec::len).sum::<usize>();
        print(&format!("ZSTD {level} with a dictionary, of differences, not summed"), total, &mut || {
            for data in &compressed {
                bytes.clear();
                decompressor.decompress_to_buffer(data, &mut bytes).expect("it was compressed");
            }
        });
    }
    let config = pco::ChunkConfig::default();
    let packed: Vec<Vec<u8>> = vectors
        .iter()
        .map(|values| pco::standalone::simple_compress(values, &config).expect("integers are supported"))
        .collect();
    print("pco, a vector each", packed.iter().map(Vec::len).sum(), &mut || {
        for data in &packed {
            pco::standalone::simple_decompress_into(data, out.as_mut_slice()).expect("it was compressed");
        }
    });
    // Pages of a vector within chunks of a series would be pco's own way; this is the least that it comes to.
    let whole = pco::standalone::simple_compress(&vectors.concat(), &config).expect("integers are supported");
    println!("pco, the whole column: {:.2} bits per value", whole.len() as f64 * 8.0 / count as f64);
}

fn seconds(run: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

fn measure_metrics() {
    let Some(dir) = std::env::var_os("LYNX_NAB_DIR").map(PathBuf::from).filter(|dir| dir.is_dir()) else {
        println!("LYNX_NAB_DIR names no directory of the Numenta Anomaly Benchmark: its metrics are not measured");
        return;
    };
    let mut folders: BTreeMap<String, Sizes> = BTreeMap::new();
    for file in csv_files(&dir) {
        let values = read_values(&file);
        let folder = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        for name in [folder, "total".to_owned()] {
            let sizes = folders.entry(name).or_default();
            sizes.values += values.len();
            sizes.lynxstore += lynxstore_bytes(&values);
            sizes.gorilla += gorilla_bits(&values).div_ceil(8);
            sizes.parquet += parquet_bytes(&values);
            sizes.pco += pco_bytes(&values);
        }
    }
    println!(
        "| bytes per value | values | this store | Gorilla | Parquet, ZSTD | pco |\n| --- | --- | --- | --- | --- | --- |"
    );
    for (name, sizes) in &folders {
        let per_value = |bytes: usize| bytes as f64 / sizes.values as f64;
        println!(
            "| {name} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
            sizes.values,
            per_value(sizes.lynxstore),
            per_value(sizes.gorilla),
            per_value(sizes.parquet),
            per_value(sizes.pco)
        );
    }
}

/// The CSV files of all folders below `dir`, in order.
fn csv_files(dir: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut files: Vec<_> = entries(dir).iter().flat_map(|folder| entries(folder)).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    files
}

fn read_values(file: &Path) -> Vec<f64> {
    let text = fs::read_to_string(file).expect("the file is readable");
    let value = |line: &str| line.trim_end().rsplit_once(',')?.1.parse().ok();
    text.lines().filter_map(value).collect()
}

/// Vectors with their headers; each is decoded to see that nothing is lost.
fn lynxstore_bytes(values: &[f64]) -> usize {
    let vector_bytes = |values: &[f64]| {
        let (mut data, mut decoded) = (Vec::new(), [0.0; VECTOR_LEN]);
        let (header, _) = encode_f64(values, None, &mut data);
        decode_f64(&header, &data, values.len(), &mut decoded).expect("the encoder wrote it");
        assert!(values.iter().zip(&decoded).all(|(value, decoded)| value.to_bits() == decoded.to_bits()));
        data.len() + VectorHeader::BYTES
    };
    values.chunks(VECTOR_LEN).map(vector_bytes).sum()
}

/// The length of the values as the Gorilla paper writes them: a bit for an equal value, else two bits and the part of
/// the difference that is not zero, with its place (5 and 6 bits) when it does not lie within that of the value before.
fn gorilla_bits(values: &[f64]) -> usize {
    let mut bits = 64;
    let mut window = None;
    for pair in values.windows(2) {
        let difference = pair[0].to_bits() ^ pair[1].to_bits();
        let (leading, trailing) = (difference.leading_zeros().min(31), difference.trailing_zeros());
        bits += match window {
            _ if difference == 0 => 1,
            Some((before, behind)) if leading >= before && trailing >= behind => 2 + 64 - (before + behind) as usize,
            _ => {
                window = Some((leading, trailing));
                2 + 5 + 6 + 64 - (leading + trailing) as usize
            }
        };
    }
    bits
}

/// The column chunk, without the footer.
fn parquet_bytes(values: &[f64]) -> usize {
    let column: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    let batch = RecordBatch::try_from_iter([("value", column)]).expect("one column is a batch");
    let level = ZstdLevel::try_new(3).expect("the level is known");
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("the schema is simple");
    writer.write(&batch).expect("memory takes all");
    let metadata = writer.close().expect("memory takes all");
    metadata.row_groups().iter().map(|group| group.compressed_size() as usize).sum()
}

fn pco_bytes(values: &[f64]) -> usize {
    pco::standalone::simple_compress(values, &pco::ChunkConfig::default()).expect("floats are supported").len()
}
