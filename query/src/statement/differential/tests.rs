//! The runs.

#![cfg(feature = "datafusion")]

use std::sync::atomic::{AtomicUsize, Ordering};

use lynxstore_storage::snapshot::Snapshot;
use parking_lot::Mutex;

use super::answer::Answer;
use super::query::Query;
use super::random::Random;
use super::table::Table;
use crate::datafusion::{RunOptions, SqlInput, run};
use crate::error::Error;
use crate::{Cancellation, QueryEngine, Route};

/// Queries of a run unless told otherwise by `LYNX_DIFFERENTIAL_QUERIES`.
const QUERIES: usize = 10_000;
/// Queries over one table; the table changes between [`QUERIES_PER_STATE`] of them.
const QUERIES_PER_TABLE: usize = 250;
const QUERIES_PER_STATE: usize = 25;
const SEED: u64 = 20_260_101;

fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} = {text} is no number")),
        Err(_) => otherwise,
    }
}

/// What came of a query.
enum Outcome {
    /// Both ways agree.
    Same,
    /// The vectorized executor does not run it.
    Unsupported,
    Different(String),
}

/// The answer of DataFusion, whatever the route of the query would be.
fn ask_datafusion(query: &Query, way: &QueryEngine, table: &Table, snapshot: &Snapshot) -> Result<Answer, Error> {
    let options = RunOptions::new(way.options(), &table.engine);
    let rows = run(snapshot, SqlInput::Text(query.sql()), &[], &options, &Cancellation::new())?;
    Ok(Answer::new(rows.schema, &rows.batches))
}

fn compare(query: &Query, way: &QueryEngine, table: &Table, snapshot: &Snapshot) -> Outcome {
    let ours = match way.execute(&query.sql()) {
        Ok(output) if output.route == Route::DataFusion => return Outcome::Unsupported,
        ours => ours.map(|output| Answer::new(output.schema, &output.batches)),
    };
    let theirs = ask_datafusion(query, way, table, snapshot);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            let is_cut = query.limit.is_some() || query.offset > 0;
            let all = if is_cut && !query.is_totally_ordered() {
                ask_datafusion(&query.without_limit(), way, table, snapshot).ok()
            } else {
                None
            };
            match ours.differs(&theirs, query, all.as_ref()).or_else(|| differs_within(query, way, &theirs)) {
                None => Outcome::Same,
                Some(difference) => Outcome::Different(difference),
            }
        }
        (Err(_), Err(_)) => Outcome::Same,
        (Err(error), Ok(_)) => Outcome::Different(format!("only ours fails: {error}")),
        // DataFusion names columns by their arguments without casts, and refuses two of a name: `avg(x), avg(x::double)`.
        (Ok(_), Err(error)) if is_refusal_of_names(&error.to_string()) => Outcome::Unsupported,
        // A defect of DataFusion 55: `SELECT DISTINCT b IS TRUE` disagrees with itself on whether NULL can come out.
        (Ok(_), Err(error)) if error.to_string().contains("field nullability at index") => Outcome::Unsupported,
        (Ok(_), Err(error)) => Outcome::Different(format!("only DataFusion fails: {error}")),
    }
}

fn is_refusal_of_names(message: &str) -> bool {
    message.contains("require unique expression names") || message.contains("duplicate unqualified field name")
}

/// What is wrong with the answer to some queries when they are parts of general statements, which our operator serves.
fn differs_within(query: &Query, way: &QueryEngine, theirs: &Answer) -> Option<String> {
    let mut random = Random::new(query.sql().len() as u64);
    let sql = query.within_statement(&mut random).filter(|_| random.chance(25))?;
    match way.execute(&sql) {
        Err(error) => Some(format!("only as a part of {sql}: {error}")),
        Ok(output) => {
            let ours = Answer::new(output.schema, &output.batches);
            let difference = ours.differs(theirs, &query.without_order(), None)?;
            Some(format!("only as a part of {sql}: {difference}"))
        }
    }
}

/// Takes parts away from a query as long as the answers differ.
fn minimal(mut query: Query, differs: impl Fn(&Query) -> Option<String>) -> (Query, String) {
    let mut difference = differs(&query).unwrap_or_default();
    loop {
        let smaller = query.smaller().into_iter().find_map(|query| differs(&query).map(|found| (query, found)));
        match smaller {
            Some((smaller, found)) => (query, difference) = (smaller, found),
            None => return (query, difference),
        }
    }
}

/// Asks the queries of one table; gives the number of those that the vectorized executor ran, or the first difference.
fn run_table(seed: u64, queries: usize) -> Result<usize, String> {
    let mut random = Random::new(seed);
    let mut table = Table::generate(&mut random);
    let mut snapshot = table.engine.snapshot();
    let mut vectorized = 0;
    for number in 0..queries {
        if number % QUERIES_PER_STATE == QUERIES_PER_STATE - 1 {
            table.change(&mut random);
            snapshot = table.engine.snapshot();
        }
        let query = Query::generate(&table, &mut random);
        let way = random.below(table.ways.len());
        let difference_of = |query: &Query| match compare(query, &table.ways[way], &table, &snapshot) {
            Outcome::Different(difference) => Some(difference),
            Outcome::Same | Outcome::Unsupported => None,
        };
        match compare(&query, &table.ways[way], &table, &snapshot) {
            Outcome::Same => vectorized += 1,
            Outcome::Unsupported => {}
            Outcome::Different(_) => {
                let (smallest, difference) = minimal(query.clone(), difference_of);
                let options = table.ways[way].options();
                return Err(format!(
                    "the answers differ: {difference}\n  {}\nfound by\n  {}\nwith {:?} rollups, {} threads, over a table \
                     of seed {seed}: LYNX_DIFFERENTIAL_TABLE={seed}\n  {}",
                    smallest.sql(),
                    query.sql(),
                    options.rollups,
                    options.threads,
                    table.story.join("\n  ")
                ));
            }
        }
    }
    Ok(vectorized)
}

#[test]
fn generated_queries_have_one_answer() {
    if let Ok(table) = std::env::var("LYNX_DIFFERENTIAL_TABLE") {
        run_table(table.parse().unwrap(), QUERIES_PER_TABLE).unwrap_or_else(|difference| panic!("{difference}"));
        return;
    }
    let queries = setting("LYNX_DIFFERENTIAL_QUERIES", QUERIES);
    let seed = setting("LYNX_DIFFERENTIAL_SEED", SEED);
    let (tables, next) = (queries.div_ceil(QUERIES_PER_TABLE), AtomicUsize::new(0));
    let (vectorized, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let table = next.fetch_add(1, Ordering::Relaxed);
                    if table >= tables {
                        return;
                    }
                    match run_table(seed.wrapping_add(table as u64), QUERIES_PER_TABLE) {
                        Ok(count) => drop(vectorized.fetch_add(count, Ordering::Relaxed)),
                        Err(difference) => differences.lock().push(difference),
                    }
                }
            });
        }
    });
    let differences = differences.into_inner();
    assert!(differences.is_empty(), "{} tables of {tables}:\n\n{}", differences.len(), differences.join("\n\n"));
    let (vectorized, all) = (vectorized.into_inner(), tables * QUERIES_PER_TABLE);
    assert!(vectorized * 10 > all * 9, "only {vectorized} of {all} queries were compared");
}
