//! Models of what readers see while commits, flushes and compactions go on; see `docs/testing.md` for what each of them was
//! seen to catch.

use std::sync::Arc;

use loom::thread;

use super::{Publication, View};
use crate::segment::{Pin, Removable};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, check_model};
use crate::types::CommitSeq;

/// Each commit writes this row twice: a reader that sees one of the two sees half a commit.
type Rows = Vec<u64>;

/// Rows of commits that are not flushed.
#[derive(Default)]
struct ModelMemtable(Mutex<Rows>);

/// Rows of commits that are.
#[derive(Default)]
struct ModelVersion {
    rows: Rows,
    files: Vec<Pin<ModelFile>>,
    /// Stands for the reference count of the `Arc` around the version, which loom does not see.
    uses: AtomicUsize,
}

impl ModelVersion {
    fn new(rows: Rows, files: Vec<Pin<ModelFile>>) -> Self {
        Self { rows, files, uses: AtomicUsize::new(0) }
    }

    fn end_use(&self) {
        self.uses.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for ModelVersion {
    fn drop(&mut self) {
        self.end_use();
    }
}

struct ModelFile {
    number: usize,
    removals: Arc<AtomicUsize>,
}

impl Removable for ModelFile {
    fn remove(&self) {
        self.removals.fetch_add(1, Ordering::Relaxed);
    }
}

type Model = Publication<ModelVersion, ModelMemtable>;

fn commit(model: &Model) -> CommitSeq {
    model.apply(|memtable, seq| {
        memtable.0.lock().push(seq.0);
        memtable.0.lock().push(seq.0);
    })
}

fn flush(model: &Model) {
    let frozen = model.freeze(|memtable| !memtable.0.lock().is_empty());
    let mut rows = model.version().rows.clone();
    frozen.iter().for_each(|memtable| rows.extend(memtable.0.lock().iter()));
    model.publish(ModelVersion::new(rows, Vec::new()), &frozen);
}

/// Checks that a view shows each commit up to its number once and whole; returns the number.
fn check(view: &View<ModelVersion, ModelMemtable>) -> u64 {
    let mut rows = view.version.rows.clone();
    for memtable in view.memtables.iter() {
        rows.extend(memtable.0.lock().iter().filter(|row| **row <= view.visible.0));
    }
    rows.sort_unstable();
    assert_eq!(rows, (1..=view.visible.0).flat_map(|row| [row, row]).collect::<Vec<_>>());
    view.visible.0
}

#[test]
fn loom_a_view_shows_every_commit_once_and_whole() {
    check_model(2, || {
        let model = Arc::new(Model::new(ModelVersion::default()));
        commit(&model);
        let (writing, flushing) = (Arc::clone(&model), Arc::clone(&model));
        let writer = thread::spawn(move || {
            let last = commit(&writing);
            assert!(check(&writing.view()) >= last.0, "a view does not show what was committed before it");
        });
        let flusher = thread::spawn(move || flush(&flushing));
        let view = model.view();
        let seen = check(&view);
        assert!(check(&model.view()) >= seen, "commits went away");
        assert_eq!(check(&view), seen, "a view changed");
        writer.join().unwrap();
        flusher.join().unwrap();
        flush(&model);
        assert_eq!(check(&model.view()), 2);
        assert_eq!(model.version().rows.len(), 4, "every row is flushed");
    });
}

#[test]
fn loom_files_stay_while_a_view_pins_them_and_go_in_the_end() {
    check_model(3, || {
        let removals: [_; 3] = std::array::from_fn(|_| Arc::new(AtomicUsize::new(0)));
        let file = |number: usize| Pin::new(ModelFile { number, removals: Arc::clone(&removals[number]) });
        let inputs = vec![file(0), file(1)];
        let model = Arc::new(Model::new(ModelVersion::new(Vec::new(), inputs)));
        let output = ModelVersion::new(Vec::new(), vec![file(2)]);
        let readers = [(); 2].map(|()| {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let view = model.view();
                let seen: Vec<_> = view.version.files.iter().map(|file| file.number).collect();
                assert!(seen == [0, 1] || seen == [2], "a view shows part of a compaction: {seen:?}");
                for file in &view.version.files {
                    assert_eq!(file.removals.load(Ordering::Relaxed), 0, "a file went while it was pinned");
                }
                view.version.end_use();
            })
        });
        // The steps of a compaction: the inputs are marked while they are still shown, see `Store::next_version`.
        let current = model.version();
        current.files.iter().for_each(Pin::mark_obsolete);
        current.end_use();
        drop(current);
        model.publish(output, &[]);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(removals.each_ref().map(|removals| removals.load(Ordering::Relaxed)), [1, 1, 0]);
    });
}
