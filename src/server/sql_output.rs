//! SQL results as JSON, JSON lines and CSV, rendered in chunks of rows so that a response streams.
//!
//! Nothing is lost silently on the way out. JSON has no NaN and no infinity: they are the strings `"NaN"`, `"Infinity"`
//! and `"-Infinity"`. Integers beyond 2^53, which many JSON readers round, are strings too. Times are RFC 3339 in UTC with
//! as many digits as they need, binary values are hexadecimal, NULL is `null` and in CSV an empty field (an empty string
//! is `""`). Types without a form of their own are shown as text.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::array::{BinaryArray, Int64Array, StringArray, TimestampNanosecondArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::temporal_conversions::timestamp_ns_to_datetime;
use arrow::util::display::array_value_to_string;
use lynxstore_query::{QueryOutput, Route};

use super::negotiation::ResultFormat;

/// Rows of a chunk: enough to make its overhead small, few enough that an async worker is not held up by it.
const CHUNK_ROWS: usize = 1_024;

/// Largest integer that every JSON reader keeps.
const JSON_INTEGER_MAX: u64 = (1 << 53) - 1;

/// The chunks of a rendered result, in order.
pub(super) fn chunks(
    output: QueryOutput,
    format: ResultFormat,
    elapsed_ms: f64,
) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
    let schema = output.schema.clone();
    let head = match format {
        ResultFormat::Json => json_head(&schema),
        ResultFormat::NdJson => Vec::new(),
        ResultFormat::Csv => csv_head(&schema),
    };
    let tail = match format {
        ResultFormat::Json => json_tail(&output, elapsed_ms),
        ResultFormat::NdJson | ResultFormat::Csv => Vec::new(),
    };
    let mut is_first = true;
    let body = slices(output.batches).map(move |slice| {
        let rows = Rows::new(&slice, &schema);
        let text = rows.render(format, is_first);
        is_first = false;
        text
    });
    std::iter::once(head).chain(body).chain(std::iter::once(tail)).filter(|chunk| !chunk.is_empty())
}

fn slices(batches: Vec<RecordBatch>) -> impl Iterator<Item = RecordBatch> {
    batches.into_iter().flat_map(|batch| {
        let starts = (0..batch.num_rows()).step_by(CHUNK_ROWS);
        starts.map(move |start| batch.slice(start, CHUNK_ROWS.min(batch.num_rows() - start)))
    })
}

/// Name of a route, for JSON and metrics.
pub(super) fn route_name(route: Route) -> &'static str {
    match route {
        Route::Vectorized => "vectorized",
        Route::DataFusion => "datafusion",
        Route::Statement => "statement",
    }
}

fn json_head(schema: &SchemaRef) -> Vec<u8> {
    let column = |field: &arrow::datatypes::FieldRef| {
        // How the values of a dictionary are stored is not a matter of the client.
        let data_type = match field.data_type() {
            DataType::Dictionary(_, value) => value,
            other => other,
        };
        serde_json::json!({ "name": field.name(), "type": data_type.to_string() })
    };
    let columns: Vec<_> = schema.fields().iter().map(column).collect();
    format!("{{\"columns\":{},\"rows\":[", serde_json::Value::from(columns)).into_bytes()
}

fn json_tail(output: &QueryOutput, elapsed_ms: f64) -> Vec<u8> {
    let mut tail = format!("],\"row_count\":{}", output.row_count());
    if let Some(rows) = output.rows_affected {
        tail.push_str(&format!(",\"rows_affected\":{rows}"));
    }
    tail.push_str(&format!(",\"elapsed_ms\":{elapsed_ms:.3},\"route\":\"{}\"}}\n", route_name(output.route)));
    tail.into_bytes()
}

fn csv_head(schema: &SchemaRef) -> Vec<u8> {
    let mut line = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        push_csv_text(&mut line, field.name());
    }
    if !schema.fields().is_empty() {
        line.push(b'\n');
    }
    line
}

