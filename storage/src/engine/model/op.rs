//! The operations of the model, and how bytes become operations.

use crate::engine::Ack;
use crate::io::sim::CrashModel;
use crate::types::{FieldType, Tier, TimeRange};

/// Width of a partition of the model's table.
pub(super) const PARTITION_NS: i64 = 100;
/// Times are mostly below this: few enough that rows meet.
const TIMES: i64 = 600;

/// One row: host, time, and a number per field of the table, from which its value is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpRow {
    /// The host; `None` is NULL.
    pub host: Option<u8>,
    /// Its time.
    pub time: i64,
    /// Per field; `None` is NULL.
    pub values: Vec<Option<u8>>,
}

/// Which hosts an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// All.
    All,
    /// These.
    OneOf(Vec<u8>),
    /// All but this one, NULL too.
    Not(u8),
    /// Those that are NULL.
    Null,
}

/// One step of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Rows in one commit; late rows and duplicates among them.
    Write {
        /// The rows.
        rows: Vec<OpRow>,
        /// How safe they are to be.
        ack: Ack,
    },
    /// Deletes rows.
    Delete {
        /// Of these hosts.
        hosts: Hosts,
        /// With these times.
        range: TimeRange,
    },
    /// Flushes.
    Flush,
    /// Flushes and merges every partition to one run.
    Compact,
    /// Retention and compactions that pay.
    Maintain,
    /// Moves the partition of a time to a tier by hand.
    Move {
        /// The time.
        time: i64,
        /// The tier.
        tier: Tier,
    },
    /// Changes after which time partitions become warm.
    SetHotFor(Option<i64>),
    /// Changes the retention.
    SetRetention(Option<i64>),
    /// The clock goes on.
    Advance(i64),
    /// Adds a field.
    AddField(FieldType),
    /// Drops a field.
    DropField(u8),
    /// Renames a field.
    RenameField(u8),
    /// Makes an integer field one of floats.
    WidenField(u8),
    /// Takes a snapshot, which must show the same until the next crash.
    Hold,
    /// Reads a part.
    Query {
        /// Of these hosts.
        hosts: Hosts,
        /// With these times.
        range: TimeRange,
    },
    /// Closes and opens the database.
    Reopen,
    /// Power cut between two operations.
    Crash {
        /// What is lost.
        model: CrashModel,
        /// Which part, for a random loss.
        seed: u8,
    },
    /// Power cut within the next operation, at one of its calls to the disk.
    CrashWithin {
        /// The call.
        call: u8,
        /// What is lost.
        model: CrashModel,
    },
}

/// Takes numbers from bytes; zeros after their end.
struct Source<'a>(std::slice::Iter<'a, u8>);

impl Source<'_> {
    fn is_at_end(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    fn time(&mut self) -> i64 {
        match self.byte() {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => -1,
            low => (i64::from(low) | i64::from(self.byte()) << 8) % TIMES,
        }
    }

    fn range(&mut self) -> TimeRange {
        let (a, b) = (self.time(), self.time());
        TimeRange { start_ns: a.min(b), end_ns: a.max(b) }
    }

    fn host(&mut self) -> Option<u8> {
        Some(self.below(5)).filter(|&host| host > 0)
    }

    fn hosts(&mut self) -> Hosts {
        match self.below(4) {
            0 => Hosts::All,
            1 => Hosts::OneOf((0..=self.below(3)).map(|_| self.below(5)).collect()),
            2 => Hosts::Not(self.below(5)),
            _ => Hosts::Null,
        }
    }

    fn crash_model(&mut self) -> CrashModel {
        [CrashModel::LoseAll, CrashModel::KeepAll, CrashModel::Random][usize::from(self.below(3))]
    }

    fn row(&mut self) -> OpRow {
        let (host, time) = (self.host(), self.time());
        OpRow { host, time, values: (0..4).map(|_| Some(self.below(8)).filter(|&value| value > 0)).collect() }
    }

    fn op(&mut self) -> Op {
        match self.below(36) {
            0..=10 => {
                let ack = [Ack::Durable, Ack::Logged, Ack::Volatile][usize::from(self.below(3))];
                let count = 1 + self.below(24);
                Op::Write { rows: (0..count).map(|_| self.row()).collect(), ack }
            }
            11..=13 => Op::Delete { hosts: self.hosts(), range: self.range() },
            14..=16 => Op::Flush,
            17 | 18 => Op::Compact,
            19 | 20 => Op::Maintain,
            21 => Op::SetRetention([None, Some(300), Some(1000)][usize::from(self.below(3))]),
            22 => Op::Advance(50 * i64::from(self.below(8))),
            23 => Op::AddField([FieldType::I64, FieldType::F64, FieldType::String][usize::from(self.below(3))]),
            24 => match self.below(3) {
                0 => Op::DropField(self.byte()),
                1 => Op::RenameField(self.byte()),
                _ => Op::WidenField(self.byte()),
            },
            25 => Op::Hold,
            26 | 27 => Op::Query { hosts: self.hosts(), range: self.range() },
            28 => Op::Reopen,
            29 => Op::Crash { model: self.crash_model(), seed: self.byte() },
            30..=32 => Op::Move { time: self.time(), tier: [Tier::Warm, Tier::Hot][usize::from(self.below(2))] },
            33 => Op::SetHotFor([None, Some(150), Some(400)][usize::from(self.below(3))]),
            _ => Op::CrashWithin { call: self.byte(), model: self.crash_model() },
        }
    }
}

impl Op {
    /// The operations that bytes stand for; any bytes stand for some.
    pub fn from_bytes(bytes: &[u8]) -> Vec<Self> {
        let mut source = Source(bytes.iter());
        let mut ops = Vec::new();
        while !source.is_at_end() {
            ops.push(source.op());
        }
        ops
    }
}
