use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::io::sim::{CrashModel, FaultAt, FaultKind, Operation, SimIo};
use crate::types::{SeriesKey, SeriesRows, TableId};
use crate::wal::{EncodedCommit, SyncMode, WalOptions, WalWriter, encode_commit};

const DIR: &str = "/db/wal";
const MODELS: [CrashModel; 3] = [CrashModel::LoseAll, CrashModel::KeepAll, CrashModel::Random];

/// A commit that carries its own LSN, some of them longer than a sector.
fn commit_of(lsn: u64) -> EncodedCommit {
    let rows = if lsn.is_multiple_of(5) { 150 } else { 3 };
    let batch = SeriesBatch {
        table: TableId(lsn),
        series: vec![SeriesRows { key: SeriesKey::from_tags([Some(&b"host"[..])]), rows: 0..rows }],
        times: (0..i64::from(rows)).map(|i| i * i * 1_000_000_007).collect(),
        fields: Vec::new(),
    };
    encode_commit(&[batch]).unwrap()
}

fn path_of(file: u64) -> PathBuf {
    file::path_of(Path::new(DIR), WalFileId(file))
}

/// Replays and checks that commits come in order and whole.
fn replayed(io: &SimIo, after: u64) -> Result<(Vec<u64>, ReplayReport)> {
    let mut lsns = Vec::new();
    let report = replay(io, Path::new(DIR), Lsn(after), |lsn, commit| {
        assert!(lsns.last().is_none_or(|last| *last < lsn.0));
        assert_eq!(commit[0].table.0, lsn.0, "the commit is the one that was written");
        lsns.push(lsn.0);
        Ok(())
    })?;
    assert_eq!(report.commits, lsns.len() as u64);
    Ok((lsns, report))
}

fn writer(io: &SimIo, report: &ReplayReport, flushed: u64) -> Result<WalWriter> {
    let options = WalOptions { file_bytes_max: 3000, ..WalOptions::default() };
    WalWriter::open(Arc::new(io.clone()), Path::new(DIR), report, Lsn(flushed), options)
}

fn write(wal: &WalWriter, lsn: u64, sync: SyncMode) -> Result<()> {
    assert_eq!(wal.commit(commit_of(lsn), sync, |_| {})?, Lsn(lsn));
    Ok(())
}

/// What a life of the log has promised.
#[derive(Debug, Default)]
struct Promised {
    /// Every commit up to this one is durable.
    durable: u64,
    /// Every commit up to this one was begun.
    begun: u64,
    /// Every commit up to this one may be removed.
    flushed: u64,
}

/// Opens the log and does a bit of everything until something fails.
fn live(io: &SimIo, promised: &mut Promised) -> Result<()> {
    let (lsns, report) = replayed(io, promised.flushed)?;
    let mut last = lsns.last().copied().unwrap_or(promised.flushed);
    promised.durable = last.max(promised.durable);
    promised.begun = promised.durable;
    let wal = writer(io, &report, promised.flushed)?;
    for step in 1..=24 {
        last += 1;
        promised.begun = last;
        let sync = if step % 3 == 0 { SyncMode::Write } else { SyncMode::Sync };
        write(&wal, last, sync)?;
        if sync == SyncMode::Sync {
            promised.durable = last;
        }
        if step == 10 {
            wal.rotate(|lsn| assert_eq!(lsn, Lsn(last)))?;
            promised.durable = last;
        }
        if step == 20 {
            promised.flushed = 9;
            wal.remove_up_to(Lsn(9))?;
        }
    }
    Ok(())
}

/// The commits of a disk are those that were promised, and a prefix of those begun.
fn check(io: &SimIo, promised: &Promised, context: &str) -> u64 {
    let (lsns, report) = replayed(io, promised.flushed).unwrap();
    assert!(report.damages.is_empty(), "{context}: {:?}", report.damages);
    let last = promised.flushed + lsns.len() as u64;
    assert_eq!(lsns, (promised.flushed + 1..=last).collect::<Vec<_>>(), "{context}: no hole");
    assert!(last >= promised.durable, "{context}: {last} of {promised:?}");
    assert!(last <= promised.begun.max(promised.flushed), "{context}: {last} of {promised:?}");
    last
}

