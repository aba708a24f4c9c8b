//! What a request takes of the quota of its tenant: what it wrote, and nothing else.

use std::sync::Arc;

use lynxstore_storage::Error;

use super::tests::{Message, compress};
use super::writer_tests::MemoryStore;
use super::*;
use crate::ingest::Store;
use crate::ingest::quota::{IngestQuota, TenantLimits};
use lynxstore_storage::types::{FieldType, TableSpec};

const NONE: TenantLimits =
    TenantLimits { samples_per_second: 0, new_series_per_minute: 0, series_per_table: 0, series: 0 };

struct Fixture {
    store: Arc<MemoryStore>,
    quota: Arc<IngestQuota>,
    writer: RemoteWriter<Arc<MemoryStore>>,
}

impl Fixture {
    fn new(limits: TenantLimits) -> Self {
        let (store, quota) = (Arc::new(MemoryStore::default()), IngestQuota::new("public", limits));
        let writer = RemoteWriter::new(Arc::clone(&store), "public", Limits::default(), 64 << 20);
        Self { writer: writer.with_quota(Arc::clone(&quota)), store, quota }
    }

    fn try_write(&self, series: impl IntoIterator<Item = Message>) -> Result<WriteOutcome, WriteError> {
        let request = series.into_iter().fold(Message::default(), |request, series| request.message(1, series));
        self.writer.write(&compress(&request), Version::V1, 1_000)
    }

    fn write(&self, series: impl IntoIterator<Item = Message>) -> WriteOutcome {
        self.try_write(series).unwrap()
    }

    /// Writes a series of which nothing is left out.
    fn write_good(&self, host: &str) {
        let outcome = self.write([series(host).sample(1.0, 1)]);
        assert!(outcome.rejected.is_empty(), "{}", outcome.rejected);
    }
}

fn series(host: &str) -> Message {
    Message::default().label("__name__", "up").label("host", host)
}

fn exemplar(series: Message, time_ms: u64) -> Message {
    series.message(3, Message::default().double(2, 1.0).varint(3, time_ms))
}

fn reasons(outcome: &WriteOutcome) -> Vec<(RejectReason, u64)> {
    outcome.rejected.by_reason().collect()
}

/// Past any time that is taken.
const FUTURE_MS: i64 = 1 << 40;

#[test]
fn a_request_that_the_engine_does_not_take_costs_nothing_however_often_it_comes() {
    let fixture = Fixture::new(TenantLimits { samples_per_second: 1, new_series_per_minute: 2, ..NONE });
    let request = || [series("a").sample(1.0, 1).sample(1.0, 2).sample(1.0, 3), series("b").sample(1.0, 1)];
    for _ in 0..10 {
        fixture.store.fail_next(Error::Backpressure { used_bytes: 2, limit_bytes: 1 });
        assert!(matches!(fixture.try_write(request()), Err(WriteError::Store(_))));
    }
    assert_eq!((fixture.quota.accepted_samples(), fixture.quota.series()), (0, 0));
    assert!(fixture.write(request()).rejected.is_empty());
    assert_eq!((fixture.quota.accepted_samples(), fixture.quota.series()), (4, 2));
    assert_eq!(reasons(&fixture.write([series("c").sample(1.0, 1)])), [(RejectReason::SeriesRate, 1)]);
    assert_eq!(fixture.quota.accepted_samples(), 4, "the samples of a refused series go back");
    fixture.write([series("a").sample(1.0, 5).sample(1.0, 6).sample(1.0, 7)]);
    assert!(matches!(
        fixture.try_write([8, 9, 10, 11].map(|time_ms| series("a").sample(1.0, time_ms))),
        Err(WriteError::Rate(_))
    ));
}

