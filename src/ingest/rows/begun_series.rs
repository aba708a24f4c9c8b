//! The series that a request is about to begin.
//!
//! What a state knows of a series lets its rows through without asking the quota, so a series that was held and not written
//! must be forgotten again: [`BegunSeries::settle`] does both at once.

use hashbrown::HashSet;

use super::known_series::SeriesIndex;
use crate::ingest::quota::SeriesReservation;

/// Series that the quota holds for a request, by their numbers in the state; none without a quota.
#[derive(Debug, Default)]
pub(super) struct BegunSeries {
    pub(super) reservation: Option<SeriesReservation>,
    /// In the order of the reservation.
    pub(super) numbers: Vec<u32>,
}

impl BegunSeries {
    /// Those with a row in what was written are there now; the state forgets the others, and the quota has them back.
    pub(super) fn settle(self, written: &HashSet<u32>, index: &mut SeriesIndex) {
        let Self { reservation, numbers } = self;
        for number in numbers.iter().filter(|number| !written.contains(*number)) {
            index.get_mut(*number).forget();
        }
        if let Some(reservation) = reservation {
            reservation.keep(|at| written.contains(&numbers[at]));
        }
    }
}
