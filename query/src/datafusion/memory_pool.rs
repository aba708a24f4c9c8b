//! Lets DataFusion's operators draw on the account of their statement.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};

use crate::memory::MemoryAccount;

/// The account of a statement as a memory pool: who comes first is served first.
#[derive(Debug)]
pub(super) struct AccountPool {
    account: Arc<MemoryAccount>,
}

impl AccountPool {
    pub(super) fn new(account: Arc<MemoryAccount>) -> Self {
        Self { account }
    }
}

impl Display for AccountPool {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} of {} bytes)", self.name(), self.account.used_bytes(), self.account.limit_bytes())
    }
}

impl MemoryPool for AccountPool {
    fn name(&self) -> &str {
        "statement"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.account.take_unchecked(additional as u64);
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.account.give_back(shrink as u64);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        // Operators that can spill do so on this variant.
        self.account
            .take(additional as u64)
            .map_err(|error| DataFusionError::ResourcesExhausted(format!("{}: {error}", reservation.consumer().name())))
    }

    fn reserved(&self) -> usize {
        usize::try_from(self.account.used_bytes()).unwrap_or(usize::MAX)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(usize::try_from(self.account.limit_bytes()).unwrap_or(usize::MAX))
    }
}
