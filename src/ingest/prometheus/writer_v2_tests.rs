//! The writer and version 2: metadata in series, start times, references, the clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tests::{Message, captured, compress};
use super::tests_v2::{RequestV2, and};
use super::writer_tests::{CAPTURED_BEFORE_NS, MemoryStore, bits, writer};
use super::*;

const HOUR_NS: i64 = 3_600_000_000_000;

fn write(writer: &RemoteWriter<Arc<MemoryStore>>, request: &RequestV2) -> WriteOutcome {
    writer.write(&compress(&request.message()), Version::V2, HOUR_NS).unwrap()
}

fn sample(value: f64, time_ms: i64) -> Message {
    Message::default().sample(value, time_ms)
}

fn by_reason(outcome: &WriteOutcome) -> Vec<(RejectReason, u64)> {
    outcome.rejected.by_reason().collect()
}

#[test]
fn real_bodies_are_written_whole_and_the_second_time_from_the_cache() {
    let (store, writer) = writer();
    for round in 0..2 {
        for (name, body, stats) in captured("prometheus-3.5.3-rw2") {
            let outcome = writer.write(&body, Version::V2, CAPTURED_BEFORE_NS).unwrap();
            let recorded = |key: &str| stats[key].as_u64().unwrap();
            let written = outcome.written;
            let found = [written.series, written.samples, written.histograms, written.exemplars];
            assert_eq!(found, ["series", "samples", "histograms", "exemplars"].map(recorded), "{name}, {round}");
            assert!(outcome.rejected.is_empty(), "{name}: {}", outcome.rejected);
        }
    }
    let metadata = store.rows("prometheus_metadata");
    let mut distinct: Vec<_> = metadata.iter().map(|row| (&row.0, &row.2)).collect();
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() > 100, "{}", distinct.len());
    assert_eq!(metadata.len(), distinct.len(), "what a request repeats is not written again");
}

#[test]
fn a_series_is_the_same_one_in_both_versions() {
    let (store, writer) = writer();
    let labels = [("__name__", "up"), ("job", "api")];
    write(&writer, &RequestV2::new().series(&labels, sample(1.0, 1)));
    let cached = writer.cached_series();
    let series = Message::default().label("__name__", "up").label("job", "api").sample(2.0, 2);
    writer.write(&compress(&Message::default().message(1, series)), Version::V1, HOUR_NS).unwrap();
    assert_eq!(writer.cached_series(), cached);
    let tags = vec!["job=api".to_owned()];
    assert_eq!(store.rows("up"), [(tags.clone(), 1_000_000, bits(1.0)), (tags, 2_000_000, bits(2.0))]);
}

#[test]
fn bad_references_refuse_their_series_and_nothing_else() {
    let (store, writer) = writer();
    let mut message = RequestV2::new().series(&[("__name__", "up")], sample(1.0, 1)).message();
    for references in [&[1_u8, 9][..], &[1], &[1, 2, 0, 2]] {
        message = message.message(5, and(Message::default().bytes(1, references), sample(5.0, 2)));
    }
    for _ in 0..2 {
        let outcome = writer.write(&compress(&message), Version::V2, HOUR_NS).unwrap();
        assert_eq!((outcome.written.series, outcome.written.samples), (1, 1));
        let expected = [(RejectReason::EmptyLabelName, 1), (RejectReason::InvalidReference, 2)];
        assert_eq!(by_reason(&outcome), expected);
    }
    assert!(store.rows("up").iter().all(|row| row.2 == bits(1.0)));
}

#[test]
fn start_times_are_a_column_that_comes_with_the_first_of_them() {
    let (store, writer) = writer();
    let labels = [("__name__", "requests_total")];
    write(&writer, &RequestV2::new().series(&labels, sample(1.0, 1)));
    let started = Message::default().message(2, Message::default().double(1, 2.0).varint(2, 20).varint(3, 10));
    let histogram = Message::default().varint(1, 1).double(3, 0.5).varint(6, 1).varint(15, 30).varint(17, 10);
    let request = RequestV2::new().series(&labels, and(started, Message::default().message(3, histogram)));
    for _ in 0..2 {
        let outcome = write(&writer, &request);
        assert!(outcome.rejected.is_empty());
        assert_eq!((outcome.written.samples, outcome.written.histograms), (1, 1));
    }
    let mut rows = store.rows("requests_total");
    rows.dedup();
    let starts: Vec<_> = rows.iter().map(|row| row.2.get("start_time").cloned()).collect();
    assert_eq!(starts, [None, Some("10000000".into()), Some("10000000".into())]);
}

