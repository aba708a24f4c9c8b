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

/// The order and constants of the rows of a scan.
pub(super) fn equivalences(source: &ScanSource) -> Result<EquivalenceProperties> {
    let (keys, constants) = keys(source);
    let mut properties = EquivalenceProperties::new_with_orderings(Arc::clone(&source.schema), [keys]);
    properties.add_constants(constants)?;
    Ok(properties)
}

/// An ascending sort key. Where there is no NULL both ways to place them hold: the one of a plain `ORDER BY` is told. Telling
/// both was rejected: DataFusion drops a sort for the one and then finds, by the other, that its plan does not hold.
fn key(column: Arc<dyn PhysicalExpr>, has_nulls: bool) -> PhysicalSortExpr {
    PhysicalSortExpr::new(column, SortOptions { descending: false, nulls_first: has_nulls })
}

fn keys(source: &ScanSource) -> (Vec<PhysicalSortExpr>, Vec<ConstExpr>) {
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
                keys.push(key(column(position), values.indices.contains(&TagValues::NULL)));
            }
            Some(_) => {}
            // What comes behind a tag that is not there is in the order of nothing that is.
            None => is_gapless = false,
        }
    }
    if let Some(position) = position_of(ScanColumn::Time).filter(|_| is_gapless) {
        keys.push(key(column(position), false));
    }
    (keys, constants)
}