#[test]
fn every_crash_point_leaves_a_prefix_with_all_that_was_acknowledged() {
    for at in 1.. {
        let io = SimIo::new();
        io.set_crash_at(at);
        let mut promised = Promised::default();
        let outcome = live(&io, &mut promised);
        for seed in 0..12 {
            for model in MODELS {
                let context = format!("crash at {at}, seed {seed}, {model:?}");
                let after = io.after_crash(seed, model);
                let last = check(&after, &promised, &context);
                // What replay delivered is durable from then on, and new commits continue behind it.
                let again = after.after_crash(seed, CrashModel::LoseAll);
                assert_eq!(check(&again, &promised, &context), last, "{context}");
            }
        }
        if !io.is_off() {
            outcome.unwrap();
            break;
        }
    }
}

#[test]
fn a_second_life_that_crashes_anywhere_takes_nothing_back() {
    for first_crash in [30, 45, 60, 75, 90] {
        let io = SimIo::new();
        io.set_crash_at(first_crash);
        let mut first = Promised::default();
        let _power_cut = live(&io, &mut first);
        for at in 1.. {
            let second = io.after_crash(first_crash, CrashModel::Random);
            second.set_crash_at(at);
            let mut promised = Promised { durable: first.durable, begun: first.begun, flushed: first.flushed };
            let outcome = live(&second, &mut promised);
            promised.begun = promised.begun.max(first.begun);
            for seed in 0..4 {
                for model in MODELS {
                    let context = format!("crash at {first_crash} and {at}, seed {seed}, {model:?}");
                    check(&second.after_crash(seed, model), &promised, &context);
                }
            }
            if !second.is_off() {
                outcome.unwrap();
                break;
            }
        }
    }
}

#[test]
fn every_failing_operation_leaves_a_prefix_with_all_that_was_acknowledged() {
    for kind in [FaultKind::Eio, FaultKind::Enospc, FaultKind::ShortWrite] {
        for at in 1.. {
            for fault in [FaultAt::Once(at), FaultAt::From(at)] {
                let io = SimIo::new();
                io.fail(fault, kind);
                let mut promised = Promised::default();
                let _failed = live(&io, &mut promised);
                if io.operations() < at {
                    break;
                }
                io.clear_faults();
                // The process starts again without a crash; only then does the power fail.
                let last = check(&io, &promised, &format!("{fault:?} {kind:?}"));
                for seed in 0..4 {
                    for model in MODELS {
                        let context = format!("{fault:?} {kind:?}, seed {seed}, {model:?}");
                        assert_eq!(check(&io.after_crash(seed, model), &promised, &context), last, "{context}");
                    }
                }
            }
            let io = SimIo::new();
            live(&io, &mut Promised::default()).unwrap();
            if io.operations() < at {
                break;
            }
        }
    }
}

/// A log of three files: commits 1 to 9, 10 to 19, 20 to 25.
fn three_files() -> SimIo {
    let io = SimIo::new();
    let report = replayed(&io, 0).unwrap().1;
    let options = WalOptions { file_bytes_max: 16 << 10, ..WalOptions::default() };
    let wal = WalWriter::open(Arc::new(io.clone()), Path::new(DIR), &report, Lsn(0), options).unwrap();
    for lsn in 1..=25 {
        if lsn == 10 || lsn == 20 {
            wal.rotate(|_| ()).unwrap();
        }
        write(&wal, lsn, SyncMode::Sync).unwrap();
    }
    io
}

/// Offsets of the records of a file, and of the end of the last.
fn offsets(io: &SimIo, file: u64) -> Vec<u64> {
    let file_io = io.open(&path_of(file), OpenMode::Read).unwrap();
    let mut scanner = RecordScanner::new(file_io, FORMAT, file).unwrap();
    let mut offsets = vec![HEADER_BYTES];
    while let Found::Record(header, _) = scanner.at(offsets[offsets.len() - 1]).unwrap() {
        offsets.push(offsets[offsets.len() - 1] + header.record_len());
    }
    offsets
}

