//! The scan interface of a snapshot, without SQL: 1,000 series x 8,640 rows x 10 integer fields in one segment.
//!
//! `cargo bench -p lynxstore-storage --bench scan`; in CPU time of the thread.

#[path = "support/cpu_time.rs"]
mod cpu_time;

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use cpu_time::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lynxstore_storage::encoding::{VectorBuffer, kernel, sum_vector_i64};
use lynxstore_storage::engine::{Ack, Engine, EngineOptions, SegmentInfo};
use lynxstore_storage::io::RealIo;
use lynxstore_storage::segment::{Section, Segment, SegmentOrigin, SegmentWriter, SeriesShape, segment_file_name};
use lynxstore_storage::snapshot::{SeriesSet, TagFilter, TagTerm};
use lynxstore_storage::types::{FieldType, SegmentId, SeriesBatch, SeriesKey, SeriesRows, TableSpec, Tier, TimeRange};

const HOSTS: usize = if cfg!(debug_assertions) { 20 } else { 1_000 };
const ROWS: usize = 8_640;
const FIELDS: usize = 10;
const STEP_NS: i64 = 10_000_000_000;

/// Splitmix64: enough for a random walk, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn build(dir: &Path) -> Engine {
    let options = EngineOptions::with_memory_budget(4 << 30);
    let engine = Engine::open(
        dir,
        EngineOptions { flush_bytes_max: u64::MAX, memtable_bytes_max: u64::MAX, wal_bytes_max: u64::MAX, ..options },
    )
    .expect("a new directory opens");
    let mut spec = TableSpec::new("cpu").tag("host");
    for field in 0..FIELDS {
        spec = spec.field(format!("f{field}"), FieldType::I64);
    }
    let table = engine.create_table(&spec).expect("the table is new");
    let mut random = Random(1);
    for host in 0..HOSTS {
        let fields = table.fields.iter().map(|field| {
            let mut level = (random.next() % 101) as i64;
            let values = (0..ROWS).map(|_| {
                level = (level + (random.next() % 7) as i64 - 3).clamp(0, 100);
                level
            });
            (field.id, Arc::new(Int64Array::from_iter_values(values)) as ArrayRef)
        });
        let batch = SeriesBatch {
            table: table.id,
            fields: fields.collect(),
            series: vec![SeriesRows {
                key: SeriesKey::from_tags([Some(format!("host_{host}").as_bytes())]),
                rows: 0..ROWS as u32,
            }],
            times: (0..ROWS as i64).map(|row| row * STEP_NS).collect::<Vec<_>>().into(),
        };
        engine.write(vec![batch], Ack::Volatile).expect("memory is not bounded here");
    }
    engine.flush().expect("the disk has room");
    engine
}

fn sum_decoded(set: &SeriesSet, range: TimeRange) -> i64 {
    let mut scan = set.scan(&[0], range);
    let mut sum = 0;
    for series in 0..set.len() {
        scan.open(series).expect("the segment is sound");
        while let Some(mut block) = scan.next_block().expect("the segment is sound") {
            let values = block.i64_values(0).expect("the field is an integer");
            sum += kernel::sum_i64(values) as i64;
        }
    }
    sum
}

fn sum_from_zones(set: &SeriesSet) -> i64 {
    let mut scan = set.scan(&[0], TimeRange::ALL);
    let mut sum = 0;
    for series in 0..set.len() {
        scan.open(series).expect("the segment is sound");
        while let Some(block) = scan.next_block().expect("the segment is sound") {
            sum += block.zone(0).and_then(|zone| zone.sum_i64()).unwrap_or(0);
        }
    }
    sum
}

/// The segments of a database, opened beside the engine.
fn open_segments(dir: &Path, engine: &Engine) -> Vec<Segment> {
    let segments = engine.segments();
    let open = |info: &SegmentInfo| {
        let path = dir.join("segments").join(segment_file_name(info.id));
        Segment::open(Arc::new(RealIo), &path, info.id, info.file_len).expect("the segment is sound")
    };
    segments.iter().map(open).collect()
}

/// Sums the first field vector by vector on the packed numbers; decodes what has no shortcut.
fn sum_packed(segments: &[Segment]) -> i64 {
    let mut buffer = VectorBuffer::<i64>::boxed();
    let mut sum = 0;
    for section in segments.iter().flat_map(|segment| segment.sections()) {
        let column = &section.columns()[0];
        for vector in 0..section.vector_count() {
            let encoded = column.encoded(vector).expect("the vector is sound");
            sum += match sum_vector_i64(&encoded.header, encoded.data, encoded.len) {
                Some(packed) => packed as i64,
                None => {
                    column.decode_i64(vector, &mut buffer).expect("the vector is sound");
                    kernel::sum_i64(&buffer[..encoded.len]) as i64
                }
            };
        }
    }
    sum
}

