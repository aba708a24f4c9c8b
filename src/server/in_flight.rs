//! Bytes that are held for others: a bound that many share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one permit.
const PERMIT_BYTES: usize = 1 << 10;

/// A bound on bytes, of which each takes its share and gives it back by dropping it.
#[derive(Debug)]
pub(super) struct InFlight {
    permits: Arc<Semaphore>,
    bytes_max: usize,
}

/// Bytes that were taken.
#[derive(Debug, Default)]
pub(super) struct Share(Option<OwnedSemaphorePermit>);

impl InFlight {
    pub(super) fn new(bytes_max: usize) -> Self {
        let permits = (bytes_max / PERMIT_BYTES).min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Self { permits: Arc::new(Semaphore::new(permits)), bytes_max: permits * PERMIT_BYTES }
    }

    /// Grows a share to so many bytes; `false` when they are not free, then it stays as it was. A share never shrinks.
    pub(super) fn grow(&self, share: &mut Share, bytes: usize) -> bool {
        let held = share.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(more) = u32::try_from(bytes.div_ceil(PERMIT_BYTES).saturating_sub(held)) else { return false };
        let Ok(permits) = Arc::clone(&self.permits).try_acquire_many_owned(more) else { return false };
        match &mut share.0 {
            Some(held) => held.merge(permits),
            held => *held = Some(permits),
        }
        true
    }

    /// The bound.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes that are taken now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes_max - self.permits.available_permits() * PERMIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_up_to_the_bound_and_come_back() {
        let in_flight = InFlight::new(4 << 10);
        let (mut one, mut other) = (Share::default(), Share::default());
        assert!(in_flight.grow(&mut one, 3 << 10));
        assert!(in_flight.grow(&mut one, 1 << 10), "a share that is large enough");
        assert!(!in_flight.grow(&mut other, (1 << 10) + 1));
        assert!(in_flight.grow(&mut other, 1 << 10));
        assert_eq!(in_flight.bytes(), 4 << 10);
        assert!(!in_flight.grow(&mut one, 4 << 10));
        drop(other);
        assert!(in_flight.grow(&mut one, 4 << 10));
        drop(one);
        assert_eq!(in_flight.bytes(), 0);
        assert!(!InFlight::new(1 << 10).grow(&mut Share::default(), usize::MAX));
    }
}