#[test]
fn only_commits_above_the_flushed_one_are_delivered() {
    for after in [0, 1, 9, 10, 24, 25, 40] {
        let (lsns, report) = replayed(&three_files(), after).unwrap();
        assert_eq!(lsns, (after + 1..=25).collect::<Vec<_>>());
        assert_eq!(report.last_lsn, Lsn(25));
        assert!(report.damages.is_empty());
    }
}

#[test]
fn lsns_go_on_above_what_was_flushed() {
    let io = three_files();
    let report = replayed(&io, 25).unwrap().1;
    let wal = writer(&io, &report, 30).unwrap();
    write(&wal, 31, SyncMode::Sync).unwrap();
    drop(wal);
    let (lsns, report) = replayed(&io, 30).unwrap();
    assert_eq!(lsns, [31]);
    assert!(report.damages.is_empty(), "{:?}", report.damages);
}

#[test]
fn torn_tail_is_cut() {
    let offsets = offsets(&three_files(), 3);
    let (start, end) = (offsets[5], offsets[6]);
    for cut in start + 1..end {
        let io = three_files();
        io.damage(&path_of(3), |bytes| bytes[usize::try_from(cut).unwrap()..].fill(0));
        let (lsns, report) = replayed(&io, 0).unwrap();
        let is_whole = io.content(&path_of(3)).unwrap().len() as u64 == end;
        assert_eq!(lsns.len(), if is_whole { 25 } else { 24 });
        assert!(report.damages.is_empty());
        assert_eq!(report.torn_bytes > 0, !is_whole);
        assert_eq!(io.content(&path_of(3)).unwrap().len() as u64, if is_whole { end } else { start });
        let wal = writer(&io, &report, 0).unwrap();
        write(&wal, lsns.len() as u64 + 1, SyncMode::Sync).unwrap();
        drop(wal);
        assert_eq!(replayed(&io, 0).unwrap().0.len(), lsns.len() + 1);
    }
}

#[test]
fn damage_costs_the_damaged_commits_and_is_reported_and_kept() {
    for file in 1..=3 {
        let offsets = offsets(&three_files(), file);
        let end = offsets[offsets.len() - 1];
        let first_lsn = [1, 10, 20][usize::try_from(file).unwrap() - 1];
        for byte in (0..end).step_by(3) {
            let io = three_files();
            io.damage(&path_of(file), |bytes| bytes[usize::try_from(byte).unwrap()] ^= 0x40);
            let damaged = io.content(&path_of(file));
            let (lsns, report) = replayed(&io, 0).unwrap();
            let hit = offsets.iter().position(|offset| byte < *offset).unwrap() as u64;
            let lost: Vec<u64> = (1..=25).filter(|lsn| !lsns.contains(lsn)).collect();
            if hit == 0 {
                assert!(lost.is_empty(), "the header of a file has no commit");
            } else {
                assert_eq!(lost, [first_lsn + hit - 1], "file {file} byte {byte}");
            }
            if file == 3 && hit == 6 {
                // Nothing says that the last record was ever whole.
                assert!(report.torn_bytes > 0);
                continue;
            }
            let [damage] = &report.damages[..] else { panic!("{:?}", report.damages) };
            assert_eq!(damage.path, path_of(file));
            assert!(damage.start <= byte && byte < damage.end, "file {file} byte {byte}: {damage:?}");
            assert_eq!((damage.first_lost.0..=damage.last_lost.0).collect::<Vec<_>>(), lost);
            assert_eq!(damage.lost_commits(), lost.len() as u64);
            assert_eq!(io.content(damage.quarantined.as_ref().unwrap()), damaged);
        }
    }
}

