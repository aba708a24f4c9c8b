//! No damage gives a wrong answer or a panic: it is found, or it changes nothing.

use std::path::Path;
use std::sync::Arc;

use super::rows::{
    ID, Lcg, PATH, TIERS, TableModel, Times, all_types, doubles_with_nulls, open, read, series, walks, write_as,
};
use crate::error::Error;
use crate::io::sim::SimIo;
use crate::segment::layout::{FOOTER_ENTRY_BYTES, FOOTER_HEADER_BYTES, TRAILER_BYTES};
use crate::segment::{SectionColumn, Segment};
use crate::types::Tier;

/// Tables with all types, shared vectors, irregular times and both storages of strings, and one with rollups; warm ones
/// with coded columns.
fn tables(tier: Tier) -> Vec<TableModel> {
    let mut random = Lcg(11);
    let mut table = |id, times, sizes: &[(&str, usize)]| {
        let schema = all_types(id);
        let rows = |&(host, size): &(&str, usize)| series(&mut random, &schema, [Some(host), None], size, times, 10);
        TableModel { series: sizes.iter().map(rows).collect(), schema }
    };
    let first = table(1, Times::Irregular, &[("a", 20), ("b", 9)]);
    match tier {
        Tier::Warm => vec![first, walks(2, &[("a", 700), ("b", 10), ("c", 900)])],
        _ => vec![
            first,
            table(2, Times::Regular, &[("a", 3), ("b", 256), ("c", 7)]),
            doubles_with_nulls(3, &[("a", 700), ("b", 20), ("c", 700)]),
        ],
    }
}

struct Written {
    io: SimIo,
    tables: Vec<TableModel>,
    bytes: Vec<u8>,
}

impl Written {
    fn new() -> Self {
        Self::of(Tier::Hot)
    }

    fn of(tier: Tier) -> Self {
        let (io, tables) = (SimIo::new(), tables(tier));
        write_as(&io, &tables, tier).unwrap();
        let segment = open(&io).unwrap();
        let is_coded = |column: &SectionColumn| column.encoded(0).unwrap().header.is_coded();
        let coded = segment.sections().iter().flat_map(|section| section.columns()).filter(|column| is_coded(column));
        assert_eq!(coded.count(), if tier == Tier::Warm { 2 } else { 0 });
        let bytes = io.content(Path::new(PATH)).unwrap();
        Self { io, tables, bytes }
    }

    fn open_changed(&self, change: impl FnOnce(&mut Vec<u8>)) -> crate::Result<Segment> {
        self.io.damage(Path::new(PATH), |bytes| {
            bytes.clone_from(&self.bytes);
            change(bytes);
        });
        open(&self.io)
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corruption { .. } | Error::UnsupportedVersion { .. })
}

