//! Groups of series by some of their tags, numbered in the order of the tag values (NULL last).

use std::cmp::Ordering;
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
        // All series are one group, which the values of one tag after the other divide.
        let mut groups = vec![0; series];
        // A series of each group.
        let mut members: Vec<u32> = Vec::new();
        for column in &columns {
            members.clear();
            let mut ids: HashMap<(u32, u32), u32> = HashMap::with_capacity(series.min(column.values.len() + 1));
            for (index, (group, code)) in groups.iter_mut().zip(&column.indices).enumerate() {
                *group = *ids.entry((*group, *code)).or_insert_with(|| {
                    members.push(index as u32);
                    (members.len() - 1) as u32
                });
            }
        }
        let code = |group: u32, column: &TagValues| column.indices[members[group as usize] as usize];
        let compare = |a: &u32, b: &u32| {
            let codes = columns.iter().map(|column| code(*a, column).cmp(&code(*b, column)));
            codes.fold(Ordering::Equal, Ordering::then)
        };
        let mut order: Vec<u32> = (0..members.len() as u32).collect();
        if !order.is_sorted_by(|a, b| compare(a, b).is_lt()) {
            order.sort_unstable_by(compare);
            let mut ranks = vec![0; order.len()];
            for (rank, id) in order.iter().enumerate() {
                ranks[*id as usize] = rank as u32;
            }
            groups.iter_mut().for_each(|group| *group = ranks[*group as usize]);
        }
        let codes = order.iter().flat_map(|group| columns.iter().map(|column| code(*group, column))).collect();
        let values = columns.into_iter().map(|column| column.values).collect();
        Self { tags, values, codes, groups, count: order.len() }
    }

    /// The tags that make the groups, in the order in which they sort.
    pub(crate) fn tags(&self) -> &[usize] {
        &self.tags
    }

    /// Number of groups.
    pub(crate) fn len(&self) -> usize {
        self.count
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
