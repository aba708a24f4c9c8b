//! The table that decodes a coded column, made at first use and dropped when many others were made since.
//!
//! Invariant: at most [`TABLES_MAX`] tables are kept in the process, 16 MiB, however many segments are open. Any number
//! of threads may ask; two that ask first may both make the table, and both are equal.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::encoding::{ColumnCode, DecodeError, DecodeTable};

/// Tables of 16 KiB that are kept.
const TABLES_MAX: usize = 1024;

/// Columns with a table, the one that got it first in front.
static KEPT: Mutex<VecDeque<Weak<Slot>>> = Mutex::new(VecDeque::new());

type Slot = RwLock<Option<Arc<DecodeTable>>>;

/// The code of a column.
#[derive(Debug)]
pub(super) struct CodeCell {
    /// Where the code stands in the file. It was found sound when the segment was opened.
    code: Range<usize>,
    slot: Arc<Slot>,
}

impl CodeCell {
    /// Of the code at `code` of the file, which the caller has checked.
    pub(super) fn new(code: Range<usize>) -> Self {
        Self { code, slot: Arc::default() }
    }

    /// The table.
    ///
    /// # Errors
    /// When the code is not what it was when the segment was opened.
    pub(super) fn table(&self, file: &[u8]) -> Result<Arc<DecodeTable>, DecodeError> {
        if let Some(table) = &*self.slot.read() {
            return Ok(Arc::clone(table));
        }
        let code = ColumnCode::from_bytes(&file[self.code.clone()])?;
        let table = Arc::new(DecodeTable::new(&code));
        *self.slot.write() = Some(Arc::clone(&table));
        keep(&self.slot);
        Ok(table)
    }
}

/// Remembers that a slot has a table, and empties the one that has had its own for longest when there are too many.
fn keep(slot: &Arc<Slot>) {
    let oldest = {
        let mut kept = KEPT.lock();
        kept.push_back(Arc::downgrade(slot));
        if kept.len() > TABLES_MAX { kept.pop_front() } else { None }
    };
    if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
        *oldest.write() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_that_were_made_first_go() {
        let slots: Vec<Arc<Slot>> = (0..=TABLES_MAX).map(|_| Arc::default()).collect();
        let mut bytes = vec![0; 8];
        bytes.extend_from_slice(&[0, 1, 0x11]);
        let table = Arc::new(DecodeTable::new(&ColumnCode::from_bytes(&bytes).unwrap()));
        for slot in &slots {
            *slot.write() = Some(Arc::clone(&table));
            keep(slot);
        }
        assert!(slots[0].read().is_none(), "it was kept beyond the limit");
        assert!(slots[TABLES_MAX].read().is_some());
        assert!(KEPT.lock().len() <= TABLES_MAX);
    }
}
