//! What a table is made of: the time column, tags, fields and options.
//!
//! A column keeps its [`ColumnId`] for life. Tags are only ever added at the end, so series keys stay comparable.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{ColumnId, TableId, TierPolicy, TimeRange};
use crate::error::{Error, Result};

/// The type of a field column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// 64-bit float, kept bit for bit.
    F64,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 64-bit integer.
    U64,
    /// Boolean.
    Bool,
    /// UTF-8 text.
    String,
    /// Bytes.
    Binary,
}

impl FieldType {
    /// The Arrow type of the column in results.
    pub fn arrow_type(self) -> DataType {
        match self {
            Self::F64 => DataType::Float64,
            Self::I64 => DataType::Int64,
            Self::U64 => DataType::UInt64,
            Self::Bool => DataType::Boolean,
            Self::String => DataType::Utf8,
            Self::Binary => DataType::Binary,
        }
    }

    /// The type of a column of this Arrow type.
    pub fn of_arrow(data_type: &DataType) -> Option<Self> {
        let all = [Self::F64, Self::I64, Self::U64, Self::Bool, Self::String, Self::Binary];
        all.into_iter().find(|field_type| field_type.arrow_type() == *data_type)
    }

    /// The code of the type in files.
    pub fn code(self) -> u8 {
        match self {
            Self::F64 => 1,
            Self::I64 => 2,
            Self::U64 => 3,
            Self::Bool => 4,
            Self::String => 5,
            Self::Binary => 6,
        }
    }

    /// Whether a column of this type may become one of type `to`: every value keeps its meaning (integers beyond 2^53
    /// lose precision as floats), and old values are cast when they are read.
    pub fn can_widen_to(self, to: Self) -> bool {
        matches!(
            (self, to),
            (Self::Bool, Self::I64 | Self::F64) | (Self::I64 | Self::U64, Self::F64) | (Self::String, Self::Binary)
        )
    }

    /// The type of a code in a file.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::F64, Self::I64, Self::U64, Self::Bool, Self::String, Self::Binary].into_iter().find(|t| t.code() == code)
    }
}

/// What happens to rows of equal identity (tags, time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dedup {
    /// The later commit wins, field by field; a NULL field keeps the older value.
    #[default]
    Last,
    /// The earliest row stays, whole.
    First,
    /// Every row stays.
    Off,
}

/// What a schemaless protocol may do to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaMode {
    /// Unknown columns are added by the first write that carries them.
    #[default]
    Evolving,
    /// Unknown columns are refused.
    Strict,
}

/// Options of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// The rule for duplicates.
    pub dedup: Dedup,
    /// The rule for unknown columns.
    pub schema_mode: SchemaMode,
    /// Width of a partition.
    pub partition_ns: i64,
    /// Rows older than this are dropped; `None` keeps them for ever.
    pub retention_ns: Option<i64>,
    /// When its partitions move between tiers, as far as the table itself says.
    pub tiers: TierPolicy,
}

impl TableOptions {
    /// Times of rows that have not expired at `now_ns`.
    pub(crate) fn unexpired(&self, now_ns: i64) -> TimeRange {
        let cutoff_ns = self.retention_ns.and_then(|retention_ns| now_ns.checked_sub(retention_ns));
        TimeRange { start_ns: cutoff_ns.unwrap_or(i64::MIN), end_ns: i64::MAX }
    }
}

impl Default for TableOptions {
    fn default() -> Self {
        const DAY_NS: i64 = 86_400_000_000_000;
        Self {
            dedup: Dedup::Last,
            schema_mode: SchemaMode::Evolving,
            partition_ns: DAY_NS,
            retention_ns: None,
            tiers: TierPolicy::default(),
        }
    }
}

/// The time column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeColumn {
    /// Identity for life.
    pub id: ColumnId,
    /// Current name.
    pub name: String,
}

/// A tag column: UTF-8 text or NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagColumn {
    /// Identity for life.
    pub id: ColumnId,
    /// Current name.
    pub name: String,
}

/// A field column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldColumn {
    /// Identity for life.
    pub id: ColumnId,
    /// Current name.
    pub name: String,
    /// Type of its values.
    pub field_type: FieldType,
}

/// A table as its creator declares it, before it has ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Namespace, `public` unless said otherwise.
    pub namespace: String,
    /// Table name, unique in its namespace, any UTF-8 text.
    pub name: String,
    /// Name of the time column.
    pub time: String,
    /// Names of the tags; their order is the sort order of series.
    pub tags: Vec<String>,
    /// Names and types of the fields.
    pub fields: Vec<(String, FieldType)>,
    /// Options.
    pub options: TableOptions,
}

impl TableSpec {
    /// A table in the namespace `public` with a time column `time` and nothing else yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            namespace: "public".into(),
            name: name.into(),
            time: "time".into(),
            tags: Vec::new(),
            fields: Vec::new(),
            options: TableOptions::default(),
        }
    }

    /// Names the time column.
    #[must_use]
    pub fn time(mut self, name: impl Into<String>) -> Self {
        self.time = name.into();
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>) -> Self {
        self.tags.push(name.into());
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, field_type: FieldType) -> Self {
        self.fields.push((name.into(), field_type));
        self
    }

    /// Sets the options.
    #[must_use]
    pub fn options(mut self, options: TableOptions) -> Self {
        self.options = options;
        self
    }
}

