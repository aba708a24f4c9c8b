//! Models of pins; see `docs/testing.md` for what each of them was seen to catch.

use loom::thread;

use super::{Pin, Removable};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, check_model};

struct ModelFile {
    removals: Arc<AtomicUsize>,
}

impl Removable for ModelFile {
    fn remove(&self) {
        self.removals.fetch_add(1, Ordering::Relaxed);
    }
}

fn file() -> (Pin<ModelFile>, Arc<AtomicUsize>) {
    let removals = Arc::new(AtomicUsize::new(0));
    (Pin::new(ModelFile { removals: Arc::clone(&removals) }), removals)
}

fn read(pin: &Pin<ModelFile>) {
    assert_eq!(pin.removals.load(Ordering::Relaxed), 0, "the file went while it was pinned");
}

#[test]
fn loom_a_pinned_file_stays_and_goes_with_its_last_pin() {
    check_model(3, || {
        let (pin, removals) = file();
        let readers = [pin.clone(), pin.clone()].map(|pin| {
            thread::spawn(move || {
                read(&pin);
                let further = pin.clone();
                drop(pin);
                read(&further);
            })
        });
        pin.mark_obsolete();
        read(&pin);
        drop(pin);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(removals.load(Ordering::Relaxed), 1, "the file goes, and once");
    });
}

#[test]
fn loom_a_file_that_is_kept_after_all_stays() {
    check_model(3, || {
        let (pin, removals) = file();
        pin.mark_obsolete();
        let reader = pin.clone();
        pin.keep();
        let reader = thread::spawn(move || read(&reader));
        drop(pin);
        reader.join().unwrap();
        assert_eq!(removals.load(Ordering::Relaxed), 0);
    });
}