/// A column brought to one of the forms that are rendered.
enum Column {
    Bool(BooleanArray),
    Int(Int64Array),
    UInt(UInt64Array),
    Float(Float64Array),
    Time(TimestampNanosecondArray),
    Text(StringArray),
    Binary(BinaryArray),
    Other(ArrayRef),
}

impl Column {
    fn new(array: &ArrayRef) -> Self {
        let as_type = |data_type: DataType| cast(array, &data_type).ok();
        let logical = match array.data_type() {
            DataType::Dictionary(_, value) => value.as_ref(),
            other => other,
        };
        let column = match logical {
            DataType::Boolean => as_type(DataType::Boolean).map(|cast| Self::Bool(cast.as_boolean().clone())),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                as_type(DataType::Int64).map(|cast| Self::Int(cast.as_primitive().clone()))
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                as_type(DataType::UInt64).map(|cast| Self::UInt(cast.as_primitive().clone()))
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                as_type(DataType::Float64).map(|cast| Self::Float(cast.as_primitive().clone()))
            }
            // A coarser unit may reach beyond what nanoseconds hold; then the cast fails and the value is shown as text.
            DataType::Timestamp(..) => as_type(DataType::Timestamp(TimeUnit::Nanosecond, None))
                .filter(|cast| cast.null_count() == array.logical_null_count())
                .map(|cast| Self::Time(cast.as_primitive().clone())),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                as_type(DataType::Utf8).map(|cast| Self::Text(cast.as_string().clone()))
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                as_type(DataType::Binary).map(|cast| Self::Binary(cast.as_binary().clone()))
            }
            _ => None,
        };
        column.unwrap_or_else(|| Self::Other(array.clone()))
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Bool(array) => array.is_null(row),
            Self::Int(array) => array.is_null(row),
            Self::UInt(array) => array.is_null(row),
            Self::Float(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Text(array) => array.is_null(row),
            Self::Binary(array) => array.is_null(row),
            Self::Other(array) => array.data_type() == &DataType::Null || array.is_null(row),
        }
    }

    fn push_json(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            _ if self.is_null(row) => out.extend_from_slice(b"null"),
            Self::Bool(array) => push_display(out, array.value(row)),
            Self::Int(array) if array.value(row).unsigned_abs() <= JSON_INTEGER_MAX => {
                push_display(out, array.value(row))
            }
            Self::UInt(array) if array.value(row) <= JSON_INTEGER_MAX => push_display(out, array.value(row)),
            Self::Float(array) if array.value(row).is_finite() => push_json_value(out, &array.value(row)),
            Self::Text(array) => push_json_value(out, array.value(row)),
            _ => push_json_value(out, &self.text(row)),
        }
    }

    fn push_csv(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            _ if self.is_null(row) => {}
            Self::Text(array) => push_csv_text(out, array.value(row)),
            Self::Other(_) => push_csv_text(out, &self.text(row)),
            Self::Float(array) if array.value(row).is_finite() => push_json_value(out, &array.value(row)),
            _ => out.extend_from_slice(self.text(row).as_bytes()),
        }
    }

    /// A value that is there, as text.
    fn text(&self, row: usize) -> String {
        match self {
            Self::Bool(array) => array.value(row).to_string(),
            Self::Int(array) => array.value(row).to_string(),
            Self::UInt(array) => array.value(row).to_string(),
            Self::Float(array) => match array.value(row) {
                value if value.is_nan() => "NaN".into(),
                f64::INFINITY => "Infinity".into(),
                f64::NEG_INFINITY => "-Infinity".into(),
                value => value.to_string(),
            },
            Self::Time(array) => match timestamp_ns_to_datetime(array.value(row)) {
                Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
                None => array.value(row).to_string(),
            },
            Self::Text(array) => array.value(row).to_owned(),
            Self::Binary(array) => hexadecimal(array.value(row)),
            Self::Other(array) => array_value_to_string(array, row).unwrap_or_else(|error| error.to_string()),
        }
    }
}

fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    use std::io::Write as _;
    write!(out, "{value}").expect("a vector takes every write");
}