#[test]
fn every_changed_byte_is_found_and_none_gives_a_wrong_answer() {
    for tier in TIERS {
        let written = Written::of(tier);
        for position in 0..written.bytes.len() {
            let segment = match written.open_changed(|bytes| bytes[position] ^= 1 << (position % 8)) {
                Ok(segment) => segment,
                Err(error) => {
                    assert!(is_damage(&error), "byte {position}: {error}");
                    continue;
                }
            };
            match read(&segment) {
                Ok(tables) => assert_eq!(tables, written.tables, "byte {position} changed the answer"),
                Err(error) => assert!(is_damage(&error), "byte {position}: {error}"),
            }
            let error = segment.verify_all().expect_err("a changed byte passed verification");
            assert!(is_damage(&error), "byte {position}: {error}");
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for tier in TIERS {
        let written = Written::of(tier);
        for len in 0..written.bytes.len() {
            let error = written.open_changed(|bytes| bytes.truncate(len)).expect_err("a cut file was opened");
            assert!(is_damage(&error), "{len} bytes: {error}");
            let expected_len = written.bytes.len() as u64;
            let opened = Segment::open(Arc::new(written.io.clone()), Path::new(PATH), ID, expected_len);
            assert!(is_damage(&opened.expect_err("a cut file was opened")));
        }
    }
}

#[test]
fn a_file_with_more_behind_it_is_refused() {
    let written = Written::new();
    assert!(written.open_changed(|bytes| bytes.extend_from_slice(&[0; 64])).is_err());
}

#[test]
fn another_format_version_is_refused_by_name() {
    let written = Written::new();
    let error = written
        .open_changed(|bytes| {
            bytes[8] = 2;
            let crc = crc32c::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        })
        .expect_err("a newer version was opened");
    assert!(matches!(error, Error::UnsupportedVersion { found: 2, supported: 1, .. }), "{error}");
}

/// Makes the checksums of the metadata, the footer and the trailer right again.
fn reseal(bytes: &mut [u8]) {
    let trailer = bytes.len() - TRAILER_BYTES;
    let u64_at = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let footer = u64_at(bytes, trailer);
    let entries: Vec<usize> = (footer + FOOTER_HEADER_BYTES..trailer).step_by(FOOTER_ENTRY_BYTES).collect();
    for entry in entries {
        let (offset, len) = (u64_at(bytes, entry + 24), u64_at(bytes, entry + 32));
        let crc = crc32c::crc32c(&bytes[offset..offset + len]);
        bytes[entry + 40..entry + 44].copy_from_slice(&crc.to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes[footer..trailer]);
    bytes[trailer + 12..trailer + 16].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[trailer..trailer + 20]);
    bytes[trailer + 20..trailer + 24].copy_from_slice(&crc.to_le_bytes());
}

/// The file ranges of the metadata blocks.
fn metadata_positions(written: &Written) -> Vec<usize> {
    let segment = open(&written.io).unwrap();
    segment.sections().iter().flat_map(|section| section.metadata_range()).collect()
}

#[test]
fn forged_metadata_with_right_checksums_never_panics() {
    for tier in TIERS {
        let written = Written::of(tier);
        let mut random = Lcg(5);
        for position in metadata_positions(&written) {
            for value in [0, 0x7F, 0xFF, random.next() as u8] {
                let opened = written.open_changed(|bytes| {
                    bytes[position] = value;
                    reseal(bytes);
                });
                use_everything(opened);
            }
        }
    }
}

#[test]
fn forged_numbers_in_metadata_never_panic() {
    for tier in TIERS {
        let written = Written::of(tier);
        let mut random = Lcg(6);
        let positions = metadata_positions(&written);
        for _ in 0..20_000 {
            let opened = written.open_changed(|bytes| {
                for _ in 0..=random.below(3) {
                    let position = positions[random.below(positions.len() as u64 - 8) as usize];
                    let numbers = [0, 1, u64::MAX, 1 << 63, u64::from(u32::MAX), random.below(1 << 16), random.next()];
                    let number = numbers[random.below(numbers.len() as u64) as usize].to_le_bytes();
                    let width = [2, 4, 8][random.below(3) as usize];
                    bytes[position..position + width].copy_from_slice(&number[..width]);
                }
                reseal(bytes);
            });
            use_everything(opened);
        }
    }
}

#[test]
fn series_out_of_order_do_not_pass_verification() {
    let written = Written::new();
    let codes_of_a_b_c: Vec<u8> = [1u32, 2, 3].iter().flat_map(|code| code.to_le_bytes()).collect();
    // The starts of the values look alike and stand before the codes.
    let position = written.bytes.windows(12).rposition(|window| window == codes_of_a_b_c).unwrap();
    let segment = written.open_changed(|bytes| {
        bytes[position..position + 8].rotate_left(4);
        reseal(bytes);
    });
    let error = segment.unwrap().verify_all().expect_err("unsorted series passed verification");
    assert!(error.to_string().contains("order of their keys"), "{error}");
}

/// Calls what a reader calls; any answer is right as long as it comes.
fn use_everything(opened: crate::Result<Segment>) {
    let Ok(segment) = opened else { return };
    let _ = segment.verify_all();
    for section in segment.sections() {
        let _ = section.written_schema();
        for series in 0..section.series_count() {
            section.series_key(series);
            section.series(series);
        }
        for tag in section.tags() {
            let values = section.tag_values(*tag).unwrap();
            section
                .tag_codes(*tag)
                .unwrap()
                .iter()
                .for_each(|code| assert!(values.value(code).is_some() == (code > 0)));
            values.code_of("b");
        }
        let mut times = [0; 1024];
        for vector in 0..section.vector_count() {
            let _ = section.decode_times(vector, &mut times);
            section.time_zone(vector);
            for column in section.columns() {
                column.zone(vector);
                let _ = column.validity(vector);
                let _ = column.decode_array(vector, 0..section.vector_rows(vector).len());
            }
        }
    }
}
