//! Writing in the wrong order, failing on the way, crashing, and going away.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array};

use super::rows::{ID, Lcg, PATH, TableModel, Times, all_types, open, read, series, write};
use crate::error::Error;
use crate::io::Io;
use crate::io::sim::{CrashModel, FaultAt, FaultKind, SimIo};
use crate::segment::{SegmentWriter, segment_file_name};
use crate::types::{ColumnId, SeriesKey, TableId, TimeRange};

fn table() -> TableModel {
    let (schema, mut random) = (all_types(2), Lcg(2));
    let series = ["a", "b"].map(|host| series(&mut random, &schema, [Some(host), None], 300, Times::Regular, 10));
    TableModel { schema, series: series.to_vec() }
}

fn key(host: &str) -> SeriesKey {
    SeriesKey::from_tags([Some(host.as_bytes())])
}

#[test]
fn files_are_named_by_sixteen_hexadecimal_digits() {
    assert_eq!(segment_file_name(ID), "0000000000000007.seg");
    assert_eq!(segment_file_name(crate::types::SegmentId(u64::MAX)), "ffffffffffffffff.seg");
}

#[test]
fn the_manifest_entry_describes_the_file() {
    let io = SimIo::new();
    let table = table();
    let meta = write(&io, std::slice::from_ref(&table)).unwrap();
    let times = table.series.iter().flat_map(|series| &series.times);
    let range = TimeRange { start_ns: *times.clone().min().unwrap(), end_ns: *times.max().unwrap() };
    assert_eq!((meta.id, meta.row_count(), meta.commit_order), (ID, 600, ID.0));
    assert_eq!((meta.sections[0].table, meta.sections[0].time_range), (TableId(2), range));
    assert_eq!(meta.sections.len(), 1);
    assert_eq!(meta.file_len, io.content(Path::new(PATH)).unwrap().len() as u64);
    assert_eq!(open(&io).unwrap().sections()[0].time_range(), range);
}

