//! Generated queries, in parts that can be taken away one by one.

use super::expression::{Expressions, Kind};
use super::random::Random;
use super::table::Table;

/// A query over the table `t`.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) items: Vec<String>,
    conditions: Vec<String>,
    /// Of a grouping; each is an item too.
    keys: Vec<String>,
    having: Option<String>,
    pub(super) order: Vec<Order>,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
    distinct: bool,
    is_grouped: bool,
}

/// A key of ORDER BY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// Position in the items.
    pub(super) item: usize,
    descending: bool,
    nulls: &'static str,
}

impl Query {
    /// A query over the present columns of a table.
    pub(super) fn generate(table: &Table, random: &mut Random) -> Self {
        let mut query = Self::default();
        let mut make = Expressions { table, random };
        if make.random.chance(40) {
            query.conditions.push(make.time_condition());
        }
        for _ in 0..make.random.pick(&[0, 0, 0, 1, 1, 2, 3]) {
            let depth = make.random.below(3);
            query.conditions.push(make.condition(depth));
        }
        match make.random.below(10) {
            0 | 1 => query.project(&mut make),
            2 | 3 => {
                query.is_grouped = true;
                query.aggregate(&mut make);
            }
            _ => {
                query.is_grouped = true;
                query.group(&mut make);
            }
        }
        query.choose_order(make.random);
        query
    }

    fn project(&mut self, make: &mut Expressions<'_>) {
        for _ in 0..=make.random.below(4) {
            let kind = make.random.pick(&Kind::ALL);
            let depth = make.random.below(3);
            self.add_item(make.of(kind, depth));
        }
        if make.random.chance(10) {
            self.add_item("x".into());
        }
        self.distinct = make.random.chance(20);
    }

    fn group(&mut self, make: &mut Expressions<'_>) {
        for _ in 0..make.random.pick(&[1, 1, 2, 2, 3]) {
            let key = match make.random.below(12) {
                0..=3 => make.bucket(),
                4..=7 => make.random.pick(&make.table.columns.tags).into(),
                8 => make.random.pick(&["i % 3", "b", "s", "i > 20", "u", "e"]).into(),
                9 => make.of(Kind::Text, 1),
                10 => make.of(Kind::Integer, 1),
                _ => make.of(Kind::Float, 0),
            };
            if !self.keys.contains(&key) {
                self.add_item(key.clone());
                self.keys.push(key);
            }
        }
        if make.random.chance(90) {
            self.aggregate(make);
        }
        if make.random.chance(20) {
            self.having = Some(
                make.random
                    .pick(&[
                        "count(*) > 2",
                        "max(i) > 10",
                        "sum(g) < 0 OR min(i) IS NULL",
                        "count(s) = 0",
                        "min(time) > '1970-01-02'",
                    ])
                    .into(),
            );
        }
    }

    fn aggregate(&mut self, make: &mut Expressions<'_>) {
        for _ in 0..=make.random.below(4) {
            let item = self.aggregate_call(make);
            self.add_item(item);
        }
    }

    fn aggregate_call(&self, make: &mut Expressions<'_>) -> String {
        let depth = make.random.below(2);
        let argument = match make.random.below(12) {
            10 | 11 => {
                return make
                    .random
                    .pick(&[
                        "count(DISTINCT i)",
                        "count(DISTINCT s)",
                        "approx_distinct(s)",
                        "median(i)",
                        "percentile_disc(i, 0.9)",
                        "approx_percentile_cont(i, 0.9)",
                        "mode(s)",
                        "max_by(s, i)",
                        "first_value(s)",
                        "increase(i)",
                    ])
                    .into();
            }
            0 => return "count(*)".into(),
            1 => {
                let kind = make.random.pick(&Kind::ALL);
                format!("count({})", make.of(kind, depth))
            }
            2 => format!("sum({})", make.random.pick(&["u", "e", "i"])),
            3 => format!("{}({})", make.random.pick(&["sum", "avg"]), make.tame_float()),
            4 => format!("{}({})", make.random.pick(&["sum", "avg"]), make.small_integer()),
            5 => {
                let function = make.random.pick(&["stddev", "stddev_pop", "var_samp", "var_pop"]);
                let argument = if make.random.chance(50) { make.tame_float() } else { make.small_integer() };
                format!("{function}({argument})")
            }
            6 | 7 => {
                let kind = make.random.pick(&Kind::ALL);
                format!("{}({})", make.random.pick(&["min", "max"]), make.of(kind, depth))
            }
            8 => {
                let kind = make.random.pick(&Kind::ALL);
                let argument = make.of(kind, 0);
                format!("{}({argument})", make.random.pick(&["first", "last"]))
            }
            _ => make.random.pick(&["max(i) - min(i)", "count(*) * 2", "coalesce(sum(i), 0)", "min(f) IS NULL"]).into(),
        };
        if make.random.chance(10) && argument.ends_with(')') && !argument.contains(" * 2") {
            return format!("{argument} FILTER (WHERE {})", make.condition(0));
        }
        argument
    }