#[test]
fn series_of_which_nothing_is_written_begin_nothing_and_ask_again() {
    let fixture = Fixture::new(TenantLimits { new_series_per_minute: 3, ..NONE });
    let mut declared = TableSpec::new("strict").time("time");
    declared.fields = vec![("host".into(), FieldType::F64)];
    fixture.store.ensure_tables(&[declared]).unwrap();
    for round in 0..5 {
        let conflict = Message::default().label("__name__", "strict").label("host", "x").sample(1.0, round);
        let outcome = fixture.write([conflict, series("late").sample(1.0, FUTURE_MS), series("a").sample(1.0, round)]);
        let expected = [(RejectReason::TooFarInFuture, 1), (RejectReason::SchemaConflict, 1)];
        assert_eq!(reasons(&outcome), expected, "{round}");
    }
    assert_eq!(fixture.quota.series(), 1);
    // It was let in five times and never came: it has no place yet, and the last one goes to another.
    fixture.write_good("b");
    fixture.write_good("c");
    assert_eq!(reasons(&fixture.write([series("late").sample(1.0, 1)])), [(RejectReason::SeriesRate, 1)]);
    fixture.write_good("a");
}

#[test]
fn a_series_that_a_request_names_twice_begins_once() {
    let fixture = Fixture::new(TenantLimits { new_series_per_minute: 2, ..NONE });
    let other_order = Message::default().label("host", "a").label("__name__", "up");
    fixture.write([series("a").sample(1.0, 1), series("a").sample(1.0, 2), other_order.sample(1.0, 3)]);
    assert_eq!(fixture.quota.series(), 1);
    fixture.write_good("b");
    assert_eq!(reasons(&fixture.write([series("c").sample(1.0, 1)])), [(RejectReason::SeriesRate, 1)]);
}

#[test]
fn exemplars_and_metadata_count_as_samples() {
    let metadata = |count: usize| {
        let entry = |n: usize| Message::default().varint(1, 1).bytes(2, format!("m{n}"));
        (0..count).fold(Message::default(), |request, n| request.message(3, entry(n)))
    };
    let exemplars = |count: u64| (0..count).fold(series("a"), exemplar);
    for bring in [
        &(|fixture: &Fixture, count: usize| fixture.try_write([exemplars(count as u64)]).map(drop))
            as &dyn Fn(&Fixture, usize) -> Result<(), WriteError>,
        &|fixture, count| fixture.writer.write(&compress(&metadata(count)), Version::V1, 1_000).map(drop),
    ] {
        let fixture = Fixture::new(TenantLimits { samples_per_second: 2, ..NONE });
        bring(&fixture, 19).unwrap();
        bring(&fixture, 1).unwrap();
        assert!(matches!(bring(&fixture, 5), Err(WriteError::Rate(_))));
        assert_eq!((fixture.quota.accepted_samples(), fixture.quota.refused_samples()), (20, 5));
        assert_eq!(fixture.store.row_count(), 20, "nothing of a refused request is there");
    }
}

#[test]
fn exemplars_and_metadata_begin_no_more_series_than_others() {
    let fixture = Fixture::new(TenantLimits { new_series_per_minute: 3, ..NONE });
    // Exemplars without samples, so that only the side table has series.
    let outcome = fixture.write(["a", "b", "b", "c"].map(|host| exemplar(series(host), 1)));
    assert!(outcome.rejected.is_empty());
    assert_eq!((outcome.written.exemplars, fixture.quota.series()), (4, 3));
    let outcome = fixture.write([exemplar(series("d"), 1)]);
    assert_eq!((reasons(&outcome), outcome.written.exemplars), (vec![(RejectReason::SeriesRate, 1)], 0));
    assert_eq!(fixture.store.row_count(), 4);

    let fixture = Fixture::new(TenantLimits { series: 2, ..NONE });
    let entry = |name: &str, kind| Message::default().message(3, Message::default().varint(1, kind).bytes(2, name));
    let write = |names: &[(&str, u64)]| {
        let request = names.iter().fold(Vec::new(), |all, (name, kind)| [all, entry(name, *kind).0].concat());
        fixture.writer.write(&compress(&Message(request)), Version::V1, 1_000).unwrap()
    };
    let outcome = write(&[("a", 1), ("b", 1), ("c", 1), ("a", 2)]);
    assert_eq!((reasons(&outcome), outcome.written.metadata), (vec![(RejectReason::SeriesLimit, 1)], 3));
    assert_eq!(fixture.store.row_count(), 3);
}