fn push_json_value(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("numbers and text have a JSON form, and a vector takes every write");
}

/// Quotes what needs it, and the empty string, so that it is not NULL.
fn push_csv_text(out: &mut Vec<u8>, text: &str) {
    if !text.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every write");
        text
    })
}

/// Rows that are rendered together.
struct Rows {
    columns: Vec<Column>,
    /// The names as JSON strings, for JSON lines.
    names: Vec<Vec<u8>>,
    row_count: usize,
}

impl Rows {
    fn new(batch: &RecordBatch, schema: &SchemaRef) -> Self {
        let name = |field: &arrow::datatypes::FieldRef| {
            let mut name = Vec::new();
            push_json_value(&mut name, field.name());
            name
        };
        Self {
            columns: batch.columns().iter().map(Column::new).collect(),
            names: schema.fields().iter().map(name).collect(),
            row_count: batch.num_rows(),
        }
    }

    fn render(&self, format: ResultFormat, is_first: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.row_count * self.columns.len() * 16);
        for row in 0..self.row_count {
            match format {
                ResultFormat::Json => {
                    out.extend_from_slice(if is_first && row == 0 { b"[" } else { b",[" });
                    self.separated(&mut out, |column, out| column.push_json(row, out));
                    out.push(b']');
                }
                ResultFormat::NdJson => {
                    out.push(b'{');
                    let mut names = self.names.iter();
                    self.separated(&mut out, |column, out| {
                        out.extend_from_slice(names.next().map_or(b"\"\"", Vec::as_slice));
                        out.push(b':');
                        column.push_json(row, out);
                    });
                    out.extend_from_slice(b"}\n");
                }
                ResultFormat::Csv => {
                    self.separated(&mut out, |column, out| column.push_csv(row, out));
                    out.push(b'\n');
                }
            }
        }
        out
    }

    fn separated(&self, out: &mut Vec<u8>, mut push: impl FnMut(&Column, &mut Vec<u8>)) {
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push(column, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, DictionaryArray, Float32Array, Int32Array, TimestampSecondArray};
    use arrow::datatypes::{Int32Type, Schema};

    use super::*;

    fn output(columns: Vec<(&str, ArrayRef)>) -> QueryOutput {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        QueryOutput { schema: batch.schema(), batches: vec![batch], rows_affected: None, route: Route::Vectorized }
    }

    fn rendered(output: &QueryOutput, format: ResultFormat) -> String {
        String::from_utf8(chunks(output.clone(), format, 1.5).flatten().collect()).unwrap()
    }

    fn json(output: &QueryOutput) -> serde_json::Value {
        serde_json::from_str(&rendered(output, ResultFormat::Json)).unwrap()
    }

    #[test]
    fn every_type_has_a_form_in_json_and_csv() {
        let time: ArrayRef =
            Arc::new(TimestampNanosecondArray::from(vec![Some(1_700_000_000_123_000_000), Some(i64::MIN)]));
        let tag: ArrayRef = Arc::new([Some("a,\"b\""), None].into_iter().collect::<DictionaryArray<Int32Type>>());
        let decimal = Decimal128Array::from(vec![Some(12_345), None]).with_precision_and_scale(10, 2).unwrap();
        let output = output(vec![
            ("time", time),
            ("host", tag),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("small", Arc::new(Int32Array::from(vec![Some(-7), None]))),
            ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
            ("text", Arc::new(StringArray::from(vec![Some(""), None]))),
            ("decimal", Arc::new(decimal)),
            ("half", Arc::new(Float32Array::from(vec![Some(0.5), None]))),
            ("later", Arc::new(TimestampSecondArray::from(vec![Some(0), None]))),
        ]);
        let json = json(&output);
        let types: Vec<_> = json["columns"].as_array().unwrap().iter().map(|column| column["type"].clone()).collect();
        assert_eq!(types[..3], ["Timestamp(ns)", "Utf8", "Boolean"]);
        assert_eq!(
            json["rows"],
            serde_json::json!([
                ["2023-11-14T22:13:20.123Z", "a,\"b\"", true, -7, "00ff", "", "123.45", 0.5, "1970-01-01T00:00:00Z"],
                ["1677-09-21T00:12:43.145224192Z", null, null, null, null, null, null, null, null],
            ])
        );
        assert_eq!((&json["row_count"], &json["elapsed_ms"]), (&2.into(), &1.5.into()));
        assert_eq!(json["route"], "vectorized");
        assert_eq!(
            rendered(&output, ResultFormat::Csv),
            "time,host,flag,small,bytes,text,decimal,half,later\n\
             2023-11-14T22:13:20.123Z,\"a,\"\"b\"\"\",true,-7,00ff,\"\",123.45,0.5,1970-01-01T00:00:00Z\n\
             1677-09-21T00:12:43.145224192Z,,,,,,,,\n"
        );
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_strings() {
        let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::from_bits(0x7ff0_0000_0000_0002), 1e300];
        let integers = [i64::MAX, i64::MIN, (1 << 53) - 1, 1 << 53, -(1 << 53), 0];
        let unsigned = [u64::MAX, 1 << 53, (1 << 53) - 1, 0, 1, 2];
        let output = output(vec![
            ("f", Arc::new(Float64Array::from(floats.to_vec())) as ArrayRef),
            ("i", Arc::new(Int64Array::from(integers.to_vec()))),
            ("u", Arc::new(UInt64Array::from(unsigned.to_vec()))),
        ]);
        assert_eq!(
            json(&output)["rows"],
            serde_json::json!([
                ["NaN", "9223372036854775807", "18446744073709551615"],
                ["Infinity", "-9223372036854775808", "9007199254740992"],
                ["-Infinity", 9_007_199_254_740_991_i64, 9_007_199_254_740_991_i64],
                [-0.0, "9007199254740992", 0],
                ["NaN", "-9007199254740992", 1],
                [1e300, 0, 2],
            ])
        );
        let csv = rendered(&output, ResultFormat::Csv);
        assert_eq!(csv.lines().nth(1).unwrap(), "NaN,9223372036854775807,18446744073709551615");
        assert_eq!(csv.lines().nth(4).unwrap(), "-0.0,9007199254740992,0");
    }

    #[test]
    fn chunks_of_many_batches_are_one_document() {
        let batch = |start: i64| {
            let values: ArrayRef = Arc::new(Int64Array::from_iter_values(start..start + 1500));
            RecordBatch::try_from_iter([("n", values)]).unwrap()
        };
        let batches = vec![batch(0), batch(0).slice(0, 0), batch(1500)];
        let output =
            QueryOutput { schema: batches[0].schema(), batches, rows_affected: Some(3), route: Route::DataFusion };
        assert!(chunks(output.clone(), ResultFormat::Json, 0.0).count() > 4);
        let json = json(&output);
        let rows = json["rows"].as_array().unwrap();
        assert_eq!((rows.len(), &json["row_count"], &json["rows_affected"]), (3000, &3000.into(), &3.into()));
        assert!(rows.iter().enumerate().all(|(index, row)| row[0] == index));
        let lines = rendered(&output, ResultFormat::NdJson);
        assert_eq!(lines.lines().count(), 3000);
        assert_eq!(lines.lines().last(), Some("{\"n\":2999}"));
        assert_eq!(rendered(&output, ResultFormat::Csv).lines().count(), 3001);
    }

    #[test]
    fn a_result_without_columns_or_rows_is_still_a_document() {
        let schema: SchemaRef = Arc::new(Schema::empty());
        let output = QueryOutput { schema, batches: Vec::new(), rows_affected: Some(2), route: Route::Statement };
        assert_eq!(json(&output)["rows_affected"], 2);
        assert_eq!(json(&output)["rows"], serde_json::json!([]));
        assert_eq!(rendered(&output, ResultFormat::Csv), "");
        assert_eq!(rendered(&output, ResultFormat::NdJson), "");
    }
}
