//! Groups of series by some of their tags, numbered in the order of the tag values (NULL last).

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow::datatypes::Int32Type;
use hashbrown::HashMap;
use lynxstore_storage::snapshot::TagValues;

use super::series_aggregate::SeriesKeyPart;
use super::source::Source;

/// The tag groups of a set of series.
#[derive(Debug)]
pub(crate) struct TagGroups {
    /// The tags that make the groups.
    tags: Vec<usize>,
    /// Values per tag, sorted.
    values: Vec<Arc<StringArray>>,
    /// Per group the positions in `values`, `u32::MAX` for NULL; groups one after the other.
    codes: Vec<u32>,
    /// Group per series; empty when all series are one group.
    groups: Vec<u32>,
    count: usize,
}

impl TagGroups {
    /// Groups the series of `source` by the tags among `keys`.
    pub(crate) fn new(source: &Source, keys: &[SeriesKeyPart]) -> Self {
        let tags: Vec<usize> = keys
            .iter()
            .filter_map(|key| match key {
                SeriesKeyPart::Tag(tag) => Some(*tag),
                SeriesKeyPart::Bucket => None,
            })
            .collect();
        if tags.is_empty() {
            return Self { tags, values: Vec::new(), codes: Vec::new(), groups: Vec::new(), count: 1 };
        }
        let columns: Vec<TagValues> = tags.iter().map(|tag| sorted(source.set.tag_column(*tag))).collect();
        let series = source.set.len();
        let mut ids: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut groups = Vec::with_capacity(series);
        let mut found: Vec<Vec<u32>> = Vec::new();
        let mut codes = Vec::with_capacity(tags.len());
        for index in 0..series {
            codes.clear();
            codes.extend(columns.iter().map(|column| column.indices[index]));
            // Series stand in key order, so most share the group of the one before.
            if found.last().is_some_and(|last| *last == codes)
                && let Some(previous) = groups.last().copied()
                && previous as usize == found.len() - 1
            {
                groups.push(previous);
                continue;
            }
            let id = match ids.get(&codes) {
                Some(id) => *id,
                None => {
                    let id = found.len() as u32;
                    found.push(codes.clone());
                    ids.insert(codes.clone(), id);
                    id
                }
            };
            groups.push(id);
        }
        let mut order: Vec<u32> = (0..found.len() as u32).collect();
        if !found.is_sorted() {
            order.sort_unstable_by(|a, b| found[*a as usize].cmp(&found[*b as usize]));
            let mut ranks = vec![0; order.len()];
            for (rank, id) in order.iter().enumerate() {
                ranks[*id as usize] = rank as u32;
            }
            groups.iter_mut().for_each(|group| *group = ranks[*group as usize]);
        }
        let codes = order.iter().flat_map(|id| found[*id as usize].iter().copied()).collect();
        let values = columns.into_iter().map(|column| column.values).collect();
        Self { tags, values, codes, groups, count: order.len() }
    }

    /// The group of a series.
    pub(crate) fn group_of(&self, series: usize) -> u32 {
        self.groups.get(series).copied().unwrap_or(0)
    }

    /// Number of groups that some series have together.
    pub(crate) fn count_in(&self, series: Range<usize>) -> usize {
        if self.groups.is_empty() || series.is_empty() {
            return self.count.min(1);
        }
        if series.len() == self.groups.len() {
            return self.count;
        }
        let mut groups = self.groups[series].to_vec();
        groups.sort_unstable();
        groups.dedup();
        groups.len()
    }

    /// The column of a tag for rows of the given groups.
    pub(crate) fn column(&self, tag: usize, groups: impl Iterator<Item = u32>) -> ArrayRef {
        let position = self.tags.iter().position(|known| *known == tag).unwrap_or(0);
        let width = self.tags.len();
        let keys: Int32Array = groups
            .map(|group| {
                let code = self.codes[group as usize * width + position];
                (code != TagValues::NULL).then_some(code as i32)
            })
            .collect();
        let values: ArrayRef = self.values[position].clone();
        Arc::new(DictionaryArray::<Int32Type>::new(keys, values))
    }
}

/// The same column with its values sorted, so that codes compare like values.
fn sorted(column: TagValues) -> TagValues {
    let values = &column.values;
    if (1..values.len()).all(|index| values.value(index - 1) <= values.value(index)) {
        return column;
    }
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by_key(|index| values.value(*index as usize));
    let mut ranks = vec![0; order.len()];
    for (rank, index) in order.iter().enumerate() {
        ranks[*index as usize] = rank as u32;
    }
    let sorted = StringArray::from_iter_values(order.iter().map(|index| values.value(*index as usize)));
    let rank = |index: &u32| if *index == TagValues::NULL { TagValues::NULL } else { ranks[*index as usize] };
    TagValues { values: Arc::new(sorted), indices: column.indices.iter().map(rank).collect() }
}
