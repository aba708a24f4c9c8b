//! Groups rows by series one by one, as they come.
//!
//! Keys of series are kept from batch to batch, so that a row of a known series costs a search by its encoded tags and no
//! allocation. Not synchronised: it belongs to one writer.

use arrow_array::ArrayRef;
use hashbrown::HashMap;

use super::grouping::arrange;
use crate::error::Result;
use crate::types::{ColumnId, SeriesBatch, SeriesKey, TableId};

/// Series that are remembered from batch to batch; with more, memory counts more than the time to make keys anew.
const KNOWN_SERIES_MAX: usize = 1 << 16;

/// The series of the rows of a batch that grows.
#[derive(Debug, Default)]
pub struct RowGrouper {
    /// A number per series that was seen.
    known: HashMap<SeriesKey, u32>,
    /// Of each known series, its place in the batch, or `u32::MAX`.
    places: Vec<u32>,
    /// The series of the batch, and the number of each.
    series: Vec<(SeriesKey, u32)>,
    /// Place of the series of each row.
    rows: Vec<u32>,
    /// Encoded tags of the row that is being added.
    key: Vec<u8>,
}

impl RowGrouper {
    /// Adds a row with these tag values, in the order of the table's tags.
    ///
    /// # Panics
    /// At 2^32 rows.
    pub fn push<'a>(&mut self, tags: impl IntoIterator<Item = Option<&'a [u8]>>) {
        SeriesKey::encode_into(tags, &mut self.key);
        let number = match self.known.get(self.key.as_slice()) {
            Some(&number) => number,
            None => {
                let number = u32::try_from(self.places.len()).expect("there are fewer series than rows");
                self.known.insert(SeriesKey::from_encoded(&self.key), number);
                self.places.push(u32::MAX);
                number
            }
        };
        let place = &mut self.places[number as usize];
        if *place == u32::MAX {
            *place = self.series.len() as u32;
            let (key, _) = self.known.get_key_value(self.key.as_slice()).expect("it was found or added above");
            self.series.push((key.clone(), number));
        }
        self.rows.push(*place);
    }

    /// The number of rows so far.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Ends the batch with the times and the fields of its rows, each as long as there are rows, and begins the next.
    ///
    /// # Errors
    /// `InvalidInput` when a field cannot be put into order.
    pub fn finish(
        &mut self,
        table: TableId,
        times: Vec<i64>,
        fields: Vec<(ColumnId, ArrayRef)>,
    ) -> Result<SeriesBatch> {
        let mut keys = Vec::with_capacity(self.series.len());
        for (key, number) in self.series.drain(..) {
            self.places[number as usize] = u32::MAX;
            keys.push(key);
        }
        if self.places.len() > KNOWN_SERIES_MAX {
            self.known.clear();
            self.places.clear();
        }
        let batch = arrange(table, keys, &self.rows, times.into(), fields);
        self.rows.clear();
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;

    use super::*;

    fn batch(grouper: &mut RowGrouper, hosts: &[Option<&str>]) -> Vec<(Option<Vec<u8>>, Vec<i64>)> {
        hosts.iter().for_each(|host| grouper.push([host.map(str::as_bytes)]));
        assert_eq!(grouper.row_count(), hosts.len());
        let numbers: Vec<i64> = (0..hosts.len() as i64).collect();
        let values: ArrayRef = Arc::new(Int64Array::from(numbers.clone()));
        let batch = grouper.finish(TableId(1), numbers, vec![(ColumnId(2), values)]).unwrap();
        let values = batch.fields[0].1.as_primitive::<Int64Type>().values();
        assert_eq!(**values, *batch.times);
        let rows = |one: &crate::types::SeriesRows| values[one.rows.start as usize..one.rows.end as usize].to_vec();
        batch.series.iter().map(|one| (one.key.decode(1).remove(0), rows(one))).collect()
    }

    #[test]
    fn rows_of_known_and_new_series_are_grouped_in_order_of_first_appearance() {
        let mut grouper = RowGrouper::default();
        let name = |text: &str| Some(text.as_bytes().to_vec());
        let rows = batch(&mut grouper, &[Some("b"), Some("a"), None, Some("b")]);
        assert_eq!(rows, [(name("b"), vec![0, 3]), (name("a"), vec![1]), (None, vec![2])]);
        let rows = batch(&mut grouper, &[Some("c"), Some("a"), Some("c")]);
        assert_eq!(rows, [(name("c"), vec![0, 2]), (name("a"), vec![1])]);
        assert_eq!(batch(&mut grouper, &[]), []);
    }

    #[test]
    fn series_that_are_too_many_to_remember_are_still_told_apart() {
        let mut grouper = RowGrouper::default();
        let names: Vec<String> = (0..KNOWN_SERIES_MAX + 1).map(|number| number.to_string()).collect();
        let hosts: Vec<_> = names.iter().map(|name| Some(name.as_str())).collect();
        for _ in 0..2 {
            let rows = batch(&mut grouper, &hosts);
            assert_eq!(rows.len(), hosts.len());
            assert!(rows.iter().enumerate().all(|(number, (_, rows))| *rows == [number as i64]));
        }
    }
}
