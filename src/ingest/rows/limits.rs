//! The bounds of a request of rows, each checked before the memory that it bounds is allocated.

/// Bounds of one request of rows.
#[derive(Debug, Clone)]
pub struct RowLimits {
    /// Bytes of the body as it came over the wire.
    pub body_bytes_max: usize,
    /// Bytes of the body after decompression.
    pub decoded_bytes_max: usize,
    /// Rows of a request.
    pub rows_max: usize,
    /// Tables that the rows of a request are for.
    pub tables_max: usize,
    /// Columns that a request brings to the tables of its writer, beside those that are known from earlier requests.
    pub columns_max: usize,
    /// Rows times columns, added up over the tables of a request: a column takes memory in each row of its table, also
    /// where it is absent, so bytes alone do not bound it.
    pub cells_max: usize,
    /// Tags of one row.
    pub tags_max: usize,
    /// Fields of one table; more are not added to it.
    pub fields_max: usize,
    /// Bytes of the name of a table or column.
    pub name_bytes_max: usize,
    /// Bytes of the value of a tag.
    pub tag_value_bytes_max: usize,
    /// Bytes of all tags of a row.
    pub tag_bytes_max: usize,
    /// Bytes of one line of an events request, and of a text in it.
    pub line_bytes_max: usize,
}

impl Default for RowLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            decoded_bytes_max: 32 << 20,
            rows_max: 500_000,
            tables_max: 10_000,
            columns_max: 100_000,
            cells_max: 16 << 20,
            tags_max: 40,
            fields_max: 1_024,
            name_bytes_max: 256,
            tag_value_bytes_max: 4 << 10,
            tag_bytes_max: 16 << 10,
            line_bytes_max: 1 << 20,
        }
    }
}
