//! The decoder against hand-built messages, real bodies, bombs and damage.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// Writes protobuf by hand.
#[derive(Default, Clone)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    fn key(mut self, number: u32, wire_type: u32) -> Self {
        push_varint(&mut self.0, u64::from(number << 3 | wire_type));
        self
    }

    pub(super) fn varint(self, number: u32, value: u64) -> Self {
        let mut message = self.key(number, 0);
        push_varint(&mut message.0, value);
        message
    }

    pub(super) fn double(self, number: u32, value: f64) -> Self {
        let mut message = self.key(number, 1);
        message.0.extend_from_slice(&value.to_bits().to_le_bytes());
        message
    }

    pub(super) fn bytes(self, number: u32, value: impl AsRef<[u8]>) -> Self {
        let mut message = self.key(number, 2);
        push_varint(&mut message.0, value.as_ref().len() as u64);
        message.0.extend_from_slice(value.as_ref());
        message
    }

    pub(super) fn message(self, number: u32, value: Message) -> Self {
        self.bytes(number, value.0)
    }

    pub(super) fn label(self, name: &str, value: &str) -> Self {
        self.message(1, Message::default().bytes(1, name).bytes(2, value))
    }

    pub(super) fn sample(self, value: f64, time_ms: i64) -> Self {
        self.message(2, Message::default().double(1, value).varint(2, time_ms as u64))
    }
}

pub(super) fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

pub(super) fn compress(message: &Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.0).unwrap()
}

/// A good series.
fn series(metric: &str) -> Message {
    Message::default().label("__name__", metric).label("job", "api").sample(1.5, 1_000)
}

fn decoded(message: &Message) -> Result<WriteRequest<'_>, DecodeError> {
    decode(&message.0, Version::V1, &Limits::default())
}

fn labels_of<'a>(series: &'a Series<'_>) -> Result<Labels<'a>, RejectReason> {
    parse_labels(&series.labels, &Limits::default()).unwrap().map_err(|fault| fault.reason)
}

