//! Which partitions are being rewritten.
//!
//! Compactions and moves run side by side, each with inputs of its own: a partition that one of them rewrites is left
//! alone by the other, for one of the two would have worked for nothing. Any thread may claim and look.

use std::collections::BTreeSet;

use parking_lot::{Condvar, Mutex};

use super::strategy::PartitionKey;

/// The partitions that are being rewritten.
#[derive(Debug, Default)]
pub(in crate::engine) struct PartitionClaims {
    claimed: Mutex<BTreeSet<PartitionKey>>,
    given_up: Condvar,
}

/// Keeps a partition claimed until it is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    claims: &'a PartitionClaims,
    key: PartitionKey,
}

impl PartitionClaims {
    pub(super) fn contains(&self, key: PartitionKey) -> bool {
        self.claimed.lock().contains(&key)
    }

    /// `None` when another rewrites it.
    pub(super) fn claim(&self, key: PartitionKey) -> Option<Claim<'_>> {
        self.claimed.lock().insert(key).then_some(Claim { claims: self, key })
    }

    /// Waits until nobody rewrites it. Not under the lock of the manifest, which whoever rewrites it needs.
    pub(super) fn claim_when_free(&self, key: PartitionKey) -> Claim<'_> {
        let mut claimed = self.claimed.lock();
        self.given_up.wait_while(&mut claimed, |claimed| claimed.contains(&key));
        claimed.insert(key);
        Claim { claims: self, key }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims.claimed.lock().remove(&self.key);
        self.claims.given_up.notify_all();
    }
}
