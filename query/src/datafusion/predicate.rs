//! A predicate on one tag, evaluated by DataFusion on single values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray};
use arrow::datatypes::{Field, Int32Type, Schema};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::HashMap;
use lynxstore_storage::snapshot::TagTerm;
use lynxstore_storage::types::TableSchema;
use parking_lot::Mutex;

use super::pushdown::strip_qualifiers;

/// Where predicates of a scan leave the first error; the scan interface has no place for it.
#[derive(Debug, Clone, Default)]
pub(super) struct ErrorSlot(Arc<Mutex<Option<DataFusionError>>>);

impl ErrorSlot {
    fn put(&self, error: DataFusionError) {
        self.0.lock().get_or_insert(error);
    }

    /// The first error of the predicates so far.
    pub(super) fn take(&self) -> Result<()> {
        self.0.lock().take().map_or(Ok(()), Err)
    }
}

/// The term for an expression over the tag at position `tag` and nothing else.
pub(super) fn tag_term(
    schema: &TableSchema,
    tag: usize,
    expr: &Expr,
    session: &dyn Session,
    errors: &ErrorSlot,
) -> Result<TagTerm> {
    let tag_schema = Arc::new(Schema::new(vec![Field::new(&schema.tags[tag].name, TableSchema::tag_type(), true)]));
    let df_schema = DFSchema::try_from(Arc::clone(&tag_schema))?;
    let predicate = session.create_physical_expr(strip_qualifiers(expr.clone())?, &df_schema)?;
    let errors = errors.clone();
    // The same value is asked for once per source of rows.
    let known: Mutex<HashMap<Option<String>, bool>> = Mutex::default();
    Ok(TagTerm::predicate(tag, move |value| {
        let key = value.map(str::to_owned);
        if let Some(&accepted) = known.lock().get(&key) {
            return accepted;
        }
        let accepted = accepts(predicate.as_ref(), &tag_schema, value).unwrap_or_else(|error| {
            errors.put(error);
            false
        });
        known.lock().insert(key, accepted);
        accepted
    }))
}

fn accepts(predicate: &dyn PhysicalExpr, schema: &Arc<Schema>, value: Option<&str>) -> Result<bool> {
    let key = value.map(|_| 0);
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(value));
    let column = DictionaryArray::<Int32Type>::try_new([key].into_iter().collect(), values)?;
    let row = RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(column)])?;
    match predicate.evaluate(&row)? {
        ColumnarValue::Scalar(scalar) => {
            // NULL is not true.
            Ok(scalar == ScalarValue::Boolean(Some(true)))
        }
        ColumnarValue::Array(array) => {
            let accepted = array.as_boolean();
            Ok(accepted.is_valid(0) && accepted.value(0))
        }
    }
}
