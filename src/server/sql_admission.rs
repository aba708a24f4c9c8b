//! Rows of statements are held to what holds for rows that are pushed: the room on the disk and the quota of the tenant.

use std::sync::Arc;

use lynxstore_query::{AdmittedWrite, RefusalKind, WriteAdmission, WriteRefusal};
use lynxstore_storage::engine::Engine;
use lynxstore_storage::types::SeriesBatch;

use super::disk::Disk;
use super::remote_write::SERIES_RETRY;
use crate::ingest::quota::{IngestQuota, SeriesRefusal};
use crate::ingest::write_reservation::{WriteRefused, WriteReservation};

/// What the statements of a tenant ask.
#[derive(Debug)]
pub(super) struct SqlAdmission {
    pub(super) engine: Arc<Engine>,
    pub(super) disk: Arc<Disk>,
    pub(super) quota: Arc<IngestQuota>,
}

impl WriteAdmission for SqlAdmission {
    fn admit(&self, batches: &[SeriesBatch]) -> Result<Box<dyn AdmittedWrite>, WriteRefusal> {
        if self.disk.is_low() {
            let message = "the disk of the server is nearly full: try again later".into();
            return Err(WriteRefusal { kind: RefusalKind::Busy, message });
        }
        match WriteReservation::new(&self.quota, &self.engine, batches) {
            Ok(reservation) => Ok(Box::new(Admitted(reservation))),
            Err(refused) => Err(refusal(&refused)),
        }
    }
}

fn refusal(refused: &WriteRefused) -> WriteRefusal {
    match refused {
        WriteRefused::Rate(rate) => {
            WriteRefusal { kind: RefusalKind::OverRate { retry_after: rate.retry_after }, message: rate.to_string() }
        }
        WriteRefused::Series(refusal) => WriteRefusal {
            kind: match refusal {
                SeriesRefusal::Rate => RefusalKind::OverRate { retry_after: SERIES_RETRY },
                SeriesRefusal::Count => RefusalKind::OverLimit,
            },
            message: format!("the rows would begin new series, and {}", refusal.why()),
        },
        WriteRefused::Store(error) => WriteRefusal { kind: RefusalKind::Busy, message: error.to_string() },
    }
}

struct Admitted(WriteReservation);

impl AdmittedWrite for Admitted {
    fn written(self: Box<Self>) {
        self.0.keep();
    }
}
