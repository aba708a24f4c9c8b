//! What the values of series come to in the order of time: increases of counters and averages over time.
//!
//! Rows are added series by series, each in the order of time; groups whose series are not the same are merged. Of rows
//! of one series and time the greatest value counts, so that their order does not matter. NaN is no value: Prometheus
//! marks the end of a series with it.

use std::cmp::Ordering;

use crate::plan::{SummaryFunction, WeightMethod};

/// What is added up from one row to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoldKind {
    /// How much a counter grew; one that falls began anew at zero.
    Counter,
    /// The value times the seconds for which it holds.
    Weighted(WeightMethod),
}

/// A value with its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) time_ns: i64,
    pub(crate) value: f64,
}

/// The rows of one series so far.
#[derive(Debug, Clone, Copy)]
struct Run {
    series: u32,
    /// Different times.
    count: u64,
    first: Sample,
    /// The one before the last; meaningless while `count` is one.
    previous: Sample,
    /// Of equal times the next row may still raise it, so the step to it is not yet in `sum`.
    last: Sample,
    sum: f64,
}

/// What series that are complete come to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct FoldTotals {
    /// Series of at least two times.
    pub(crate) series: u64,
    /// Sum of what [`FoldKind`] says.
    pub(crate) sum: f64,
    /// Sum of the last values without the first ones.
    pub(crate) delta: f64,
    /// Sum of increases per second.
    pub(crate) rate: f64,
    /// Sum of increases per second between the last two rows.
    pub(crate) irate: f64,
    /// Seconds from the first to the last row of each series.
    pub(crate) seconds: f64,
}

/// The series of a group: those that are complete, and the one whose rows are being added.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SeriesFold {
    run: Option<Run>,
    totals: FoldTotals,
}

/// Seconds from one time to a later one, which may be further apart than an i64 of nanoseconds.
fn seconds_between(earlier_ns: i64, later_ns: i64) -> f64 {
    later_ns.wrapping_sub(earlier_ns).cast_unsigned() as f64 / 1e9
}

impl FoldKind {
    fn step(self, from: Sample, to: Sample) -> f64 {
        match self {
            Self::Counter if to.value >= from.value => to.value - from.value,
            Self::Counter => to.value,
            Self::Weighted(method) => {
                let seconds = seconds_between(from.time_ns, to.time_ns);
                match method {
                    WeightMethod::Locf => from.value * seconds,
                    WeightMethod::Linear => (from.value + to.value) / 2.0 * seconds,
                }
            }
        }
    }
}

impl Run {
    fn push(&mut self, sample: Sample, kind: FoldKind) {
        if sample.time_ns == self.last.time_ns {
            if sample.value.total_cmp(&self.last.value) == Ordering::Greater {
                self.last = sample;
                if self.count == 1 {
                    self.first = sample;
                }
            }
            return;
        }
        self.settle(kind);
        self.previous = self.last;
        self.last = sample;
        self.count += 1;
    }

    /// Puts the step to the last row into the sum.
    fn settle(&mut self, kind: FoldKind) {
        if self.count > 1 {
            self.sum += kind.step(self.previous, self.last);
        }
    }
}

impl FoldTotals {
    fn add_run(&mut self, mut run: Run, kind: FoldKind) {
        if run.count < 2 {
            return;
        }
        run.settle(kind);
        let seconds = seconds_between(run.first.time_ns, run.last.time_ns);
        let last_seconds = seconds_between(run.previous.time_ns, run.last.time_ns);
        self.merge(&Self {
            series: 1,
            sum: run.sum,
            delta: run.last.value - run.first.value,
            rate: run.sum / seconds,
            irate: kind.step(run.previous, run.last) / last_seconds,
            seconds,
        });
    }

    fn merge(&mut self, other: &Self) {
        self.series += other.series;
        self.sum += other.sum;
        self.delta += other.delta;
        self.rate += other.rate;
        self.irate += other.irate;
        self.seconds += other.seconds;
    }

    /// The result of a function; `None` when no series has two rows of different times.
    pub(crate) fn finish(&self, function: SummaryFunction) -> Option<f64> {
        if self.series == 0 {
            return None;
        }
        Some(match function {
            SummaryFunction::Rate => self.rate,
            SummaryFunction::Irate => self.irate,
            SummaryFunction::Delta => self.delta,
            SummaryFunction::TimeWeight(_) => self.sum / self.seconds,
            _ => self.sum,
        })
    }
}

impl SeriesFold {
    /// Adds a row of a series that does not lie before those added of it.
    pub(crate) fn push(&mut self, series: u32, sample: Sample, kind: FoldKind) {
        if sample.value.is_nan() {
            return;
        }
        match &mut self.run {
            Some(run) if run.series == series => run.push(sample, kind),
            run => {
                if let Some(run) = run.take() {
                    self.totals.add_run(run, kind);
                }
                *run = Some(Run { series, count: 1, first: sample, previous: sample, last: sample, sum: 0.0 });
            }
        }
    }

