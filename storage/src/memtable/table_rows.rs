//! The series of one table in a memtable by number, and its rows that wait to be put to them.
//!
//! Invariant: a row that waits is younger than every row of its series outside. So whoever puts rows to series directly, or
//! reads them, has those that wait put there first.

use std::sync::Arc;

use hashbrown::HashMap;

use super::column_buffer::TypedArray;
use super::series_buffer::SeriesBuffer;
use super::shared_batch::{Account, ROWS_MIN, RowCommits, SharedBatch, is_worth_sharing};
use super::waiting_rows::{Occasion, WAITING_ROWS_MAX, WaitingRows, may_wait};
use crate::types::{ColumnId, CommitSeq, SeriesBatch, SeriesKey};

/// The series and the waiting rows of a table.
#[derive(Debug, Default)]
pub(super) struct TableRows {
    numbers: HashMap<SeriesKey, u32>,
    /// By their numbers.
    series: Vec<(SeriesKey, Arc<SeriesBuffer>)>,
    waiting: WaitingRows,
}

impl TableRows {
    /// Number of series.
    pub(super) fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Number of rows that wait.
    #[cfg(test)]
    pub(super) fn waiting_rows(&self) -> usize {
        self.waiting.len()
    }

    /// The number of a series. Senders mostly name series in the order in which they named them first, so that the one
    /// with the number `guess` is looked at before a search.
    pub(super) fn number(&self, key: &SeriesKey, guess: u32) -> Option<u32> {
        match self.series.get(guess as usize) {
            Some((known, _)) if known.is_same(key) => Some(guess),
            _ => self.numbers.get(key).copied(),
        }
    }

    /// Adds a series that is not there.
    pub(super) fn add(&mut self, key: &SeriesKey) -> (u32, &Arc<SeriesBuffer>) {
        let number = self.series.len() as u32;
        self.numbers.insert(key.clone(), number);
        self.series.push((key.clone(), Arc::default()));
        (number, &self.series[number as usize].1)
    }

    /// Appends a batch under commit `seq`; its series have the numbers `series`.
    pub(super) fn apply(&mut self, batch: &SeriesBatch, series: &[u32], seq: CommitSeq, account: &Arc<Account>) {
        let fields: Vec<(ColumnId, TypedArray<'_>)> =
            batch.fields.iter().filter_map(|(id, array)| Some((*id, TypedArray::new(array)?))).collect();
        if batch.row_count() < WAITING_ROWS_MAX && !is_worth_sharing(batch, &fields) && may_wait(&fields) {
            if !self.waiting.has_fields(&fields) {
                self.settle(Occasion::Need, account);
            }
            let before = self.waiting.byte_len();
            self.waiting.push(batch, series, &fields, seq);
            account.replace(before, self.waiting.byte_len());
            if self.waiting.len() >= WAITING_ROWS_MAX {
                self.settle(Occasion::Full, account);
            }
            return;
        }
        self.settle(Occasion::Need, account);
        let shared = is_worth_sharing(batch, &fields)
            .then(|| Arc::new(SharedBatch::new(&batch.times, &fields, RowCommits::One(seq), account)));
        let mut bytes = 0;
        for (group, number) in batch.series.iter().zip(series) {
            let buffer = &self.series[*number as usize].1;
            let rows = group.rows.start as usize..group.rows.end as usize;
            bytes += match &shared {
                Some(shared) => buffer.append_part(shared, group.rows.clone(), &batch.times[rows]),
                None => buffer.append(&batch.times, &fields, rows, seq),
            };
        }
        account.add(bytes as u64);
    }

    /// Puts the rows that wait to their series.
    pub(super) fn settle(&mut self, occasion: Occasion, account: &Arc<Account>) {
        let waiting_bytes = self.waiting.byte_len();
        let mut bytes = 0;
        if self.waiting.is_empty() {
            self.waiting = WaitingRows::default();
        } else if self.waiting.len() < ROWS_MIN && occasion != Occasion::Flush {
            // A batch of so few rows takes too much beside them. Before a flush it does not stay, and to put rows one by one
            // would have each series copy all that it has in other batches first.
            let rows = self.waiting.take();
            let fields = typed(&rows.fields);
            for (row, (number, seq)) in rows.series.iter().zip(&rows.seqs).enumerate() {
                let buffer = &self.series[*number as usize].1;
                bytes += buffer.append(&rows.times, &fields, row..row + 1, CommitSeq(seq.cast_unsigned()));
            }
        } else {
            let rows = self.waiting.take_by_series(self.series.len(), occasion);
            let commits = RowCommits::of(&rows.seqs.into());
            let shared = Arc::new(SharedBatch::new(&rows.times, &typed(&rows.fields), commits, account));
            let mut start = 0;
            for of_series in rows.series.chunk_by(|a, b| a == b) {
                let end = start + of_series.len();
                let buffer = &self.series[of_series[0] as usize].1;
                bytes += buffer.append_part(&shared, start as u32..end as u32, &rows.times[start..end]);
                start = end;
            }
        }
        account.replace(waiting_bytes, bytes + self.waiting.byte_len());
    }
}

fn typed(fields: &[(ColumnId, arrow_array::ArrayRef)]) -> Vec<(ColumnId, TypedArray<'_>)> {
    fields.iter().filter_map(|(id, array)| Some((*id, TypedArray::new(array)?))).collect()
}