#[test]
fn metadata_is_written_when_it_is_new_and_once_an_hour() {
    let (store, writer) = writer();
    let request = |help: &str, job: &str| {
        let mut request = RequestV2::new();
        let metadata = request.metadata(1, help, "");
        request.series(&[("__name__", "up"), ("job", job)], and(sample(1.0, 1), metadata))
    };
    let rows = || store.rows("prometheus_metadata").len();
    let at = |request: &RequestV2, arrival_ns| {
        let outcome = writer.write(&compress(&request.message()), Version::V2, arrival_ns).unwrap();
        assert_eq!(outcome.written.metadata, 1);
    };
    for job in ["a", "b", "a", "b"] {
        at(&request("one", job), HOUR_NS);
        assert_eq!(rows(), 1, "{job}");
    }
    at(&request("two", "a"), HOUR_NS + 1);
    assert_eq!(rows(), 2);
    at(&request("two", "a"), HOUR_NS + 2);
    assert_eq!(rows(), 2);
    at(&request("two", "a"), 2 * HOUR_NS);
    assert_eq!(rows(), 3);
    let tags = vec!["metric=up".to_owned()];
    let fields: BTreeMap<_, _> = [("type", "counter"), ("help", "one"), ("unit", "")]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
    assert_eq!(store.rows("prometheus_metadata")[0], (tags, HOUR_NS, fields));
}

#[test]
fn metadata_and_exemplars_need_no_samples() {
    let (store, writer) = writer();
    let mut request = RequestV2::new();
    let metadata = request.metadata(2, "A gauge.", "s");
    let exemplar = request.exemplar(&[("trace_id", "x")], 1.0, 5);
    let request = request.series(&[("__name__", "a")], metadata).series(&[("__name__", "b")], exemplar);
    let outcome = write(&writer, &request);
    assert!(outcome.rejected.is_empty());
    assert_eq!(outcome.written, Counts { series: 2, exemplars: 1, metadata: 1, ..Counts::default() });
    assert_eq!((store.rows("prometheus_metadata").len(), store.rows("prometheus_exemplars").len()), (1, 1));
}

#[test]
fn samples_of_the_future_are_refused_from_the_first_millisecond_beyond_the_bound() {
    let (_, writer) = writer();
    let latest_ms = HOUR_NS / 1_000_000 + 600_000;
    let mut request = RequestV2::new();
    let exemplar = request.exemplar(&[], 1.0, latest_ms as u64 + 1);
    let histogram = Message::default().varint(15, latest_ms as u64 + 1);
    let rest = and(sample(1.0, latest_ms - 1), and(sample(2.0, latest_ms), sample(3.0, latest_ms + 1)));
    let rest = and(rest, and(exemplar, Message::default().message(3, histogram)));
    let outcome = write(&writer, &request.series(&[("__name__", "up"), ("job", "a")], rest));
    assert_eq!(outcome.written, Counts { series: 1, samples: 2, ..Counts::default() });
    assert_eq!(by_reason(&outcome), [(RejectReason::TooFarInFuture, 3)]);
    let described = outcome.rejected.described().iter().find(|one| one.detail.contains("(value 3)")).unwrap();
    assert_eq!((described.metric.as_str(), described.labels.as_str()), ("up", "{job=\"a\"}"));
    assert_eq!(described.time_ns, Some((latest_ms + 1) * 1_000_000));
}

#[test]
fn a_series_that_stands_several_times_is_one_run_of_rows_whatever_stands_between() {
    let (store, writer) = writer();
    let labels = |job| [("__name__", "up"), ("job", job)];
    let request = (0..6).fold(RequestV2::new(), |request, time_ms| {
        request.series(&labels(["a", "b", "c"][time_ms % 3]), sample(time_ms as f64, time_ms as i64))
    });
    for round in 1..3 {
        let outcome = write(&writer, &request);
        assert!(outcome.rejected.is_empty());
        assert_eq!(store.rows("up").len(), 6 * round);
    }
}
