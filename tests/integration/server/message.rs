//! Remote-write messages written by hand, so that the decoder is not tested against its own idea of the format.

/// A protobuf message under construction.
#[derive(Debug, Default, Clone)]
pub struct Message(pub Vec<u8>);

impl Message {
    /// A varint field.
    pub fn varint(mut self, number: u32, value: u64) -> Self {
        push_varint(&mut self.0, u64::from(number << 3));
        push_varint(&mut self.0, value);
        self
    }

    /// A double field.
    pub fn double(mut self, number: u32, value: f64) -> Self {
        push_varint(&mut self.0, u64::from(number << 3 | 1));
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
        self
    }

    /// A string or bytes field, or a nested message.
    pub fn bytes(mut self, number: u32, value: impl AsRef<[u8]>) -> Self {
        push_varint(&mut self.0, u64::from(number << 3 | 2));
        push_varint(&mut self.0, value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    /// A sample of a time series.
    pub fn sample(self, value: f64, time_ms: i64) -> Self {
        self.bytes(2, Self::default().double(1, value).varint(2, time_ms as u64).0)
    }

    /// The message as a snappy block.
    pub fn body(&self) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(&self.0).unwrap()
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A time series with labels only.
pub fn series(metric: &str, labels: &[(&str, &str)]) -> Message {
    let label = |message: Message, (name, value): (&str, &str)| {
        message.bytes(1, Message::default().bytes(1, name).bytes(2, value).0)
    };
    labels.iter().copied().fold(label(Message::default(), ("__name__", metric)), label)
}

/// A request of time series.
pub fn request(series: impl IntoIterator<Item = Message>) -> Message {
    series.into_iter().fold(Message::default(), |request, series| request.bytes(1, series.0))
}

/// A request of version 2 under construction: symbols are gathered as labels come.
#[derive(Debug, Clone)]
pub struct RequestV2 {
    symbols: Vec<String>,
    series: Vec<Message>,
}

impl RequestV2 {
    pub fn new() -> Self {
        Self { symbols: vec![String::new()], series: Vec::new() }
    }

    /// The reference to a symbol.
    pub fn symbol(&mut self, text: &str) -> u64 {
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

    /// Adds a series: its labels, then the fields of `rest`.
    pub fn series(mut self, labels: &[(&str, &str)], rest: Message) -> Self {
        let references = self.references(labels);
        let series = Message([Message::default().bytes(1, references).0, rest.0].concat());
        self.series.push(series);
        self
    }

    /// An exemplar as a field of a series.
    pub fn exemplar(&mut self, labels: &[(&str, &str)], value: f64, time_ms: i64) -> Message {
        let references = self.references(labels);
        let exemplar = Message::default().bytes(1, references).double(2, value).varint(3, time_ms as u64);
        Message::default().bytes(4, exemplar.0)
    }

    /// Metadata as a field of a series.
    pub fn metadata(&mut self, metric_type: u64, help: &str, unit: &str) -> Message {
        let (help, unit) = (self.symbol(help), self.symbol(unit));
        Message::default().bytes(5, Message::default().varint(1, metric_type).varint(3, help).varint(4, unit).0)
    }

    /// The message with its own table of symbols.
    pub fn message(&self) -> Message {
        let symbols = self.symbols.iter().fold(Message::default(), |message, symbol| message.bytes(4, symbol));
        self.series.iter().fold(symbols, |message, series| message.bytes(5, &series.0))
    }
}
