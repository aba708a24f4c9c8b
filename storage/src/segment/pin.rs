//! Pins on a file: it goes with the last of them, once nothing names it any more.
//!
//! Invariants, which the models in `pin_models.rs` check in every order that threads can take:
//! - A file is removed only when its last pin has gone, and only after [`Pin::mark_obsolete`].
//! - A file that was marked, and not kept again, is removed when its last pin goes, whichever thread drops it.

use std::ops::Deref;

use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// What can be removed.
pub(crate) trait Removable {
    /// Removes the file. Called at most once, by the thread that dropped the last pin.
    fn remove(&self);
}

/// A pin on a file; each clone is another one.
#[derive(Debug)]
pub(crate) struct Pin<F: Removable>(Arc<Pinned<F>>);

#[derive(Debug)]
struct Pinned<F: Removable> {
    file: F,
    is_obsolete: AtomicBool,
}

impl<F: Removable> Pin<F> {
    pub(crate) fn new(file: F) -> Self {
        Self(Arc::new(Pinned { file, is_obsolete: AtomicBool::new(false) }))
    }

    /// Whether another pin is one on the same file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Lets the last pin remove the file.
    pub(crate) fn mark_obsolete(&self) {
        self.0.is_obsolete.store(true, Ordering::Release);
    }

    /// Lets the file stay after all.
    pub(crate) fn keep(&self) {
        self.0.is_obsolete.store(false, Ordering::Release);
    }
}

impl<F: Removable> Clone for Pin<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F: Removable> Deref for Pin<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0.file
    }
}

impl<F: Removable> Drop for Pinned<F> {
    fn drop(&mut self) {
        // The reference count orders this after everything that was done through any pin, so relaxed sees the last mark.
        if self.is_obsolete.load(Ordering::Relaxed) {
            self.file.remove();
        }
    }
}

#[cfg(all(loom, test))]
#[path = "pin_models.rs"]
mod models;
