//! One function per kind of bytes that come from outside. Each must return, whatever the bytes are.
//!
//! The file is also compiled into the integration tests, which replay the seed corpora through it.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use lynxstore::ingest::rows::{RowLimits, RowWriter};
use lynxstore::ingest::table_body::{self, BodyFormat};
use lynxstore::ingest::{events, exposition, line_protocol, otlp, prometheus};
use lynxstore_storage::encoding::{
    ColumnCode, DecodeTable, VECTOR_LEN, VectorHeader, compare_vector_i64, decode_column_f64, decode_column_i64,
    decode_f64, decode_i64, decode_strings_plain, decode_validity, kernel, min_max_vector_i64, sum_vector_i64,
};
use lynxstore_storage::engine::{Background, Engine, EngineOptions};
use lynxstore_storage::io::sim::SimIo;
use lynxstore_storage::io::{Io, OpenMode};
use lynxstore_storage::segment::{Section, Segment};
use lynxstore_storage::types::{Lsn, SegmentId};
use lynxstore_storage::wal;

/// Writes, deletes, flushes, compactions, changes of the table and power cuts, as the bytes say, beside an oracle. What it
/// finds is a wrong answer, not an input that is badly refused.
pub fn engine_model(bytes: &[u8]) {
    lynxstore_storage::engine::model::run(bytes);
}

/// The payload of a record, and the same bytes as a whole WAL file.
pub fn wal_record(bytes: &[u8]) {
    if let Ok(batches) = wal::decode_commit(bytes) {
        // What was accepted is what the writer could have written.
        assert!(wal::encode_commit(&batches).is_ok(), "a decoded commit cannot be encoded");
    }
    let disk = disk_with_file("/db/wal/0000000000000001.wal", bytes);
    // Damage is reported, not an error; the decoded commits are checked as above.
    let _ = wal::replay(&disk, Path::new("/db/wal"), Lsn(0), |_, batches| {
        assert!(wal::encode_commit(&batches).is_ok(), "a replayed commit cannot be encoded");
        Ok(())
    });
}

/// A segment file, read to its last value; and a single vector.
pub fn segment_reader(bytes: &[u8]) {
    single_vector(bytes);
    let path = "/db/segments/0000000000000001.seg";
    let disk: Arc<dyn Io> = Arc::new(disk_with_file(path, bytes));
    let Ok(segment) = Segment::open(disk, Path::new(path), SegmentId(1), bytes.len() as u64) else { return };
    let _ = segment.verify_all();
    for section in segment.sections() {
        read_section(section);
    }
}

fn read_section(section: &Section) {
    let _ = section.written_schema();
    for series in 0..section.series_count() {
        let _ = (section.series_key(series), section.series(series));
    }
    let mut times = [0; VECTOR_LEN];
    for vector in 0..section.vector_count() {
        let rows = section.vector_rows(vector);
        let row_count = rows.len();
        let _ =
            (section.time_zone(vector), section.series_of_row(rows.start), section.decode_times(vector, &mut times));
        for column in section.columns() {
            let _ = (column.zone(vector), column.validity(vector));
            if let Ok(array) = column.decode_array(vector, 0..row_count) {
                assert_eq!(array.len(), row_count, "a column gives another number of values than its vector has");
                assert_eq!(*array.data_type(), column.field_type().arrow_type());
            }
        }
    }
}