#[test]
fn a_request_decodes_to_what_was_put_in() {
    let exemplar = Message::default().label("trace_id", "abc").double(2, 0.5).varint(3, 7);
    let histogram = Message::default().varint(1, 0).varint(15, 9);
    let message = Message::default()
        .message(1, series("up").sample(-0.0, -1).message(3, exemplar).message(4, histogram.clone()))
        .message(3, Message::default().varint(1, 2).bytes(2, "up").bytes(4, "help").bytes(5, "s"));
    let request = decoded(&message).unwrap();
    assert_eq!(request.series.len(), 1);
    let labels = labels_of(&request.series[0]).unwrap();
    assert_eq!((labels.metric(), labels.pairs()), (Some("up"), &[("job", "api")][..]));
    let samples: Vec<_> = request.samples.iter().map(|sample| (sample.time_ms, sample.value.to_bits())).collect();
    assert_eq!(samples, [(1_000, 1.5_f64.to_bits()), (-1, (-0.0_f64).to_bits())]);
    assert_eq!((request.histograms[0].time_ms, request.histograms[0].message), (9, &histogram.0[..]));
    assert_eq!((request.exemplars[0].time_ms, request.exemplars[0].value), (7, 0.5));
    let exemplar_labels = parse_labels(&request.exemplars[0].labels, &Limits::default()).unwrap().unwrap();
    assert_eq!(exemplar_labels.to_text(), r#"{trace_id="abc"}"#);
    assert_eq!((request.metadata[0].metric_type, request.metadata[0].family), (2, &b"up"[..]));
    assert_eq!((request.metadata[0].help, request.metadata[0].unit), (&b"help"[..], &b"s"[..]));
}

#[test]
fn fields_in_any_order_and_unknown_fields_decode_alike() {
    let scattered = Message::default()
        .label("z", "1")
        .sample(1.0, 1)
        .label("__name__", "up")
        .varint(99, 5)
        .double(98, 1.0)
        .label("a", "2");
    let message = Message::default().bytes(2, "ignored").message(1, scattered).varint(77, 3);
    let request = decoded(&message).unwrap();
    let labels = labels_of(&request.series[0]).unwrap();
    assert_eq!((labels.metric(), labels.to_text().as_str()), (Some("up"), r#"{a="2",z="1"}"#));
    assert_eq!(request.samples.len(), 1);
}

#[test]
fn every_nan_comes_through_bit_for_bit() {
    for bits in [0x7ff0_0000_0000_0002_u64, 0x7ff8_0000_0000_0001, 0xffff_ffff_ffff_ffff, 0x8000_0000_0000_0000] {
        let message = Message::default().message(1, Message::default().sample(f64::from_bits(bits), i64::MIN));
        let request = decoded(&message).unwrap();
        assert_eq!((request.samples[0].value.to_bits(), request.samples[0].time_ms), (bits, i64::MIN));
    }
}

#[test]
fn the_shape_that_senders_write_decodes_as_any_other() {
    let times =
        [0, 1, -1, (1 << 35) - 1, 1 << 35, 1 << 41, (1 << 42) - 1, 1 << 42, 1_795_206_497_475, i64::MAX, i64::MIN];
    for time_ms in times {
        for bits in [0, 1.5_f64.to_bits(), 0x7ff0_0000_0000_0002, u64::MAX] {
            let value = f64::from_bits(bits);
            let usual = Message::default().sample(value, time_ms);
            let turned = Message::default().varint(2, time_ms as u64).double(1, value);
            let message = Message::default().message(1, usual).message(1, Message::default().message(2, turned));
            let request = decoded(&message).unwrap();
            let found: Vec<_> = request.samples.iter().map(|one| (one.time_ms, one.value.to_bits())).collect();
            assert_eq!(found, [(time_ms, bits); 2]);
        }
    }
    // Six bytes of time of which an earlier one is the last, or the last is not: not the usual shape.
    for time in [[0x80, 0x80, 0x01, 0x80, 0x80, 0x01], [0x80; 6]] {
        let sample = [&[0x09][..], &[0; 8], &[0x10], &time].concat();
        assert!(decoded(&Message::default().message(1, Message::default().bytes(2, sample))).is_err());
    }
}

#[test]
fn labels_that_break_a_rule_are_named() {
    let fault = |series: Message| {
        let message = Message::default().message(1, series);
        let request = decoded(&message).unwrap();
        labels_of(&request.series[0]).err()
    };
    let many = (0..41).fold(Message::default(), |message, index| message.label(&format!("l{index}"), "x"));
    let long = "x".repeat(4097);
    let wide = (0..5).fold(Message::default(), |message, index| message.label(&format!("l{index}"), &long[..4000]));
    assert_eq!(fault(series("up").label("job", "b")), Some(RejectReason::DuplicateLabel));
    assert_eq!(fault(series("up").label("job", "")), Some(RejectReason::DuplicateLabel));
    assert_eq!(fault(series("up").label("__name__", "down")), Some(RejectReason::DuplicateLabel));
    assert_eq!(fault(series("up").label("", "x")), Some(RejectReason::EmptyLabelName));
    assert_eq!(
        fault(Message::default().message(1, Message::default().bytes(1, b"\xff"))),
        Some(RejectReason::InvalidUtf8)
    );
    let value = Message::default().bytes(1, "a").bytes(2, b"\xed\xa0\x80");
    assert_eq!(fault(Message::default().message(1, value)), Some(RejectReason::InvalidUtf8));
    assert_eq!(fault(many), Some(RejectReason::TooManyLabels));
    assert_eq!(fault(series("up").label(&long[..257], "x")), Some(RejectReason::LabelsTooLong));
    assert_eq!(fault(series("up").label("a", &long)), Some(RejectReason::LabelsTooLong));
    assert_eq!(fault(wide), Some(RejectReason::LabelsTooLong));
    assert_eq!(fault(series("up").label(&long[..256], &long[..4096])), None);
}

#[test]
fn empty_values_are_absent_labels_and_any_utf8_is_a_name() {
    let message =
        Message::default().message(1, series("http.requests \u{1F41F}").label("a b\n", "\"q\\\n").label("gone", ""));
    let request = decoded(&message).unwrap();
    let labels = labels_of(&request.series[0]).unwrap();
    assert_eq!(labels.metric(), Some("http.requests \u{1F41F}"));
    assert_eq!(labels.to_text(), "{\"a b\\n\"=\"\\\"q\\\\\\n\",job=\"api\"}");
    let message = Message::default().message(1, Message::default().label("__name__", "").label("a", "b"));
    let request = decoded(&message).unwrap();
    assert_eq!(labels_of(&request.series[0]).unwrap().metric(), None);
}

#[test]
fn element_bombs_stop_at_the_limit() {
    let limits = Limits { decoded_bytes_max: 64 << 20, ..Limits::default() };
    let refused =
        |element: &[u8]| decode(&element.repeat((16 << 20) / element.len()), Version::V1, &limits).unwrap_err();
    let too_large = |what, found, limit| DecodeError::TooLarge { what, found, limit };
    assert_eq!(refused(&[0x0a, 0x00]), too_large("time series", 50_001, 50_000));
    assert_eq!(refused(&[0x1a, 0x00]), too_large("metadata entries", 50_001, 50_000));
    let empty_samples = Message::default().bytes(1, [0x12, 0x00].repeat(600_000));
    assert_eq!(decode(&empty_samples.0, Version::V1, &limits).unwrap_err(), too_large("samples", 500_001, 500_000));
    let empty_histograms = Message::default().bytes(1, [0x22, 0x00].repeat(60_000));
    assert_eq!(decode(&empty_histograms.0, Version::V1, &limits).unwrap_err(), too_large("histograms", 50_001, 50_000));
    let empty_exemplars = Message::default().bytes(1, [0x1a, 0x00].repeat(60_000));
    assert_eq!(decode(&empty_exemplars.0, Version::V1, &limits).unwrap_err(), too_large("exemplars", 50_001, 50_000));
    let empty_labels = Message::default().bytes(1, [0x0a, 0x00].repeat(1 << 20));
    let request = decode(&empty_labels.0, Version::V1, &limits).unwrap();
    assert_eq!(labels_of(&request.series[0]).unwrap_err(), RejectReason::TooManyLabels);
}

#[test]
fn sixteen_mebibytes_of_empty_series_are_refused_as_a_body() {
    let body = snap::raw::Encoder::new().compress_vec(&[0x0a, 0x00].repeat(8 << 20)).unwrap();
    let error = summarize(&body, Version::V1, &Limits::default()).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { what: "time series", .. }), "{error}");
}

#[test]
fn wrong_wire_types_of_known_fields_are_errors() {
    for message in [
        Message::default().varint(1, 1),
        Message::default().varint(3, 1),
        Message::default().message(1, Message::default().varint(1, 1)),
        Message::default().message(1, Message::default().double(2, 1.0)),
        Message::default().message(1, Message::default().message(2, Message::default().varint(1, 1))),
        Message::default().message(1, Message::default().message(2, Message::default().double(2, 1.0))),
        Message::default().message(1, Message::default().message(4, Message::default().double(15, 1.0))),
        Message::default().message(3, Message::default().varint(2, 1)),
    ] {
        assert!(matches!(decoded(&message), Err(DecodeError::Protobuf { .. })), "{:?}", message.0);
    }
}

#[test]
fn every_truncation_of_a_request_is_an_error_or_a_shorter_request() {
    let message = Message::default().message(1, series("up")).message(3, Message::default().bytes(2, "up"));
    let first = Message::default().message(1, series("up")).0.len();
    for length in 0..=message.0.len() {
        let is_whole = [0, first, message.0.len()].contains(&length);
        assert_eq!(decode(&message.0[..length], Version::V1, &Limits::default()).is_ok(), is_whole, "{length}");
    }
}

fn histogram(buckets: &[i64], count: u64, sum: f64) -> Message {
    let mut deltas = Vec::new();
    for delta in buckets {
        push_varint(&mut deltas, (delta << 1 ^ delta >> 63) as u64);
    }
    let span = Message::default().varint(1, 3).varint(2, buckets.len() as u64);
    Message::default().varint(1, count).double(3, sum).varint(4, 6).varint(6, 2).message(11, span).bytes(12, deltas)
}

#[test]
fn histograms_are_checked_by_the_rules_of_prometheus() {
    let rule = |message: Message| histogram::check(&message.0).unwrap();
    let float = |counts: &[f64]| {
        let packed: Vec<u8> = counts.iter().flat_map(|count| count.to_bits().to_le_bytes()).collect();
        let span = Message::default().varint(2, counts.len() as u64);
        Message::default().double(2, 6.0).varint(4, 6).message(11, span).bytes(13, packed)
    };
    let custom = |bounds: &[f64], buckets: &[i64]| {
        let packed: Vec<u8> = bounds.iter().flat_map(|bound| bound.to_bits().to_le_bytes()).collect();
        let deltas: Vec<u8> = buckets.iter().map(|delta| (delta << 1 ^ delta >> 63) as u8).collect();
        let span = Message::default().varint(2, buckets.len() as u64);
        Message::default().varint(1, 1).varint(4, 105).message(11, span).bytes(12, deltas).bytes(16, packed)
    };
    // Deltas 1, 2, -1 are buckets 1, 3, 2; with the zero bucket of 2 that is 8.
    assert_eq!(rule(histogram(&[1, 2, -1], 8, 4.0)), Ok(()));
    assert_eq!(rule(histogram(&[1, 2, -1], 9, f64::NAN)), Ok(()));
    assert!(rule(histogram(&[1, 2, -1], 9, 4.0)).is_err());
    assert!(rule(histogram(&[1, 2, -1], 7, f64::NAN)).is_err());
    assert!(rule(histogram(&[1, -2, 1], 2, 4.0)).is_err());
    assert!(rule(histogram(&[1], 3, 4.0).message(11, Message::default().varint(2, 1))).is_err());
    assert!(rule(histogram(&[1], 3, 4.0).message(11, Message::default().varint(1, 1))).is_err());
    assert!(rule(histogram(&[1], 3, 4.0).double(16, 1.0)).is_err());
    assert!(rule(histogram(&[1], 3, 4.0).varint(4, 2 * 60)).is_err());
    assert_eq!(rule(Message::default().double(3, f64::from_bits(0x7ff0_0000_0000_0002))), Ok(()));
    assert_eq!(rule(float(&[1.0, 2.0])), Ok(()));
    assert!(rule(float(&[1.0, -2.0])).is_err());
    assert_eq!(rule(custom(&[1.0, 2.0], &[1, -1, 0])), Ok(()));
    assert!(rule(custom(&[1.0], &[1, -1, 0])).is_err());
    assert!(rule(custom(&[2.0, 2.0], &[1])).is_err());
    assert!(rule(custom(&[f64::INFINITY], &[1])).is_err());
    assert!(rule(custom(&[1.0], &[1]).varint(6, 1)).is_err());
    assert!(histogram::check(&Message::default().bytes(12, [0x80]).0).is_err());
}

/// The captured bodies of one version of the protocol: name, body, recorded counts.
pub(super) fn captured(folder: &str) -> Vec<(String, Vec<u8>, serde_json::Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/remote_write").join(folder);
    let mut bodies = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let record = std::fs::read(path.with_extension("json")).unwrap();
            let stats = serde_json::from_slice::<serde_json::Value>(&record).unwrap()["stats"].clone();
            bodies.push((path.display().to_string(), std::fs::read(&path).unwrap(), stats));
        }
    }
    bodies
}

