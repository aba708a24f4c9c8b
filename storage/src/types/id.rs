//! Identifiers as types, so that a segment id cannot stand where a table id belongs.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The id that follows this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A table for its whole life; never reused within a database.
    TableId(u64)
);
id!(
    /// A column of one table; never reused within that table, so a dropped column stays dropped.
    ColumnId(u32)
);
id!(
    /// An immutable column file.
    SegmentId(u64)
);
id!(
    /// A delete.
    TombstoneId(u64)
);
id!(
    /// A file of the write-ahead log.
    WalFileId(u64)
);
id!(
    /// Log sequence number: the position of a commit in the write-ahead log, counted in records from 1.
    Lsn(u64)
);
id!(
    /// The order in which commits became visible to readers of this process, from 1.
    CommitSeq(u64)
);