#[test]
fn input_out_of_order_is_refused() {
    let io = SimIo::new();
    io.create_dir_all(Path::new("db/segments")).unwrap();
    let schema = all_types(2);
    let begun = || {
        let mut writer = SegmentWriter::create(Arc::new(io.clone()), Path::new(PATH), ID).unwrap();
        writer.begin_table(&schema).unwrap();
        writer.push_series(&key("m"), &[1], &[]).unwrap();
        writer
    };
    let is_invalid = |result: crate::Result<()>| assert!(matches!(result, Err(Error::InvalidInput { .. })));
    is_invalid(begun().push_series(&key("m"), &[1], &[]));
    is_invalid(begun().push_series(&key("a"), &[1], &[]));
    is_invalid(begun().push_series(&key("n"), &[], &[]));
    is_invalid(begun().push_series(&key("n"), &[2, 1], &[]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let float_id = schema.fields[0].id;
    is_invalid(begun().push_series(&key("n"), &[1], &[(float_id, integers)]));
    is_invalid(begun().push_series(&key("n"), &[1, 2], &[(float_id, floats.clone())]));
    is_invalid(begun().push_series(&key("n"), &[1], &[(ColumnId(99), floats.clone())]));
    is_invalid(begun().push_series(&key("n"), &[1], &[(float_id, floats.clone()), (float_id, floats)]));
    is_invalid(begun().begin_table(&all_types(3)));
    is_invalid(begun().finish().map(|_| ()));

    let mut ended = begun();
    ended.end_table().unwrap();
    is_invalid(ended.push_series(&key("n"), &[1], &[]));
    is_invalid(ended.end_table());
    is_invalid(ended.begin_table(&schema));
    drop(ended);
    assert!(io.list(Path::new("db/segments")).unwrap().is_empty(), "a dropped writer leaves nothing");
}

#[test]
fn a_segment_without_rows_is_refused_and_an_empty_section_is_left_out() {
    let io = SimIo::new();
    let empty = TableModel { schema: all_types(1), series: vec![] };
    assert!(matches!(write(&io, std::slice::from_ref(&empty)), Err(Error::InvalidInput { .. })));
    let meta = write(&io, &[empty, table()]).unwrap();
    assert_eq!(meta.sections.iter().map(|section| section.table).collect::<Vec<_>>(), [TableId(2)]);
    assert_eq!(read(&open(&io).unwrap()).unwrap(), [table()]);
}

#[test]
fn a_temporary_file_left_by_a_crash_is_replaced() {
    let io = SimIo::new();
    let temporary = format!("{PATH}.tmp");
    io.create_dir_all(Path::new("db/segments")).unwrap();
    io.open(Path::new(&temporary), crate::io::OpenMode::CreateNew).unwrap().write_all_at(0, b"old").unwrap();
    write(&io, &[table()]).unwrap();
    assert!(!io.exists(Path::new(&temporary)).unwrap());
    assert_eq!(read(&open(&io).unwrap()).unwrap(), [table()]);
}

#[test]
fn an_obsolete_file_goes_away_with_its_last_reader() {
    let io = SimIo::new();
    write(&io, &[table()]).unwrap();
    let segment = open(&io).unwrap();
    let section = segment.sections()[0].clone();
    segment.mark_obsolete();
    drop(segment);
    assert!(io.exists(Path::new(PATH)).unwrap(), "a section still reads the file");
    section.columns()[0].decode_array(0, 0..1).unwrap();
    drop(section);
    assert!(!io.exists(Path::new(PATH)).unwrap());
}

#[test]
fn a_file_that_is_not_obsolete_stays() {
    let io = SimIo::new();
    write(&io, &[table()]).unwrap();
    drop(open(&io).unwrap());
    assert!(io.exists(Path::new(PATH)).unwrap());
}

/// A disk with the directory of segments, durable.
fn disk() -> SimIo {
    let io = SimIo::new();
    io.create_dir_all(Path::new("db/segments")).unwrap();
    for dir in ["", "db", "db/segments"] {
        io.sync_dir(Path::new(dir)).unwrap();
    }
    io
}

/// Number of operations that writing the segment takes after those of [`disk`].
fn operations_of_a_write() -> std::ops::RangeInclusive<u64> {
    let io = disk();
    let first = io.operations() + 1;
    write(&io, &[table()]).unwrap();
    first..=io.operations()
}

#[test]
fn a_write_that_fails_anywhere_leaves_no_file_or_a_whole_one() {
    for operation in operations_of_a_write() {
        for kind in [FaultKind::Eio, FaultKind::Enospc, FaultKind::ShortWrite] {
            let io = disk();
            io.fail(FaultAt::Once(operation), kind);
            assert!(matches!(write(&io, &[table()]), Err(Error::Io { .. })), "operation {operation} failed unseen");
            match io.paths().as_slice() {
                [] => {}
                [path] if path == Path::new(PATH) => assert_eq!(read(&open(&io).unwrap()).unwrap(), [table()]),
                paths => panic!("operation {operation} left {paths:?}"),
            }
        }
    }
}

#[test]
fn a_crash_anywhere_leaves_no_file_under_the_name_or_a_whole_one() {
    let operations = operations_of_a_write();
    for operation in operations.clone() {
        for (seed, model) in (0..20).map(|seed| (seed, CrashModel::Random)).chain([(0, CrashModel::LoseAll)]) {
            let io = disk();
            io.set_crash_at(operation);
            assert!(write(&io, &[table()]).is_err());
            let io = io.after_crash(seed, model);
            if io.content(Path::new(PATH)).is_some() {
                let segment = open(&io).unwrap();
                segment.verify_all().unwrap();
                assert_eq!(read(&segment).unwrap(), [table()]);
            }
        }
    }
}

#[test]
fn a_written_segment_survives_a_crash() {
    let io = disk();
    write(&io, &[table()]).unwrap();
    let io = io.after_crash(0, CrashModel::LoseAll);
    assert_eq!(read(&open(&io).unwrap()).unwrap(), [table()]);
}

#[test]
fn readers_of_several_threads_agree() {
    let io = SimIo::new();
    write(&io, &[table()]).unwrap();
    let segment = open(&io).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(read(&segment).unwrap(), [table()]));
        }
    });
}