#[test]
fn real_bodies_decode_to_the_recorded_counts() {
    let bodies = captured("prometheus-3.5.3-rw1");
    assert_eq!(bodies.len(), 5);
    for (name, body, stats) in bodies {
        let summary =
            summarize(&body, Version::V1, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let recorded = |key: &str| stats[key].as_u64().unwrap();
        let counts = Counts {
            series: recorded("series"),
            samples: recorded("samples"),
            histograms: recorded("histograms"),
            exemplars: recorded("exemplars"),
            metadata: recorded("metadata"),
        };
        assert_eq!(summary.counts, counts, "{name}");
        assert!(summary.rejections.is_empty(), "{name}: {}", summary.rejections);
        let mut buffer = Vec::new();
        assert_eq!(decompress(&body, &Limits::default(), &mut buffer).unwrap().len() as u64, recorded("raw_len"));
    }
}

#[test]
fn stale_markers_of_a_real_body_keep_their_bits() {
    let bodies = captured("prometheus-3.5.3-rw1");
    let (_, body, _) = bodies.iter().find(|(name, ..)| name.contains("stale")).unwrap();
    let mut buffer = Vec::new();
    let request =
        decode(decompress(body, &Limits::default(), &mut buffer).unwrap(), Version::V1, &Limits::default()).unwrap();
    let stale = request.samples.iter().filter(|sample| sample.value.to_bits() == 0x7ff0_0000_0000_0002).count();
    assert!(stale > 100, "{stale}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn mutated_bodies_never_panic(
        which in 0_usize..5,
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let (_, body, _) = &captured("prometheus-3.5.3-rw1")[which];
        let mut body = body.clone();
        for (index, byte) in &changes {
            let index = index.index(body.len());
            body[index] = *byte;
        }
        if changes.len() % 2 == 1 {
            body.truncate(cut.index(body.len()));
        }
        let _ = summarize(&body, Version::V1, &Limits::default());
    }

    #[test]
    fn mutated_messages_never_panic(
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let exemplar = Message::default().label("trace_id", "abc").double(2, 0.5).varint(3, 7);
        let message = Message::default()
            .message(1, series("up").message(3, exemplar).message(4, histogram(&[1, 2, -1], 8, 4.0)))
            .message(3, Message::default().varint(1, 2).bytes(2, "up").bytes(4, "help").bytes(5, "s"));
        let mut bytes = message.0;
        for (index, byte) in &changes {
            let index = index.index(bytes.len());
            bytes[index] = *byte;
        }
        if changes.len() % 2 == 1 {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = summarize(&compress(&Message(bytes)), Version::V1, &Limits::default());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = summarize(&bytes, Version::V1, &Limits::default());
        let _ = summarize(&compress(&Message(bytes)), Version::V1, &Limits::default());
    }
}
