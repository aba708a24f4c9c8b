//! The decoder of version 2 against hand-built messages, real bodies, bombs and damage.

use proptest::prelude::*;

use super::tests::{Message, captured, compress, push_varint};
use super::*;

/// A request of version 2 under construction: symbols are gathered as labels come.
#[derive(Clone)]
pub(super) struct RequestV2 {
    symbols: Vec<String>,
    series: Vec<Message>,
}

impl RequestV2 {
    pub(super) fn new() -> Self {
        Self { symbols: vec![String::new()], series: Vec::new() }
    }

    pub(super) fn symbol(&mut self, text: &str) -> u64 {
        let known = self.symbols.iter().position(|symbol| symbol == text);
        known.unwrap_or_else(|| {
            self.symbols.push(text.to_owned());
            self.symbols.len() - 1
        }) as u64
    }

    fn references(&mut self, labels: &[(&str, &str)]) -> Vec<u8> {
        let mut packed = Vec::new();
        for (name, value) in labels {
            push_varint(&mut packed, self.symbol(name));
            push_varint(&mut packed, self.symbol(value));
        }
        packed
    }

    /// Adds a series: labels, then the fields of `rest`.
    pub(super) fn series(mut self, labels: &[(&str, &str)], rest: Message) -> Self {
        let references = self.references(labels);
        let mut series = Message::default().bytes(1, references);
        series.0.extend_from_slice(&rest.0);
        self.series.push(series);
        self
    }

    /// An exemplar as a field of a series.
    pub(super) fn exemplar(&mut self, labels: &[(&str, &str)], value: f64, time_ms: u64) -> Message {
        let references = self.references(labels);
        Message::default().message(4, Message::default().bytes(1, references).double(2, value).varint(3, time_ms))
    }

    /// Metadata as a field of a series.
    pub(super) fn metadata(&mut self, metric_type: u64, help: &str, unit: &str) -> Message {
        let (help, unit) = (self.symbol(help), self.symbol(unit));
        Message::default().message(5, Message::default().varint(1, metric_type).varint(3, help).varint(4, unit))
    }

    pub(super) fn message(&self) -> Message {
        let symbols = self.symbols.iter().fold(Message::default(), |message, symbol| message.bytes(4, symbol));
        self.series.iter().fold(symbols, |message, series| message.bytes(5, &series.0))
    }
}

pub(super) fn and(first: Message, second: Message) -> Message {
    Message([first.0, second.0].concat())
}

fn decoded(message: &Message) -> Result<WriteRequest<'_>, DecodeError> {
    decode(&message.0, Version::V2, &Limits::default())
}

fn labels_text(request: &WriteRequest<'_>, series: usize) -> Result<String, RejectReason> {
    let labels = request.labels(&request.series[series].labels, &Limits::default()).unwrap();
    labels.map(|labels| format!("{}{}", labels.metric().unwrap_or("-"), labels.to_text())).map_err(|fault| fault.reason)
}

const UP: [(&str, &str); 2] = [("__name__", "up"), ("job", "api")];

