//! The tiers between which partitions move as they age.

/// Where a segment keeps its rows, and in which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Tier {
    /// Local segments with light encodings: the fastest to read.
    #[default]
    Hot,
    /// Local segments with entropy coding: the smallest that is still read in place.
    Warm,
    /// Parquet files on an object store; directory, zone maps and rollups stay in a local segment.
    Cold,
}

impl Tier {
    /// All of them, from the youngest rows to the oldest.
    pub const ALL: [Self; 3] = [Self::Hot, Self::Warm, Self::Cold];

    /// The name in SQL, in system tables and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }

    /// The tier of a name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name().eq_ignore_ascii_case(name))
    }

    /// The code in files.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Hot => 0,
            Self::Warm => 1,
            Self::Cold => 2,
        }
    }

    /// The tier of a code in a file.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.code() == code)
    }
}
