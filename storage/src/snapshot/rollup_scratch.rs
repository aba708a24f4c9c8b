//! Decoded vectors of rollups, kept for a scan.
//!
//! A vector holds the states of dozens of series, but the series of a scan alternate between sections, so a vector is
//! kept per statistic and section. Of more sections than [`WAYS_MAX`] some share a place, which costs time and no more.

use std::ops::Range;

use super::rollup_use::RollupNeeds;
use crate::encoding::VECTOR_LEN;
use crate::error::Result;
use crate::memtable::NarrowChunk;
use crate::segment::{FieldRollups, FieldStatistic, RowStatistic, SectionRollups};
use crate::types::{FieldColumn, FieldType};

/// Sections whose vectors are kept at once: of ten fields with one statistic that is 5 MiB.
const WAYS_MAX: usize = 64;

/// Names a vector of the rollups of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RollupVector {
    pub(super) section: usize,
    pub(super) vector: usize,
}

impl RollupVector {
    /// Names the buckets of a chunk in memory, by a number that the scan gives once.
    pub(super) fn of_memory(number: usize) -> Self {
        Self { section: usize::MAX, vector: number }
    }
}

#[derive(Debug, Default)]
struct Slot {
    key: Option<RollupVector>,
    integers: Option<Box<[i64; VECTOR_LEN]>>,
    floats: Option<Box<[f64; VECTOR_LEN]>>,
}

/// Vectors of one scan.
#[derive(Debug)]
pub(super) struct RollupScratch {
    slots: Vec<Slot>,
    ways: usize,
    /// Of the rollup rows of the piece that was handed out last.
    pub(super) row_counts: Vec<u32>,
    pub(super) first_times: Vec<i64>,
    pub(super) last_times: Vec<i64>,
    /// Per field whether the chunk of that piece has it.
    chunk_fields: Vec<bool>,
}

impl RollupScratch {
    pub(super) fn new(section_count: usize, field_count: usize) -> Self {
        let ways = section_count.clamp(1, WAYS_MAX);
        let statistics = RowStatistic::COUNT + field_count * FieldStatistic::ALL.len();
        Self {
            slots: std::iter::repeat_with(Slot::default).take(statistics * ways).collect(),
            ways,
            row_counts: Vec::new(),
            first_times: Vec::new(),
            last_times: Vec::new(),
            chunk_fields: Vec::new(),
        }
    }

    fn of_row(&self, statistic: RowStatistic, key: RollupVector) -> usize {
        statistic as usize * self.ways + key.section % self.ways
    }

    fn of_field(&self, field: usize, statistic: FieldStatistic, key: RollupVector) -> usize {
        let statistic = RowStatistic::COUNT + field * FieldStatistic::ALL.len() + statistic as usize;
        statistic * self.ways + key.section % self.ways
    }

    /// Decodes a statistic of rollup rows unless it is there already.
    pub(super) fn load_row(
        &mut self,
        rollups: &SectionRollups,
        statistic: RowStatistic,
        key: RollupVector,
    ) -> Result<&[i64; VECTOR_LEN]> {
        let slot = self.of_row(statistic, key);
        let slot = &mut self.slots[slot];
        let values = slot.integers.get_or_insert_with(|| Box::new([0; VECTOR_LEN]));
        if slot.key != Some(key) {
            slot.key = None;
            rollups.decode(statistic, key.vector, values)?;
            slot.key = Some(key);
        }
        Ok(values)
    }

    /// Puts the times of the first and last row of `rows` into the buffers.
    pub(super) fn load_times(
        &mut self,
        rollups: &SectionRollups,
        key: RollupVector,
        rows: &Range<usize>,
    ) -> Result<()> {
        let base_ns = rollups.base_ns();
        let mut first_times = std::mem::take(&mut self.first_times);
        let mut last_times = std::mem::take(&mut self.last_times);
        first_times.clear();
        let buckets = &self.load_row(rollups, RowStatistic::Bucket, key)?[rows.clone()];
        first_times.extend(buckets.iter().map(|bucket| bucket.wrapping_mul(base_ns)));
        last_times.clone_from(&first_times);
        for (statistic, times) in
            [(RowStatistic::FirstTime, &mut first_times), (RowStatistic::LastTime, &mut last_times)]
        {
            let offsets = &self.load_row(rollups, statistic, key)?[rows.clone()];
            for (time, offset) in times.iter_mut().zip(offsets) {
                *time = time.wrapping_add(*offset);
            }
        }
        (self.first_times, self.last_times) = (first_times, last_times);
        Ok(())
    }

