//! The summary of one group.

use arrow::datatypes::DataType;

use super::cardinality::Cardinality;
use super::distinct::DistinctKeys;
use super::extreme_row::{ExtremeKind, ExtremeRow};
use super::key::KeyKind;
use super::multiset::Multiset;
use super::pair_moments::PairMoments;
use super::series_fold::{FoldKind, SeriesFold};
use super::sketch::Sketch;
use super::texts::Texts;
use crate::plan::{HistogramShape, SummaryFunction};

/// What a group remembers; functions of the same kind share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SummaryKind {
    /// The different values.
    Distinct,
    /// About how many there are.
    Cardinality,
    /// All values.
    Values,
    /// About where values lie.
    Sketch,
    /// Counts in equal buckets.
    Histogram(HistogramShape),
    /// Moments of pairs.
    Pairs,
    /// The row in which another value is least or greatest.
    Extreme(ExtremeKind),
    /// Values of series in the order of time; `irate` needs each row of a counter.
    Fold { kind: FoldKind, needs_rows: bool },
}

impl SummaryKind {
    /// What a function needs.
    pub(crate) fn of(function: SummaryFunction) -> Self {
        use SummaryFunction as F;
        match function {
            F::CountDistinct => Self::Distinct,
            F::ApproxDistinct => Self::Cardinality,
            F::PercentileCont(_) | F::PercentileDisc(_) | F::Mode => Self::Values,
            F::ApproxPercentile(_) => Self::Sketch,
            F::Histogram(shape) => Self::Histogram(shape),
            F::Corr | F::CovarSamp | F::CovarPop => Self::Pairs,
            F::MinBy => Self::Extreme(ExtremeKind::Min),
            F::MaxBy => Self::Extreme(ExtremeKind::Max),
            F::Increase | F::Rate | F::Delta => Self::Fold { kind: FoldKind::Counter, needs_rows: false },
            F::Irate => Self::Fold { kind: FoldKind::Counter, needs_rows: true },
            F::TimeWeight(method) => Self::Fold { kind: FoldKind::Weighted(method), needs_rows: true },
        }
    }

    /// Whether rows come series by series in the order of time.
    pub(crate) fn is_by_series(self) -> bool {
        matches!(self, Self::Fold { .. })
    }
}

/// The summary of one group.
#[derive(Debug, Clone)]
pub(crate) enum Summary {
    Distinct(DistinctKeys),
    Texts(Texts),
    Cardinality(Cardinality),
    Values(Multiset),
    Sketch(Sketch),
    /// Counts, the outer ones first and last; empty before the first value.
    Histogram(Vec<u64>),
    Pairs(Box<PairMoments>),
    Extreme(Option<Box<ExtremeRow>>),
    Fold(Option<Box<SeriesFold>>),
}

impl Summary {
    /// The summary of no row over a first argument of type `data_type`.
    pub(crate) fn new(kind: SummaryKind, data_type: &DataType) -> Self {
        let is_text = matches!(data_type, DataType::Utf8 | DataType::Binary);
        match kind {
            SummaryKind::Distinct | SummaryKind::Values if is_text => Self::Texts(Texts::default()),
            SummaryKind::Distinct => Self::Distinct(DistinctKeys::default()),
            SummaryKind::Values => Self::Values(Multiset::default()),
            SummaryKind::Cardinality => Self::Cardinality(Cardinality::default()),
            SummaryKind::Sketch => Self::Sketch(Sketch::default()),
            SummaryKind::Histogram(_) => Self::Histogram(Vec::new()),
            SummaryKind::Pairs => Self::Pairs(Box::default()),
            SummaryKind::Extreme(_) => Self::Extreme(None),
            SummaryKind::Fold { .. } => Self::Fold(None),
        }
    }

    /// Adds the rows of another summary of the same kind.
    pub(crate) fn merge(&mut self, other: &Self, kind: SummaryKind, keys: KeyKind) {
        match (self, other) {
            (Self::Distinct(mine), Self::Distinct(other)) => mine.merge(other),
            (Self::Texts(mine), Self::Texts(other)) => mine.merge(other),
            (Self::Cardinality(mine), Self::Cardinality(other)) => mine.merge(other),
            (Self::Values(mine), Self::Values(other)) => mine.merge(other),
            (Self::Sketch(mine), Self::Sketch(other)) => mine.merge(other, keys),
            (Self::Histogram(mine), Self::Histogram(other)) => {
                if mine.len() < other.len() {
                    mine.resize(other.len(), 0);
                }
                mine.iter_mut().zip(other).for_each(|(count, more)| *count += more);
            }
            (Self::Pairs(mine), Self::Pairs(other)) => mine.merge(other),
            (Self::Extreme(mine), Self::Extreme(Some(other))) => {
                if let SummaryKind::Extreme(kind) = kind {
                    kind.offer(mine, (**other).clone());
                }
            }
            (Self::Fold(mine), Self::Fold(Some(other))) => {
                if let SummaryKind::Fold { kind, .. } = kind {
                    mine.get_or_insert_default().merge(other, kind);
                }
            }
            // Of one kind and type there is one variant; what is left are groups without rows.
            _ => {}
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Distinct(keys) => keys.heap_bytes(),
            Self::Texts(texts) => texts.heap_bytes(),
            Self::Cardinality(cardinality) => cardinality.heap_bytes(),
            Self::Values(keys) => keys.heap_bytes(),
            Self::Sketch(sketch) => sketch.heap_bytes(),
            Self::Histogram(counts) => counts.capacity() * size_of::<u64>(),
            Self::Pairs(_) => size_of::<PairMoments>(),
            Self::Extreme(row) => row.as_ref().map_or(0, |row| row.heap_bytes()),
            Self::Fold(fold) => fold.as_ref().map_or(0, |_| size_of::<SeriesFold>()),
        }
    }
}

impl HistogramShape {
    /// Number of counts of a histogram.
    pub(crate) fn len(self) -> usize {
        self.buckets as usize + 2
    }

    /// Where a value is counted: 0 below the lower bound, the last place from the upper one on, NaN there too.
    pub(crate) fn place(self, value: f64) -> usize {
        let (low, high, buckets) = (self.low.get(), self.high.get(), self.buckets as usize);
        if value < low {
            return 0;
        }
        if value < high {
            // Rounding must not lift a value that is below the upper bound beyond it.
            let place = (value - low) / (high - low) * buckets as f64;
            return (place as usize).min(buckets - 1) + 1;
        }
        buckets + 1
    }
}
