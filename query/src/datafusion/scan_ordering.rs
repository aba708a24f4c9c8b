//! The order in which a scan gives its rows.
//!
//! Series come in the order of their tags, NULL first, and rows of a series in the order of time. So each partition is
//! sorted by all tags and then time, as far as these are among the columns; a tag that has one value in all series of the
//! scan neither orders nor has to be there.

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{AcrossPartitions, ConstExpr, EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use lynxstore_storage::snapshot::TagValues;

use super::scan_source::{ScanColumn, ScanSource};

/// A column by which rows are sorted.
struct Key {
    column: Arc<dyn PhysicalExpr>,
    has_nulls: bool,
}

impl Key {
    fn sorted(&self, options: SortOptions) -> PhysicalSortExpr {
        PhysicalSortExpr::new(Arc::clone(&self.column), options)
    }
}

/// The orders and constants of the rows of a scan.
pub(super) fn equivalences(source: &ScanSource) -> Result<EquivalenceProperties> {
    let (keys, constants) = keys(source);
    // Without NULLs both ways to place them hold, and which one is asked for is not ours to say.
    let nulls_last = keys.iter().map(|key| key.sorted(SortOptions { descending: false, nulls_first: key.has_nulls }));
    let nulls_first = keys.iter().map(|key| key.sorted(SortOptions { descending: false, nulls_first: true }));
    let orders = [nulls_last.collect::<Vec<_>>(), nulls_first.collect()];
    let mut properties = EquivalenceProperties::new_with_orderings(Arc::clone(&source.schema), orders);
    properties.add_constants(constants)?;
    Ok(properties)
}

fn keys(source: &ScanSource) -> (Vec<Key>, Vec<ConstExpr>) {
    let (mut keys, mut constants) = (Vec::new(), Vec::new());
    let position_of = |wanted| source.columns.iter().position(|column| *column == wanted);
    let column = |position: usize| -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(source.schema.field(position).name(), position))
    };
    let mut is_gapless = true;
    for tag in 0..source.series.table().schema().tags.len() {
        let position = position_of(ScanColumn::Tag(tag));
        if position.is_none() && !is_gapless {
            continue;
        }
        let shown = source.columns.iter().filter(|column| matches!(column, ScanColumn::Tag(_)));
        let values = match shown.into_iter().position(|column| *column == ScanColumn::Tag(tag)) {
            Some(position) => &source.tags[position],
            None if source.series.len() < 2 => continue,
            None => &source.series.tag_column(tag),
        };
        let first = values.indices.first();
        match position {
            _ if values.indices.iter().all(|index| Some(index) == first) => {
                let constant = |position| ConstExpr::new(column(position), AcrossPartitions::Uniform(None));
                constants.extend(position.map(constant));
            }
            Some(position) if is_gapless => {
                keys.push(Key { column: column(position), has_nulls: values.indices.contains(&TagValues::NULL) });
            }
            Some(_) => {}
            // What comes behind a tag that is not there is in the order of nothing that is.
            None => is_gapless = false,
        }
    }
    if let Some(position) = position_of(ScanColumn::Time).filter(|_| is_gapless) {
        keys.push(Key { column: column(position), has_nulls: false });
    }
    (keys, constants)
}