/// The rows of a section of the table as a warm segment of its own.
fn warm_copy(dir: &Path, section: &Section) -> Segment {
    let (path, id) = (dir.join("warm.seg"), SegmentId(u64::MAX));
    let origin = SegmentOrigin::of_flush(id);
    let mut writer = SegmentWriter::create_with_origin(Arc::new(RealIo), &path, id, origin, Tier::Warm)
        .expect("the directory is writable");
    writer.begin_table(&section.written_schema().expect("the segment is sound")).expect("the table is the first");
    let mut buffer = VectorBuffer::<i64>::boxed();
    for series in 0..section.series_count() {
        let entry = section.series(series);
        let times: Vec<i64> = (0..i64::from(entry.row_count)).map(|row| entry.min_time + row * entry.step_ns).collect();
        let shape = SeriesShape::of(&times).expect("times ascend");
        writer.begin_series(&section.series_key(series), &shape).expect("series are in order");
        let (mut row, end) = (entry.row_start, entry.row_start + entry.row_count);
        while row < end {
            // A series of so many rows shares no vector.
            let vector = section.vector_of_row(row);
            let rows = section.vector_rows(vector);
            let fields = section.columns().iter().map(|column| {
                let len = column.decode_i64(vector, &mut buffer).expect("the segment is sound");
                (column.id(), Arc::new(Int64Array::from(buffer[..len].to_vec())) as ArrayRef)
            });
            let fields: Vec<_> = fields.collect();
            let part = (rows.start - entry.row_start) as usize..(rows.end - entry.row_start) as usize;
            writer.append_rows(&times[part], &fields).expect("rows are those of the shape");
            row = rows.end;
        }
    }
    writer.end_table().expect("the disk has room");
    let meta = writer.finish().expect("the disk has room");
    Segment::open(Arc::new(RealIo), &path, id, meta.file_len).expect("the segment is sound")
}

fn scan(criterion: &mut Criterion<CpuTime>) {
    let dir = tempfile::tempdir().expect("there is a directory for temporary files");
    let engine = build(dir.path());
    let bytes = engine.stats().segment_bytes;
    println!("{HOSTS} hosts x {ROWS} rows x {FIELDS} fields: {:.1} MB", bytes as f64 / 1e6);
    let snapshot = engine.snapshot();
    let table = snapshot.table("public", "cpu").expect("the table was created");
    let all = table.series(&TagFilter::all(), TimeRange::ALL).expect("the directory is sound");
    let segments = open_segments(dir.path(), &engine);
    assert_eq!(sum_decoded(&all, TimeRange::ALL), sum_from_zones(&all));
    assert_eq!(sum_decoded(&all, TimeRange::ALL), sum_packed(&segments));

    let warm = vec![warm_copy(dir.path(), &segments[0].sections()[0])];
    println!("the first section, warm: {:.1} MB", warm[0].file_len() as f64 / 1e6);
    if segments.len() == 1 && segments[0].sections().len() == 1 {
        assert_eq!(sum_packed(&warm), sum_packed(&segments));
    }

    let mut group = criterion.benchmark_group("scan");
    group.sample_size(20);
    group.throughput(Throughput::Elements((HOSTS * ROWS) as u64));
    group.bench_function("sum of a column, decoded", |bencher| bencher.iter(|| sum_decoded(&all, TimeRange::ALL)));
    group.bench_function("sum of a column, on the packed numbers", |bencher| bencher.iter(|| sum_packed(&segments)));
    group.bench_function("sum of a column, from zone maps", |bencher| bencher.iter(|| sum_from_zones(&all)));
    let rows = warm[0].row_count();
    group.throughput(Throughput::Elements(rows));
    group.bench_function("sum of a warm column, decoded", |bencher| bencher.iter(|| sum_packed(&warm)));
    let hour = TimeRange { start_ns: 3_600_000_000_000, end_ns: 7_199_999_999_999 };
    let filter = TagFilter { terms: vec![TagTerm::one_of(0, vec!["host_7".into()])] };
    group.throughput(Throughput::Elements(360));
    group.bench_function("one host for one hour", |bencher| {
        bencher.iter(|| {
            let set = engine.snapshot().table("public", "cpu").and_then(|table| table.series(&filter, hour));
            sum_decoded(&set.expect("the directory is sound"), hour)
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime::new());
    targets = scan
}
criterion_main!(benches);