    /// Adds a stretch of rows of a counter of which only the ends and the increase between them are known. `irate` then
    /// means nothing.
    pub(crate) fn push_stretch(&mut self, series: u32, first: Sample, last: Sample, increase: f64) {
        self.push(series, first, FoldKind::Counter);
        if last.time_ns == first.time_ns {
            return;
        }
        let Some(run) = self.run.as_mut().filter(|run| run.series == series) else { return };
        run.settle(FoldKind::Counter);
        run.sum += increase;
        // A step from the last row to itself adds nothing.
        (run.previous, run.last) = (last, last);
        run.count += 1;
    }

    /// Adds the series of another group, of which this one has none.
    pub(crate) fn merge(&mut self, other: &Self, kind: FoldKind) {
        let totals = other.totals(kind);
        self.totals.merge(&totals);
    }

    /// What all series come to.
    pub(crate) fn totals(&self, kind: FoldKind) -> FoldTotals {
        let mut totals = self.totals;
        if let Some(run) = self.run {
            totals.add_run(run, kind);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(kind: FoldKind, series: &[&[(i64, f64)]]) -> FoldTotals {
        let mut fold = SeriesFold::default();
        for (number, rows) in series.iter().enumerate() {
            for (second, value) in *rows {
                fold.push(number as u32, Sample { time_ns: second * 1_000_000_000, value: *value }, kind);
            }
        }
        fold.totals(kind)
    }

    #[test]
    fn a_counter_that_falls_begins_anew_at_zero_and_series_are_added_up() {
        let totals = fold(
            FoldKind::Counter,
            &[&[(0, 10.0), (10, 15.0), (20, 3.0), (30, 4.0)], &[(0, 7.0)], &[(0, 1.0), (5, 11.0)]],
        );
        assert_eq!(totals.finish(SummaryFunction::Increase), Some(5.0 + 3.0 + 1.0 + 10.0));
        assert_eq!(totals.finish(SummaryFunction::Delta), Some(-6.0 + 10.0));
        assert_eq!(totals.finish(SummaryFunction::Rate), Some(9.0 / 30.0 + 10.0 / 5.0));
        assert_eq!(totals.finish(SummaryFunction::Irate), Some(1.0 / 10.0 + 10.0 / 5.0));
        assert_eq!(fold(FoldKind::Counter, &[&[(0, 7.0)], &[]]).finish(SummaryFunction::Increase), None);
    }

    #[test]
    fn of_equal_times_the_greatest_value_counts_and_nan_is_no_value() {
        let clean: &[(i64, f64)] = &[(0, 5.0), (1, 9.0), (2, 12.0)];
        for rows in [
            &[(0, 5.0), (0, 1.0), (1, 9.0), (2, 12.0), (2, 2.0)][..],
            &[(0, 1.0), (0, 5.0), (1, f64::NAN), (1, 9.0), (2, 2.0), (2, 12.0), (3, f64::NAN)][..],
        ] {
            assert_eq!(fold(FoldKind::Counter, &[rows]), fold(FoldKind::Counter, &[clean]));
        }
    }

    #[test]
    fn averages_over_time_weigh_values_by_how_long_they_hold() {
        let rows: &[(i64, f64)] = &[(0, 10.0), (30, 20.0), (40, 0.0)];
        let function = SummaryFunction::TimeWeight(WeightMethod::Locf);
        let of = |method, series: &[&[(i64, f64)]]| fold(FoldKind::Weighted(method), series).finish(function);
        assert_eq!(of(WeightMethod::Locf, &[rows]), Some((300.0 + 200.0) / 40.0));
        assert_eq!(of(WeightMethod::Linear, &[rows]), Some((450.0 + 100.0) / 40.0));
        assert_eq!(of(WeightMethod::Locf, &[rows, &[(0, 1.0), (60, 5.0)]]), Some((500.0 + 60.0) / 100.0));
    }

    #[test]
    fn stretches_add_what_their_rows_would() {
        let rows: Vec<(i64, f64)> = (0..40).map(|i| (i, [3.0, 5.0, 9.0, 2.0, 4.0, 4.0, 8.0][i as usize % 7])).collect();
        let whole = fold(FoldKind::Counter, &[&rows]);
        let mut stretches = SeriesFold::default();
        for part in rows.chunks(9) {
            let inside = fold(FoldKind::Counter, &[part]);
            let sample = |(second, value): (i64, f64)| Sample { time_ns: second * 1_000_000_000, value };
            stretches.push_stretch(0, sample(part[0]), sample(part[part.len() - 1]), inside.sum);
        }
        let stretches = stretches.totals(FoldKind::Counter);
        assert_eq!((stretches.sum, stretches.delta, stretches.rate), (whole.sum, whole.delta, whole.rate));
    }
}
