//! Generated expressions, each of a known type. Nothing here can fail on a row: which of two failures comes first, and
//! whether a row that another condition drops is looked at, SQL leaves open.

use super::random::Random;
use super::table::Table;

/// The kinds of values that expressions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Float,
    Unsigned,
    Text,
    Boolean,
    Time,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Integer, Self::Float, Self::Unsigned, Self::Text, Self::Boolean, Self::Time];
}

/// Makes expressions over the columns of a table.
pub(super) struct Expressions<'a> {
    pub(super) table: &'a Table,
    pub(super) random: &'a mut Random,
}

impl Expressions<'_> {
    /// An expression of a kind, at most `depth` operators deep.
    pub(super) fn of(&mut self, kind: Kind, depth: usize) -> String {
        match kind {
            Kind::Integer => self.integer(depth),
            Kind::Float => self.float(depth),
            Kind::Unsigned => self.random.pick(&["u", "coalesce(u, 7)"]).into(),
            Kind::Text => self.text(depth),
            Kind::Boolean => self.condition(depth),
            Kind::Time => self.time(depth),
        }
    }

    /// An integer whose sums and squares are small.
    pub(super) fn small_integer(&mut self) -> String {
        let column = self.random.pick(&self.table.columns.integers);
        match self.random.below(5) {
            0 => format!("{column} * 2 - 1"),
            1 => format!("coalesce({column}, 3)"),
            _ => column.into(),
        }
    }

    /// A float whose sums are exact.
    pub(super) fn tame_float(&mut self) -> String {
        let column = self.random.pick(&self.table.columns.floats);
        match self.random.below(6) {
            0 => format!("{column} * 2.5"),
            1 => format!("{column} - i"),
            2 => format!("CAST({} AS DOUBLE)", self.random.pick(&self.table.columns.integers)),
            _ => column.into(),
        }
    }

    fn integer(&mut self, depth: usize) -> String {
        if depth == 0 {
            let mut columns = self.table.columns.integers.clone();
            columns.push("e");
            return self.random.pick(&columns).into();
        }
        let below = depth - 1;
        match self.random.below(9) {
            0 => format!("({} + {})", self.integer(below), self.integer(below)),
            1 => format!("({} - {})", self.integer(below), self.random.within(-3, 60)),
            2 => format!("{} * {}", self.integer(0), self.random.within(-2, 3)),
            3 => format!("{} % {}", self.small_integer(), self.random.pick(&[2, 3, 7])),
            4 => format!("{} / {}", self.small_integer(), self.random.pick(&[2, 3, -7])),
            5 => format!("CASE WHEN {} THEN {} ELSE i END", self.condition(below), self.integer(below)),
            6 => format!("coalesce({}, i)", self.integer(below)),
            7 => format!("nullif({}, {})", self.integer(below), self.random.within(-3, 20)),
            _ => self.integer(0),
        }
    }

    fn float(&mut self, depth: usize) -> String {
        if depth == 0 {
            let mut columns = self.table.columns.floats.clone();
            columns.extend(["f", "f"]);
            return self.random.pick(&columns).into();
        }
        let below = depth - 1;
        match self.random.below(10) {
            0 => format!("({} + {})", self.float(below), self.small_integer()),
            1 => format!("({} - {})", self.float(below), self.float(below)),
            2 => format!("{} * {}", self.float(0), self.random.pick(&["0.5", "-1.0", "1e3"])),
            3 => format!("{} / {}", self.float(0), self.random.pick(&["3", "0.0", "-2.5", "g"])),
            4 => format!("CASE WHEN {} THEN {} ELSE g END", self.condition(below), self.float(below)),
            5 => format!("coalesce({}, {})", self.float(below), self.random.pick(&["i", "0.5"])),
            6 => format!("{}({})", self.random.pick(&["floor", "ceil", "abs"]), self.float(below)),
            7 => format!("sqrt(abs({}))", self.float(0)),
            8 => format!("-{}", self.float(0)),
            _ => self.float(0),
        }
    }

    fn text_column(&mut self) -> &'static str {
        let mut columns = self.table.columns.texts.clone();
        columns.extend(&self.table.columns.tags);
        self.random.pick(&columns)
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.text_column().into();
        }
        let below = depth - 1;
        match self.random.below(7) {
            0 => format!("{}({})", self.random.pick(&["upper", "lower", "trim"]), self.text(below)),
            1 => format!("{} || {}", self.text(0), self.random.pick(&["'-'", "s", "host", "''"])),
            2 => format!("CASE WHEN {} THEN {} ELSE s END", self.condition(below), self.text(below)),
            3 => format!("coalesce({}, {})", self.text(below), self.random.pick(&["'none'", "host", "s"])),
            4 => format!("nullif({}, 'a')", self.text(0)),
            _ => self.text(0),
        }
    }

    fn time(&mut self, depth: usize) -> String {
        if depth == 0 {
            return "time".into();
        }
        match self.random.below(4) {
            0 => self.bucket(),
            1 => format!("time {} INTERVAL '{}'", self.random.pick(&["+", "-"]), self.random.pick(&["1 hour", "90 s"])),
            2 => format!("coalesce(time, TIMESTAMP '{}')", self.table.time(self.random)),
            _ => "time".into(),
        }
    }

    /// The bucket of a row's time.
    pub(super) fn bucket(&mut self) -> String {
        match self.random.below(8) {
            0 => "date_trunc('hour', time)".into(),
            1 => "date_trunc('day', time)".into(),
            2 => "time_bucket('1 month', time)".into(),
            3 => format!("time_bucket('2 hours', time, '{}')", self.table.time(self.random)),
            4 => "date_bin(INTERVAL '7 minutes', time)".into(),
            _ => format!(
                "time_bucket('{}', time)",
                self.random.pick(&["1 minute", "1 hour", "5 minutes", "3 hours", "1d"])
            ),
        }
    }

    /// A condition on rows.
    pub(super) fn condition(&mut self, depth: usize) -> String {
        let below = depth.saturating_sub(1);
        let op = self.random.pick(&["=", "<>", "<", "<=", ">", ">="]);
        match self.random.below(if depth == 0 { 15 } else { 20 }) {
            0 => format!("{} {op} {}", self.integer(below), self.random.within(-20, 80)),
            1 => {
                format!("{} {op} {}", self.integer(0), self.random.pick(&["20.5", "-3.0", "9223372036854775807", "0"]))
            }
            2 => {
                let value = self.random.pick(&["0.25", "-3", "0.0", "-0.0", "100", "1e300", "-7.5"]);
                format!("{} {op} {value}", self.float(below))
            }
            3 => format!("u {op} {}", self.random.pick(&["0", "7", "9223372036854775808", "18446744073709551615"])),
            4 => format!("{} {op} {}", self.text(below), self.random.pick(&["'a'", "'h1'", "''", "'eu'", "'zz'"])),
            5 => self.tag_condition(),
            6 => self.tag_condition(),
            7 => self.time_condition(),
            8 => {
                let not = self.random.pick(&["", "NOT "]);
                let pattern =
                    self.random.pick(&["'%a%'", "'h_'", "''", "'%'", "'Z%'", "NULL", "s", "host", "'h' || region"]);
                format!("{} {not}LIKE {pattern}", self.text(below))
            }
            9 => {
                let column = self.random.pick(&["i", "e", "f", "g", "u", "b", "s", "host", "region", "x", "w"]);
                format!("{column} IS {}NULL", self.random.pick(&["", "NOT "]))
            }
            10 => {
                let not = self.random.pick(&["", "NOT "]);
                let list = self.random.pick(&["1, 2, 3, 50", "7", "-1, 9223372036854775807", "5, NULL"]);
                format!("{} {not}IN ({list})", self.integer(0))
            }
            11 => {
                let not = self.random.pick(&["", "NOT "]);
                format!(
                    "{} {not}BETWEEN {} AND {}",
                    self.integer(0),
                    self.random.within(-20, 20),
                    self.random.within(0, 80)
                )
            }
            12 => format!("{} BETWEEN -12.5 AND {}", self.float(0), self.random.within(-10, 90)),
            13 => self.random.pick(&["b", "NOT b", "b IS TRUE", "b IS NOT FALSE", "b = false"]).into(),
            14 => format!("{} {op} {}", self.integer(0), self.float(0)),
            15 | 16 => format!("({} OR {})", self.condition(below), self.condition(below)),
            17 => format!("({} AND {})", self.condition(below), self.condition(below)),
            18 => format!("NOT ({})", self.condition(below)),
            _ => format!("CASE WHEN {} THEN {} ELSE b END", self.condition(below), self.condition(below)),
        }
    }

    /// A condition that the scan can decide per series.
    fn tag_condition(&mut self) -> String {
        let tag = self.random.pick(&self.table.columns.tags);
        let value = self.random.pick(&["h1", "h3", "h17", "eu", "", "z1"]);
        match self.random.below(8) {
            0 => format!("{tag} = '{value}'"),
            1 => format!("{tag} <> '{value}'"),
            2 => format!("{tag} IN ('{value}', 'h2', 'us', 'h5')"),
            3 => format!("{tag} NOT IN ('{value}', 'h2')"),
            4 => format!("{tag} IS {}NULL", self.random.pick(&["", "NOT "])),
            5 => format!("({tag} = '{value}' OR {tag} IS NULL)"),
            6 => format!("{tag} LIKE {}", self.random.pick(&["'h1%'", "NULL", "host", "region", "s"])),
            _ => format!("upper({tag}) > 'H2'"),
        }
    }

    /// A condition that the scan can turn into a range of times.
    pub(super) fn time_condition(&mut self) -> String {
        let (from, to) = (self.table.time(self.random), self.table.time(self.random));
        match self.random.below(7) {
            0 => format!("time >= '{from}'"),
            1 => format!("time < TIMESTAMP '{to}'"),
            2 => format!("time BETWEEN '{from}' AND '{to}'"),
            3 => format!("'{from}' < time"),
            4 => format!("time > TIMESTAMP '{from}' + INTERVAL '20 minutes'"),
            5 => format!("(time < '{from}' OR time >= '{to}')"),
            _ => format!("time <> '{from}'"),
        }
    }
}
