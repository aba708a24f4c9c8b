//! CSV with a header line; the table says what each column is.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use lynxstore_storage::types::{FieldType, TableSchema};
use memchr::{memchr_iter, memchr2, memchr2_iter};

use crate::ingest::Precision;
use crate::ingest::events::{MemberValue, nanoseconds};
use crate::ingest::rows::{RowLimits, RowsError};

fn malformed(error: ArrowError) -> RowsError {
    RowsError::Malformed(format!("the body is not CSV that fits the table: {error}"))
}

/// The rows of a body as one batch; `None` when it has none.
pub(super) fn read(table: &TableSchema, body: &[u8], limits: &RowLimits) -> Result<Option<RecordBatch>, RowsError> {
    // A carriage return alone ends a record too. Those before a line feed count twice: the bound is an upper one.
    let lines = memchr2_iter(b'\n', b'\r', body).count() + 1;
    RowsError::check("lines", lines, limits.rows_max.saturating_mul(2).saturating_add(2))?;
    let first_line = memchr2(b'\n', b'\r', body).unwrap_or(body.len());
    let columns = memchr_iter(b',', &body[..first_line]).count() + 1;
    RowsError::check("columns", columns, 1 + table.tags.len() + table.fields.len())?;
    let format = Format::default().with_header(true);
    let (header, _) = format.infer_schema(Cursor::new(body), Some(0)).map_err(malformed)?;
    RowsError::check("cells (rows times columns)", lines.saturating_mul(header.fields().len()), limits.cells_max)?;
    let fields = header.fields().iter().map(|column| {
        let name = column.name();
        let data_type = if *name == table.time.name || table.tag_index(name).is_some() {
            DataType::Utf8
        } else {
            let field = table.field_index(name).map(|index| table.fields[index].field_type);
            match field {
                Some(FieldType::Binary) => {
                    return Err(RowsError::Malformed(format!("column '{name}' is binary: send it as Arrow")));
                }
                Some(field_type) => field_type.arrow_type(),
                None => {
                    return Err(RowsError::Malformed(format!(
                        "table '{}' has no column '{name}': add it with ALTER TABLE, or leave it out",
                        table.name
                    )));
                }
            }
        };
        Ok(Field::new(name, data_type, true))
    });
    let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>, _>>()?));
    let time = schema.fields().iter().position(|column| *column.name() == table.time.name);
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true).with_batch_size(lines.min(65_536));
    let mut batches = Vec::new();
    for batch in reader.build(Cursor::new(body)).map_err(malformed)? {
        batches.push(batch.map_err(malformed)?);
    }
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        return Ok(None);
    }
    let batch = arrow::compute::concat_batches(&schema, &batches).map_err(malformed)?;
    match time {
        Some(time) => with_times(&batch, time).map(Some),
        // The table's own check says that the time is missing.
        None => Ok(Some(batch)),
    }
}

/// The batch with its column of times read: RFC 3339, or a number of any unit.
fn with_times(batch: &RecordBatch, time: usize) -> Result<RecordBatch, RowsError> {
    let texts = batch.column(time).as_string::<i32>();
    let times = (0..texts.len()).map(|row| {
        if texts.is_null(row) {
            return Err(RowsError::Malformed(format!("row {} has no time", row + 1)));
        }
        nanoseconds(&MemberValue::String(texts.value(row).to_owned()), Precision::Auto)
            .map_err(|fault| RowsError::Malformed(format!("row {}: {}", row + 1, fault.detail)))
    });
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times.collect::<Result<Vec<i64>, _>>()?));
    let mut fields: Vec<Field> = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[time] = Field::new(fields[time].name(), times.data_type().clone(), false);
    let mut columns = batch.columns().to_vec();
    columns[time] = times;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use lynxstore_storage::types::{TableId, TableSpec};

    use super::*;

    #[test]
    fn records_that_end_with_a_carriage_return_and_endless_headers_are_bounded() {
        let spec = TableSpec::new("t").tag("host").field("v", FieldType::F64);
        let table = TableSchema::from_spec(TableId(1), &spec).unwrap();
        let limits = RowLimits { rows_max: 100, ..RowLimits::default() };
        let body = format!("time\r{}", "1\r".repeat(1_000));
        assert!(matches!(read(&table, body.as_bytes(), &limits), Err(RowsError::TooLarge { .. })));
        let header = vec!["time"; 1_000].join(",");
        assert!(matches!(read(&table, header.as_bytes(), &limits), Err(RowsError::TooLarge { .. })));
        assert_eq!(read(&table, b"time,host,v\n1,a,2\n", &limits).unwrap().unwrap().num_rows(), 1);
    }
}