/// Header, length and data of a vector as the encodings see them once a checksum has passed.
fn single_vector(bytes: &[u8]) {
    let Some((header_bytes, rest)) = bytes.split_first_chunk::<{ VectorHeader::BYTES }>() else { return };
    let Some((len_bytes, data)) = rest.split_first_chunk::<2>() else { return };
    let Some(header) = VectorHeader::from_bytes(header_bytes) else { return };
    let len = usize::from(u16::from_le_bytes(*len_bytes)) % (VECTOR_LEN + 1);
    if header.is_coded() {
        return coded_vector(&header, len, data);
    }
    let _ = decode_i64(&header, data, len, &mut [0; VECTOR_LEN]);
    let _ = decode_f64(&header, data, len, &mut [0.0; VECTOR_LEN]);
    let _ = decode_strings_plain(&header, data, len);
    let _ = decode_validity(&header, data, len);
    // What the packed form says is what decoding gives.
    let mut values = [0; VECTOR_LEN];
    if decode_i64(&header, data, len, &mut values).is_err() {
        return;
    }
    let (values, op) = (&values[..len], kernel::CompareOp::LessOrEqual);
    if let Some(sum) = sum_vector_i64(&header, data, len) {
        assert_eq!(sum, kernel::sum_i64(values), "the sum of the packed form is another");
    }
    if let Some(bounds) = min_max_vector_i64(&header, data, len) {
        assert_eq!(Some(bounds), kernel::min_max_i64(values), "the bounds of the packed form are others");
    }
    if let Some(found) = compare_vector_i64(&header, data, len, op, header.base) {
        let mut expected = [0; 16];
        kernel::compare_i64(op, values, header.base, &mut expected);
        assert_eq!(found, expected, "a comparison of the packed form has another result");
    }
}

/// A vector behind the code of its column.
fn coded_vector(header: &VectorHeader, len: usize, bytes: &[u8]) {
    let Some(code_len) = bytes.first_chunk().map(ColumnCode::byte_len) else { return };
    let Some((code, data)) = bytes.split_at_checked(code_len) else { return };
    let Ok(code) = ColumnCode::from_bytes(code) else { return };
    let table = DecodeTable::new(&code);
    let _ = decode_column_i64(header, data, len, Some(&table), &mut [0; VECTOR_LEN]);
    let _ = decode_column_f64(header, data, len, Some(&table), &mut [0.0; VECTOR_LEN]);
    let _ = decode_validity(header, data, len);
}

/// The body of a remote-write request, and the same bytes as the message in it.
pub fn remote_write_body(bytes: &[u8]) {
    let limits = prometheus::Limits { decoded_bytes_max: 1 << 20, ..prometheus::Limits::default() };
    for version in [prometheus::Version::V1, prometheus::Version::V2] {
        let _ = prometheus::summarize(bytes, version, &limits);
        let _ = prometheus::summarize(&snappy_literals(bytes), version, &limits);
    }
}

/// Lines with their tags, as text when the bytes are text. Lines come in order, and none is read twice.
pub fn line_protocol(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parser = line_protocol::LineParser::new(text, 1);
    let (mut last, mut count) = (0, 0);
    while let Some(line) = parser.next_line() {
        let number = match line {
            Ok(line) => {
                assert!(!parser.fields().is_empty(), "a line has a field");
                let _ = line_protocol::parse_series(line.series);
                line.number
            }
            Err((number, _)) => number,
        };
        assert!(number > last, "line {number} comes after line {last}");
        (last, count) = (number, count + 1);
    }
    assert!(count <= text.split('\n').count(), "more lines were read than there are");
}

/// A line of an events request, both ways.
pub fn event_line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut members = Vec::new();
    for nested in [events::Nested::Flatten, events::Nested::Json] {
        if events::flatten(text, nested, 256, &mut members).is_ok() {
            assert!(members.iter().all(|member| member.name.len() <= 256), "a name is longer than it may be");
        }
    }
}

/// An export request as protobuf and as JSON, written into a database that is thrown away when it has many tables.
pub fn otlp_body(bytes: &[u8]) {
    const TABLES_MAX: usize = 500;
    let new_writer = || {
        let limits = RowLimits { rows_max: 1_000, cells_max: 10_000, ..RowLimits::default() };
        let engine = Arc::new(empty_engine());
        (RowWriter::new(Arc::clone(&engine), "public", limits, 1 << 20), engine)
    };
    ROWS.with_borrow_mut(|rows| {
        let (writer, engine) = rows.get_or_insert_with(new_writer);
        let _ = otlp::write(writer, bytes);
        if let Ok(message) = otlp::json_to_protobuf(bytes, 1 << 20, &mut |_| true) {
            let _ = otlp::write(writer, &message);
        }
        if engine.tables().len() > TABLES_MAX {
            *rows = None;
        }
    });
}