#[test]
fn a_request_decodes_to_what_was_put_in() {
    let mut request = RequestV2::new();
    let histogram = Message::default().varint(1, 0).varint(15, 9).varint(17, 8);
    let rest = Message::default().sample(-0.0, -1).message(3, histogram.clone());
    let rest = and(rest, request.exemplar(&[("trace_id", "abc")], 0.5, 7));
    let rest = and(rest, request.metadata(2, "Whether it is up.", "s"));
    let message = request.series(&UP, rest).message();
    let request = decoded(&message).unwrap();
    assert_eq!(labels_text(&request, 0).unwrap(), "up{job=\"api\"}");
    assert_eq!((request.samples[0].time_ms, request.samples[0].value.to_bits()), (-1, (-0.0_f64).to_bits()));
    assert_eq!((request.histograms[0].time_ms, request.histograms[0].start_ms), (9, 8));
    assert_eq!(request.histograms[0].message, histogram.0);
    assert_eq!((request.exemplars[0].time_ms, request.exemplars[0].value), (7, 0.5));
    let exemplar_labels = request.labels(&request.exemplars[0].labels, &Limits::default()).unwrap().unwrap();
    assert_eq!(exemplar_labels.to_text(), r#"{trace_id="abc"}"#);
    let metadata = request.series[0].metadata.unwrap();
    assert_eq!(metadata.metric_type, 2);
    assert_eq!(request.symbol(metadata.help_ref), Some(&b"Whether it is up."[..]));
    assert_eq!(request.symbol(metadata.unit_ref), Some(&b"s"[..]));
}

#[test]
fn symbols_may_stand_behind_the_series_and_references_may_be_scattered() {
    let series = Message::default().bytes(1, [1]).sample(1.0, 1).varint(1, 2).varint(99, 5).bytes(1, [3, 4]);
    let message = ["", "__name__", "up", "job", "api"]
        .iter()
        .fold(Message::default().message(5, series), |message, symbol| message.bytes(4, symbol));
    let request = decoded(&message).unwrap();
    assert_eq!(labels_text(&request, 0).unwrap(), "up{job=\"api\"}");
}

#[test]
fn a_table_of_symbols_that_does_not_begin_with_the_empty_one_is_refused_whole() {
    let series = Message::default().bytes(1, [0, 1]);
    for message in [
        Message::default().bytes(4, "x").message(5, series.clone()),
        Message::default().message(5, series),
        Message::default().bytes(4, "x"),
    ] {
        assert!(matches!(decoded(&message), Err(DecodeError::Symbols { .. })), "{:?}", message.0);
    }
    assert!(decoded(&Message::default()).unwrap().series.is_empty());
    assert!(decoded(&Message::default().bytes(4, "")).unwrap().series.is_empty());
}

#[test]
fn the_start_of_a_series_is_that_of_the_samples_that_have_none() {
    let own = Message::default().message(2, Message::default().double(1, 1.0).varint(2, 5).varint(3, 4));
    let rest = and(own, Message::default().sample(2.0, 6).varint(6, 3));
    let message = RequestV2::new().series(&UP, rest).series(&UP, Message::default().sample(1.0, 1)).message();
    let request = decoded(&message).unwrap();
    assert_eq!(request.samples.iter().map(|sample| sample.start_ms).collect::<Vec<_>>(), [4, 3, 0]);
    assert_eq!(request.series.iter().map(|series| series.has_start).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn element_bombs_stop_at_the_limit() {
    let limits = Limits { decoded_bytes_max: 64 << 20, ..Limits::default() };
    let refused = |bytes: &[u8]| decode(bytes, Version::V2, &limits).unwrap_err();
    let too_large = |what, found, limit| DecodeError::TooLarge { what, found, limit };
    assert_eq!(refused(&[0x2a, 0x00].repeat(8 << 20)), too_large("time series", 50_001, 50_000));
    assert_eq!(refused(&[0x22, 0x00].repeat(8 << 20)), too_large("symbols", 200_001, 200_000));
    let of_series = |element: [u8; 2]| Message::default().bytes(4, "").bytes(5, element.repeat(600_000)).0;
    assert_eq!(refused(&of_series([0x12, 0x00])), too_large("samples", 600_000, 500_000));
    assert_eq!(refused(&of_series([0x1a, 0x00])), too_large("histograms", 600_000, 50_000));
    assert_eq!(refused(&of_series([0x22, 0x00])), too_large("exemplars", 600_000, 50_000));
    let limit = Limits { symbols_max: 2, ..Limits::default() };
    let message = Message::default().bytes(4, "").bytes(4, "a");
    assert!(decode(&message.0, Version::V2, &limit).is_ok());
    assert!(decode(&message.bytes(4, "b").0, Version::V2, &limit).is_err());
}

#[test]
fn wrong_wire_types_of_known_fields_are_errors() {
    let with = |series: Message| Message::default().bytes(4, "").message(5, series);
    for message in [
        Message::default().varint(4, 1),
        Message::default().bytes(4, "").varint(5, 1),
        with(Message::default().double(1, 1.0)),
        with(Message::default().double(2, 1.0)),
        with(Message::default().varint(3, 1)),
        with(Message::default().varint(4, 1)),
        with(Message::default().varint(5, 1)),
        with(Message::default().bytes(6, "x")),
        with(Message::default().message(5, Message::default().bytes(3, "x"))),
    ] {
        assert!(matches!(decoded(&message), Err(DecodeError::Protobuf { .. })), "{:?}", message.0);
    }
}

#[test]
fn real_bodies_decode_to_the_recorded_counts() {
    let bodies = captured("prometheus-3.5.3-rw2");
    assert_eq!(bodies.len(), 4);
    for (name, body, stats) in bodies {
        let summary =
            summarize(&body, Version::V2, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let recorded = |key: &str| stats[key].as_u64().unwrap();
        let found =
            [summary.counts.series, summary.counts.samples, summary.counts.histograms, summary.counts.exemplars];
        assert_eq!(found, ["series", "samples", "histograms", "exemplars"].map(recorded), "{name}");
        assert!(summary.counts.metadata <= recorded("metadata"), "{name}");
        assert!(summary.rejections.is_empty(), "{name}: {}", summary.rejections);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn mutated_bodies_never_panic(
        which in 0_usize..4,
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let (_, body, _) = &captured("prometheus-3.5.3-rw2")[which];
        let mut buffer = Vec::new();
        let mut message = decompress(body, &Limits::default(), &mut buffer).unwrap().to_vec();
        for (index, byte) in &changes {
            let index = index.index(message.len());
            message[index] = *byte;
        }
        if changes.len() % 2 == 1 {
            message.truncate(cut.index(message.len()));
        }
        let _ = summarize(&compress(&Message(message)), Version::V2, &Limits::default());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = summarize(&compress(&Message(bytes)), Version::V2, &Limits::default());
    }
}
