//! What a scan has read, for those who ask how a query was answered.

/// Counts of a scan since it was made. A scan belongs to one thread; whoever runs several adds them up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanCounters {
    /// Series opened.
    pub series: u64,
    /// Rows of all blocks.
    pub rows: u64,
    /// Of `rows` those that came from memory, or were merged from several sources.
    pub rows_from_memory: u64,
    /// Vectors of fields behind the blocks that came from segments, decoded or not.
    pub vectors: u64,
    /// Vectors of fields whose values were decoded.
    pub vectors_decoded: u64,
    /// Vectors of times that were decoded.
    pub time_vectors_decoded: u64,
    /// Encoded bytes of the decoded vectors of fields.
    pub bytes_decoded: u64,
    /// Rollup rows served in place of rows.
    pub rollups: u64,
}

impl std::ops::AddAssign for ScanCounters {
    fn add_assign(&mut self, other: Self) {
        self.series += other.series;
        self.rows += other.rows;
        self.rows_from_memory += other.rows_from_memory;
        self.vectors += other.vectors;
        self.vectors_decoded += other.vectors_decoded;
        self.time_vectors_decoded += other.time_vectors_decoded;
        self.bytes_decoded += other.bytes_decoded;
        self.rollups += other.rollups;
    }
}