#[test]
fn pages_that_are_lost_or_repeated_are_reported() {
    for file in 1..=3u64 {
        let end = usize::try_from(*offsets(&three_files(), file).last().unwrap()).unwrap();
        for start in (0..end.saturating_sub(256)).step_by(64) {
            for zero in [true, false] {
                let io = three_files();
                io.damage(&path_of(file), |bytes| match zero {
                    true => bytes[start..start + 128].fill(0),
                    false => bytes.copy_within(start + 128..start + 256, start),
                });
                let (lsns, report) = replayed(&io, 0).unwrap();
                let lost: u64 = report.damages.iter().map(WalDamage::lost_commits).sum();
                if report.torn_bytes == 0 {
                    assert_eq!(lsns.len() as u64 + lost, 25, "file {file} at {start}: {report:?}");
                }
            }
        }
    }
}

#[test]
fn a_missing_file_is_reported_as_a_gap() {
    let io = three_files();
    io.remove(&path_of(2)).unwrap();
    let (lsns, report) = replayed(&io, 5).unwrap();
    assert_eq!(lsns, (6..=9).chain(20..=25).collect::<Vec<_>>());
    let [damage] = &report.damages[..] else { panic!("{:?}", report.damages) };
    assert_eq!((damage.first_lost, damage.last_lost), (Lsn(10), Lsn(19)));
    io.remove(&path_of(1)).unwrap();
    let (_, report) = replayed(&io, 5).unwrap();
    assert_eq!((report.damages[0].first_lost, report.damages[0].last_lost), (Lsn(6), Lsn(19)));
    assert!(replayed(&io, 19).unwrap().1.damages.is_empty(), "flushed commits are not missed");
}

#[test]
fn a_file_stored_as_a_value_is_not_taken_for_records() {
    let io = SimIo::new();
    let report = replayed(&io, 0).unwrap().1;
    let wal = writer(&io, &report, 0).unwrap();
    let stored = three_files().content(&path_of(1)).unwrap();
    let values = arrow_array::BinaryArray::from_iter_values([stored]);
    for lsn in 1..=3 {
        let batch = SeriesBatch {
            table: TableId(lsn),
            series: vec![SeriesRows { key: SeriesKey::from_tags([]), rows: 0..1 }],
            times: vec![0].into(),
            fields: vec![(crate::types::ColumnId(1), Arc::new(values.clone()))],
        };
        wal.commit(encode_commit(&[batch]).unwrap(), SyncMode::Sync, |_| {}).unwrap();
    }
    drop(wal);
    io.damage(&path_of(1), |bytes| bytes[200] ^= 1);
    let (lsns, report) = replayed(&io, 0).unwrap();
    assert_eq!(lsns, [2, 3]);
    assert_eq!(report.damages[0].lost_commits(), 1);
}

#[test]
fn an_unknown_version_is_refused_and_everything_left_alone() {
    let io = three_files();
    let header = FileHeader { version: 9, file: 2, predecessor: 9, first: 10 };
    io.damage(&path_of(2), |bytes| bytes[..64].copy_from_slice(&header.to_bytes(file::FILE_MAGIC)));
    let before: Vec<_> = (1..=3).map(|file| io.content(&path_of(file))).collect();
    let outcome = replay(&io, Path::new(DIR), Lsn(0), |_, _| panic!("nothing is delivered"));
    assert!(matches!(outcome, Err(Error::UnsupportedVersion { found: 9, .. })));
    assert_eq!(before, (1..=3).map(|file| io.content(&path_of(file))).collect::<Vec<_>>());
}

#[test]
fn a_read_error_is_an_error_and_changes_nothing() {
    let io = three_files();
    io.fail(FaultAt::Next(Operation::Read), FaultKind::Eio);
    assert!(matches!(replayed(&io, 0), Err(Error::Io { .. })));
    assert_eq!(replayed(&io, 0).unwrap().0.len(), 25);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn mutated_files_never_panic_and_deliver_only_what_was_written(
        file in 1u64..=3,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        len in any::<prop::sample::Index>(),
    ) {
        let io = three_files();
        let end = usize::try_from(*offsets(&io, file).last().unwrap()).unwrap();
        io.damage(&path_of(file), |bytes| {
            flips.iter().for_each(|(index, value)| bytes[index.index(end)] = *value);
            if flips.len() > 10 {
                bytes.truncate(len.index(end));
            }
        });
        // `replayed` checks order and content.
        replayed(&io, 0).unwrap();
    }
}
