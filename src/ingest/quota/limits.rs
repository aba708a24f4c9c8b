//! The bounds of a tenant, what it means to be over one of them, and who counts its series.

use std::time::Duration;

use lynxstore_storage::types::TableId;

/// Bounds of a tenant; 0 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLimits {
    /// Samples per second, over ten seconds; rows, exemplars and metadata count as samples.
    pub samples_per_second: u64,
    /// Series that begin, per minute.
    pub new_series_per_minute: u64,
    /// Series of one table.
    pub series_per_table: u64,
    /// Series of all tables.
    pub series: u64,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self { samples_per_second: 0, new_series_per_minute: 50_000, series_per_table: 1_000_000, series: 5_000_000 }
    }
}

/// A rate is used up; there is room after the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tenant may bring {limit} samples per second: send again in {} s, or ask for more", retry_after.as_secs() + 1)]
pub struct RateExceeded {
    /// The bound.
    pub limit: u64,
    /// When it is worth coming back.
    pub retry_after: Duration,
}

/// Why a series may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesRefusal {
    /// Too many began in this minute; later it may.
    Rate,
    /// The table, or the tenant, has as many as it may.
    Count,
}

impl SeriesRefusal {
    /// The bound in words.
    pub fn why(self) -> &'static str {
        match self {
            Self::Rate => "too many series began in this minute",
            Self::Count => "the table or the tenant has as many series as it may",
        }
    }
}

/// About how many series there are, counted anew.
pub trait SeriesCount {
    /// Series of a table; `None` when there is no such table any more.
    fn series_count(&self, table: TableId) -> Option<u64>;

    /// Series of all tables of a namespace.
    fn series_total(&self, namespace: &str) -> u64;
}