thread_local! {
    static ROWS: RefCell<Option<(RowWriter, Arc<Engine>)>> = const { RefCell::new(None) };
}

/// A body of rows in each of its forms, written into a table that has a column of every type. It takes no more memory than
/// it may.
pub fn table_body(bytes: &[u8]) {
    const DECODED_BYTES_MAX: usize = 1 << 20;
    TABLE.with(|writer| {
        for format in [BodyFormat::ArrowStream, BodyFormat::Csv, BodyFormat::Parquet] {
            let _ = table_body::write(writer, "t", format, bytes, &mut |asked| {
                assert!(asked <= 2 * DECODED_BYTES_MAX, "a body of {} bytes asks for {asked}", bytes.len());
                true
            });
        }
    });

    thread_local! {
        static TABLE: RowWriter = {
            let engine = Arc::new(empty_engine());
            let query = lynxstore_query::QueryEngine::new(Arc::clone(&engine), lynxstore_query::QueryOptions::default());
            let create = "CREATE TABLE t (time TIMESTAMP TIME, host STRING TAG, f DOUBLE, i BIGINT, u BIGINT UNSIGNED, \
                          b BOOLEAN, s STRING, v BINARY)";
            query.execute(create).expect("the statement is sound");
            let limits = RowLimits { rows_max: 1_000, decoded_bytes_max: DECODED_BYTES_MAX, ..RowLimits::default() };
            RowWriter::new(engine, "public", limits, 1 << 20)
        };
    }
}

/// A sample as targets show them, with its labels, in both forms.
pub fn exposition_line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for times in [exposition::TimeForm::Milliseconds, exposition::TimeForm::Seconds] {
        if let Ok(Some(sample)) = exposition::parse_sample(text, times) {
            let _ = exposition::parse_series(sample.series);
        }
    }
    let _ = exposition::parse_series(text);
}

/// A snappy block of literals only: fuzzers do not compress.
fn snappy_literals(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 60 + 8);
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    for literal in bytes.chunks(60) {
        out.push(((literal.len() - 1) << 2) as u8);
        out.extend_from_slice(literal);
    }
    out
}

/// SQL text, parsed, bound and run on a database with a few rows.
pub fn sql_text(bytes: &[u8]) {
    let Ok(sql) = std::str::from_utf8(bytes) else { return };
    let _ = lynxstore_query::QueryEngine::split_statements(sql);
    DATABASE.with(|database| {
        // Statements that change the database are not run: the next input must find it as it was.
        if let Ok(statement) = database.prepare(sql) {
            let _ = statement.execute(&[]);
        }
    });
}

thread_local! {
    static DATABASE: lynxstore_query::QueryEngine = sample_database();
}

fn sample_database() -> lynxstore_query::QueryEngine {
    let query = lynxstore_query::QueryEngine::new(Arc::new(empty_engine()), lynxstore_query::QueryOptions::default());
    for sql in [
        "CREATE TABLE t (time TIMESTAMP TIME, host STRING TAG, dc STRING TAG, f DOUBLE, i BIGINT, u BIGINT UNSIGNED, \
         b BOOLEAN, s STRING)",
        "INSERT INTO t VALUES (1, 'a', 'x', 1.5, -1, 1, true, 'one'), (2, 'a', 'x', NULL, 2, 2, false, ''), \
         (60000000000, 'b', NULL, -0.0, NULL, NULL, NULL, NULL)",
    ] {
        query.execute(sql).expect("the statements of the sample are sound");
    }
    query
}

fn empty_engine() -> Engine {
    let options = EngineOptions { background: Background::Caller, ..EngineOptions::default() };
    Engine::open_with(Arc::new(SimIo::new()), Path::new("/db"), options).expect("an empty disk opens")
}

fn disk_with_file(path: &str, bytes: &[u8]) -> SimIo {
    let disk = SimIo::new();
    let path = Path::new(path);
    let dir = path.parent().expect("the path has a directory");
    disk.create_dir_all(dir).expect("the simulated disk has no faults");
    let file = disk.open(path, OpenMode::CreateNew).expect("the file is new");
    file.write_all_at(0, bytes).expect("the simulated disk has no faults");
    disk
}