/// A table as the manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Identity for life.
    pub id: TableId,
    /// Namespace.
    pub namespace: String,
    /// Name within the namespace.
    pub name: String,
    /// The time column.
    pub time: TimeColumn,
    /// Tags in key order.
    pub tags: Vec<TagColumn>,
    /// Fields in declaration order.
    pub fields: Vec<FieldColumn>,
    /// Options.
    pub options: TableOptions,
    /// Grows by one with each change of the table.
    pub version: u32,
    /// The id that the next new column gets.
    pub next_column_id: ColumnId,
}

impl TableSchema {
    /// Gives ids to a declaration.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or repeated name, or a partition width below one.
    pub fn from_spec(id: TableId, spec: &TableSpec) -> Result<Self> {
        if spec.name.is_empty() || spec.namespace.is_empty() {
            return Err(Error::invalid("a table and its namespace need a name of at least one character"));
        }
        if spec.options.partition_ns < 1 {
            return Err(Error::invalid("the width of a partition must be positive"));
        }
        if spec.options.retention_ns.is_some_and(|retention_ns| retention_ns < 1) {
            return Err(Error::invalid("the retention of a table must be positive"));
        }
        spec.options.tiers.check()?;
        let mut schema = Self {
            id,
            namespace: spec.namespace.clone(),
            name: spec.name.clone(),
            time: TimeColumn { id: ColumnId(0), name: spec.time.clone() },
            tags: Vec::with_capacity(spec.tags.len()),
            fields: Vec::with_capacity(spec.fields.len()),
            options: spec.options.clone(),
            version: 1,
            next_column_id: ColumnId(1),
        };
        if spec.time.is_empty() {
            return Err(Error::invalid(format!("table '{}' needs a name for its time column", spec.name)));
        }
        for tag in &spec.tags {
            schema.add_tag(tag)?;
        }
        for (name, field_type) in &spec.fields {
            schema.add_field(name, *field_type)?;
        }
        schema.version = 1;
        Ok(schema)
    }

    /// Adds a tag at the end.
    ///
    /// # Errors
    /// `InvalidInput` when the name is empty or taken.
    pub fn add_tag(&mut self, name: &str) -> Result<ColumnId> {
        let id = self.new_column(name)?;
        self.tags.push(TagColumn { id, name: name.to_owned() });
        Ok(id)
    }

    /// Adds a field at the end.
    ///
    /// # Errors
    /// `InvalidInput` when the name is empty or taken.
    pub fn add_field(&mut self, name: &str, field_type: FieldType) -> Result<ColumnId> {
        let id = self.new_column(name)?;
        self.fields.push(FieldColumn { id, name: name.to_owned(), field_type });
        Ok(id)
    }

    fn new_column(&mut self, name: &str) -> Result<ColumnId> {
        if name.is_empty() {
            return Err(Error::invalid(format!("a column of table '{}' needs a name", self.name)));
        }
        if self.column_exists(name) {
            return Err(Error::invalid(format!("table '{}' has two columns named '{name}'", self.name)));
        }
        let id = self.next_column_id;
        self.next_column_id = id.next();
        self.version += 1;
        Ok(id)
    }

    /// Whether a column has this name.
    pub fn column_exists(&self, name: &str) -> bool {
        self.time.name == name || self.tag_index(name).is_some() || self.field_index(name).is_some()
    }

    /// Position of a tag in `tags`.
    pub fn tag_index(&self, name: &str) -> Option<usize> {
        self.tags.iter().position(|tag| tag.name == name)
    }

    /// Position of a field in `fields`.
    pub fn field_index(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// Position of a field in `fields` by id.
    pub fn field_index_by_id(&self, id: ColumnId) -> Option<usize> {
        self.fields.iter().position(|field| field.id == id)
    }

    /// Whether a column had this id and was dropped.
    pub fn is_dropped(&self, id: ColumnId) -> bool {
        let is_there = self.time.id == id
            || self.tags.iter().any(|tag| tag.id == id)
            || self.fields.iter().any(|field| field.id == id);
        id < self.next_column_id && !is_there
    }

    /// The Arrow type of the time column.
    pub fn time_type() -> DataType {
        DataType::Timestamp(TimeUnit::Nanosecond, None)
    }

    /// The Arrow type of a tag column.
    pub fn tag_type() -> DataType {
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
    }

    /// The table as an Arrow schema: time, tags, fields.
    pub fn arrow_schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new(&self.time.name, Self::time_type(), false)];
        fields.extend(self.tags.iter().map(|tag| Field::new(&tag.name, Self::tag_type(), true)));
        fields.extend(self.fields.iter().map(|field| Field::new(&field.name, field.field_type.arrow_type(), true)));
        Arc::new(Schema::new(fields))
    }
}
