//! Puts the rows of a system table together column by column.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampNanosecondArray, UInt64Array};
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};

/// Columns of a system table, in order.
#[derive(Default)]
pub(super) struct TableBuilder {
    columns: Vec<(&'static str, ArrayRef, bool)>,
}

impl TableBuilder {
    /// A column of text.
    pub(super) fn text<T: Into<Option<String>>>(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values: StringArray = values.into_iter().map(Into::into).collect();
        self.columns.push((name, Arc::new(values), true));
        self
    }

    /// A column of counts or sizes.
    pub(super) fn count<T: Into<Option<u64>>>(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values: UInt64Array = values.into_iter().map(Into::into).collect();
        self.columns.push((name, Arc::new(values), true));
        self
    }

    /// A column of signed numbers.
    pub(super) fn number<T: Into<Option<i64>>>(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values: Int64Array = values.into_iter().map(Into::into).collect();
        self.columns.push((name, Arc::new(values), true));
        self
    }

    /// A column of ratios.
    pub(super) fn float(mut self, name: &'static str, values: impl IntoIterator<Item = f64>) -> Self {
        let values = Float64Array::from_iter_values(values);
        self.columns.push((name, Arc::new(values), true));
        self
    }

    /// A column of times.
    pub(super) fn time<T: Into<Option<i64>>>(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values: TimestampNanosecondArray = values.into_iter().map(Into::into).collect();
        self.columns.push((name, Arc::new(values), true));
        self
    }

    /// The rows.
    pub(super) fn build(self) -> Result<RecordBatch> {
        RecordBatch::try_from_iter_with_nullable(self.columns).map_err(Error::arrow)
    }
}