    fn add_item(&mut self, item: String) {
        if !self.items.contains(&item) {
            self.items.push(item);
        }
    }

    fn choose_order(&mut self, random: &mut Random) {
        if random.chance(40) {
            for _ in 0..=random.below(2) {
                let item = random.below(self.items.len());
                if self.order.iter().all(|key| key.item != item) {
                    let nulls = random.pick(&["", "", " NULLS FIRST", " NULLS LAST"]);
                    self.order.push(Order { item, descending: random.chance(50), nulls });
                }
            }
            if random.chance(50) {
                for item in 0..self.items.len() {
                    if self.order.iter().all(|key| key.item != item) {
                        self.order.push(Order { item, descending: false, nulls: "" });
                    }
                }
            }
        }
        if random.chance(25) {
            self.limit = Some(random.pick(&[0, 1, 3, 10, 100, 5_000]));
            self.offset = random.pick(&[0, 0, 0, 1, 7, 2_000]);
        }
    }

    /// Whether the order leaves only equal rows to choose between.
    pub(super) fn is_totally_ordered(&self) -> bool {
        self.order.len() == self.items.len()
    }

    /// The same query with all its rows, in any order.
    pub(super) fn without_order(&self) -> Self {
        Self { order: Vec::new(), ..self.without_limit() }
    }

    /// The same query with all its rows, in the order of the query.
    pub(super) fn without_limit(&self) -> Self {
        Self { limit: None, offset: 0, ..self.clone() }
    }

    /// The query as a part of a general statement, when that has all its rows and columns.
    pub(super) fn within_statement(&self, random: &mut Random) -> Option<String> {
        if !self.is_grouped || self.limit.is_some() || self.offset > 0 {
            return None;
        }
        let mut named = self.clone();
        named.order.clear();
        for (item, text) in named.items.iter_mut().enumerate() {
            *text = format!("{text} AS c{item}");
        }
        let sql = named.sql();
        Some(match random.below(3) {
            0 => format!("WITH q AS ({sql}) SELECT q.* FROM q JOIN (VALUES (1)) one (n) ON n = 1"),
            1 => format!("SELECT * FROM ({sql}) q WHERE EXISTS (SELECT 1)"),
            _ => format!("{sql} UNION ALL SELECT * FROM ({sql}) q WHERE 1 = 0"),
        })
    }

    pub(super) fn sql(&self) -> String {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let mut sql = format!("SELECT {distinct}{} FROM t", self.items.join(", "));
        if !self.conditions.is_empty() {
            sql += &format!(" WHERE {}", self.conditions.join(" AND "));
        }
        if !self.keys.is_empty() {
            sql += &format!(" GROUP BY {}", self.keys.join(", "));
        }
        if let Some(having) = &self.having {
            sql += &format!(" HAVING {having}");
        }
        if !self.order.is_empty() {
            let keys = self.order.iter().map(|key| {
                let direction = if key.descending { " DESC" } else { "" };
                format!("{}{direction}{}", key.item + 1, key.nulls)
            });
            sql += &format!(" ORDER BY {}", keys.collect::<Vec<_>>().join(", "));
        }
        if let Some(limit) = self.limit {
            sql += &format!(" LIMIT {limit}");
        }
        if self.offset > 0 {
            sql += &format!(" OFFSET {}", self.offset);
        }
        sql
    }

    /// Queries with one part less.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        for condition in 0..self.conditions.len() {
            let mut query = self.clone();
            query.conditions.remove(condition);
            smaller.push(query);
        }
        for order in 0..self.order.len() {
            let mut query = self.clone();
            query.order.remove(order);
            smaller.push(query);
        }
        if self.having.is_some() {
            smaller.push(Self { having: None, ..self.clone() });
        }
        if self.limit.is_some() || self.offset > 0 {
            smaller.push(self.without_limit());
        }
        if self.distinct {
            smaller.push(Self { distinct: false, ..self.clone() });
        }
        for item in 0..self.items.len() {
            if self.items.len() == 1 || (self.is_grouped && self.items.len() == self.keys.len()) {
                break;
            }
            let mut query = self.clone();
            let removed = query.items.remove(item);
            query.keys.retain(|key| *key != removed);
            query.order.retain(|key| key.item != item);
            query.order.iter_mut().filter(|key| key.item > item).for_each(|key| key.item -= 1);
            smaller.push(query);
        }
        smaller
    }
}