    /// Decodes a statistic of a field (by its position in the scan) unless it is there already.
    pub(super) fn load_field(
        &mut self,
        states: &FieldRollups,
        field: usize,
        statistic: FieldStatistic,
        key: RollupVector,
    ) -> Result<()> {
        let slot = self.of_field(field, statistic, key);
        let slot = &mut self.slots[slot];
        if slot.key == Some(key) {
            return Ok(());
        }
        slot.key = None;
        if states.field_type() == FieldType::F64 && !statistic.counts_rows() {
            states.decode_f64(statistic, key.vector, slot.floats.get_or_insert_with(|| Box::new([0.0; VECTOR_LEN])))?;
        } else {
            states.decode_i64(statistic, key.vector, slot.integers.get_or_insert_with(|| Box::new([0; VECTOR_LEN])))?;
        }
        slot.key = Some(key);
        Ok(())
    }

    /// Takes what is needed of some buckets of a chunk that has it.
    pub(super) fn load_chunk(
        &mut self,
        chunk: &NarrowChunk,
        rows: Range<usize>,
        fields: &[FieldColumn],
        needs: &[RollupNeeds],
        key: RollupVector,
    ) {
        let buckets = &chunk.buckets()[rows.clone()];
        self.row_counts.clear();
        self.row_counts.extend(buckets.iter().map(|bucket| bucket.rows.len() as u32));
        self.first_times.clear();
        self.first_times.extend(buckets.iter().map(|bucket| bucket.first_ns));
        self.last_times.clear();
        self.last_times.extend(buckets.iter().map(|bucket| bucket.last_ns));
        self.chunk_fields.clear();
        for (position, (field, needs)) in fields.iter().zip(needs).enumerate() {
            let found = chunk.field(field.id);
            self.chunk_fields.push(found.is_some());
            let Some(found) = found else { continue };
            for statistic in needs.statistics() {
                let slot = self.of_field(position, statistic, key);
                let slot = &mut self.slots[slot];
                slot.key = Some(key);
                let mut row = rows.start;
                if field.field_type == FieldType::F64 {
                    let values = slot.floats.get_or_insert_with(|| Box::new([0.0; VECTOR_LEN]));
                    chunk.for_each_state(found, rows.clone(), statistic, |bits| {
                        values[row] = f64::from_bits(bits);
                        row += 1;
                    });
                } else {
                    let values = slot.integers.get_or_insert_with(|| Box::new([0; VECTOR_LEN]));
                    chunk.for_each_state(found, rows.clone(), statistic, |bits| {
                        values[row] = bits.cast_signed();
                        row += 1;
                    });
                }
            }
        }
    }

    /// Whether the chunk that was loaded last has a field.
    pub(super) fn chunk_has(&self, field: usize) -> bool {
        self.chunk_fields[field]
    }

    /// The integers of a statistic of a field that was loaded.
    pub(super) fn integers(&self, field: usize, statistic: FieldStatistic, key: RollupVector) -> &[i64] {
        let slot = &self.slots[self.of_field(field, statistic, key)];
        slot.integers.as_ref().map_or(&[], |values| values.as_slice())
    }

    /// The floats of a statistic of a field that was loaded.
    pub(super) fn floats(&self, field: usize, statistic: FieldStatistic, key: RollupVector) -> &[f64] {
        let slot = &self.slots[self.of_field(field, statistic, key)];
        slot.floats.as_ref().map_or(&[], |values| values.as_slice())
    }
}
