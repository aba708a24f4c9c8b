use std::collections::BTreeSet;

use super::*;
use crate::io::{create_dir_synced, replace_file};

fn disk_with_dir() -> SimIo {
    let io = SimIo::new();
    create_dir_synced(&io, Path::new("/db")).unwrap();
    io
}

#[test]
fn only_synced_bytes_under_synced_names_survive_the_strict_model() {
    let io = disk_with_dir();
    let path = Path::new("/db/a");
    let file = io.open(path, OpenMode::CreateNew).unwrap();
    file.write_all_at(0, b"one").unwrap();
    file.sync().unwrap();
    assert_eq!(io.after_crash(0, CrashModel::LoseAll).content(path), None, "the name was not synced");
    io.sync_dir(Path::new("/db")).unwrap();
    file.write_all_at(3, b"two").unwrap();
    drop(file);
    assert_eq!(io.after_crash(0, CrashModel::LoseAll).content(path).unwrap(), b"one");
    assert_eq!(io.after_crash(0, CrashModel::KeepAll).content(path).unwrap(), b"onetwo");
}

#[test]
fn unsynced_writes_are_torn_at_sectors() {
    let io = disk_with_dir();
    let path = Path::new("/db/a");
    let file = io.open(path, OpenMode::CreateNew).unwrap();
    io.sync_dir(Path::new("/db")).unwrap();
    file.allocate(2048).unwrap();
    file.sync().unwrap();
    file.write_all_at(100, &[7; 1500]).unwrap();
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let content = io.after_crash(seed, CrashModel::Random).content(path).unwrap();
        let sectors: Vec<u8> = [100, 512, 1024, 1536].iter().map(|&at| content[at]).collect();
        let runs = content[100..512].iter().all(|&byte| byte == content[100]);
        assert!(runs && content.len() == 2048 && content[0] == 0);
        outcomes.insert(sectors);
    }
    assert_eq!(outcomes.len(), 16, "every subset of the four sectors is found");
}

#[test]
fn data_of_a_failed_sync_is_gone_though_later_syncs_succeed() {
    let io = disk_with_dir();
    let path = Path::new("/db/a");
    let file = io.open(path, OpenMode::CreateNew).unwrap();
    io.sync_dir(Path::new("/db")).unwrap();
    file.write_all_at(0, b"lost").unwrap();
    io.fail(FaultAt::Next(Operation::Sync), FaultKind::Eio);
    file.sync().unwrap_err();
    file.write_all_at(4, b"kept").unwrap();
    file.sync().unwrap();
    assert_eq!(io.content(path).unwrap(), b"lostkept");
    assert_eq!(io.after_crash(0, CrashModel::LoseAll).content(path).unwrap(), b"\0\0\0\0kept");
}

#[test]
fn replace_file_leaves_the_old_or_the_new_at_every_crash_point() {
    let path = Path::new("/db/a");
    for at in 1.. {
        let io = disk_with_dir();
        replace_file(&io, path, &[1; 2000]).unwrap();
        io.set_crash_at(io.operations() + at);
        let done = replace_file(&io, path, &[2; 3000]).is_ok();
        for seed in 0..50 {
            for model in [CrashModel::LoseAll, CrashModel::KeepAll, CrashModel::Random] {
                let content = io.after_crash(seed, model).content(path).unwrap();
                assert!(content == [2; 3000] || (!done && content == [1; 2000]));
            }
        }
        if done {
            assert!(!io.is_off());
            break;
        }
    }
}

#[test]
fn faults_hit_once_or_from_then_on_and_short_writes_leave_half() {
    let io = disk_with_dir();
    let path = Path::new("/db/a");
    let file = io.open(path, OpenMode::CreateNew).unwrap();
    io.fail(FaultAt::Once(io.operations() + 1), FaultKind::ShortWrite);
    assert!(matches!(
        file.write_all_at(0, b"abcd"),
        Err(Error::Io { source, .. }) if source.raw_os_error() == Some(libc::ENOSPC)
    ));
    assert_eq!(io.content(path).unwrap(), b"ab");
    file.write_all_at(0, b"abcd").unwrap();
    io.fail(FaultAt::From(io.operations() + 1), FaultKind::Eio);
    file.sync().unwrap_err();
    file.len().unwrap_err();
    io.clear_faults();
    assert_eq!(file.len().unwrap(), 4);
}

#[test]
fn locks_exclude_and_vanish_at_a_crash() {
    let io = disk_with_dir();
    let path = Path::new("/db/LOCK");
    let lock = io.lock(path).unwrap();
    assert!(matches!(io.lock(path), Err(Error::Locked { .. })));
    io.after_crash(0, CrashModel::KeepAll).lock(path).unwrap();
    drop(lock);
    io.lock(path).unwrap();
}

#[test]
fn a_directory_that_was_not_synced_takes_its_content_along() {
    let io = SimIo::new();
    io.create_dir_all(Path::new("/x/y")).unwrap();
    replace_file(&io, Path::new("/x/y/a"), b"a").unwrap();
    assert!(io.after_crash(0, CrashModel::LoseAll).paths().is_empty());
    create_dir_synced(&io, Path::new("/x/y")).unwrap();
    io.sync_dir(Path::new("/")).unwrap();
    assert_eq!(io.after_crash(0, CrashModel::LoseAll).paths().len(), 1);
}
