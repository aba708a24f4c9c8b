//! The DataFusion session of one statement.

use std::sync::{Arc, LazyLock};

use datafusion::common::config::Dialect;
use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::SessionConfig;
use lynxstore_storage::snapshot::Snapshot;

use super::asof_join::{AsofPlanner, AsofRelations, PushFilterBelowAsof};
use super::bounded_function::bounded_functions;
use super::catalog::{CATALOG, SnapshotCatalog};
use super::error::from_datafusion;
use super::extreme::Extreme;
use super::first_last::{End, FirstLast};
use super::histogram_function::HistogramFunction;
use super::json;
use super::lttb::Lttb;
use super::memory_pool::AccountPool;
use super::moving_avg::MovingAvg;
use super::run::RunOptions;
use super::served_query::ServedQueries;
use super::summary_aggregate::SummaryAggregate;
use super::text_patterns::TextBesidePatterns;
use super::time_bucket::TimeBucket;
use crate::error::Result;

/// Rows per batch of scans and operators.
const BATCH_ROWS: usize = 8_192;

/// Results of functions that a statement may hold at a time: one per thread and level of calls.
const CALLS_AT_ONCE: u64 = 16;

/// DataFusion's functions and rules with ours added; every session starts from it.
static TEMPLATE: LazyLock<SessionState> = LazyLock::new(|| {
    let mut state = SessionStateBuilder::new()
        .with_default_features()
        .with_relation_planners(vec![Arc::new(AsofRelations)])
        .with_optimizer_rules(optimizer_rules())
        .with_query_planner(Arc::new(AsofPlanner))
        .build();
    let ends = [End::First, End::Last].map(|end| AggregateUDF::from(FirstLast::new(end)));
    let summaries = SummaryAggregate::all().map(AggregateUDF::from);
    let bounds = Extreme::all().map(AggregateUDF::from);
    let lttb = std::iter::once(AggregateUDF::from(Lttb::new()));
    let mut aggregates = ends.into_iter().chain(summaries).chain(bounds).chain(lttb);
    let is_registered = [TimeBucket::bucket(), TimeBucket::trunc_in_zone()]
        .into_iter()
        .all(|function| state.register_udf(Arc::new(ScalarUDF::from(function))).is_ok())
        && HistogramFunction::all().all(|function| state.register_udf(Arc::new(ScalarUDF::from(function))).is_ok())
        && aggregates.all(|aggregate| state.register_udaf(Arc::new(aggregate)).is_ok())
        && state.register_udwf(Arc::new(WindowUDF::from(MovingAvg::new()))).is_ok()
        && json::register(&mut state).is_ok();
    assert!(is_registered, "a session state takes every function");
    state
});

/// DataFusion's rules with ours. That of ASOF joins stands behind the one that moves filters: later ones put projections
/// between a filter and a join that only ours knows, and the filter would stay above it.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let push_down = rules.iter().position(|rule| rule.name() == "push_down_filter");
    rules.insert(push_down.map_or(rules.len(), |position| position + 1), Arc::new(PushFilterBelowAsof));
    rules.insert(0, Arc::new(TextBesidePatterns));
    rules
}

/// A session over a snapshot.
pub(super) fn session(snapshot: Snapshot, options: &RunOptions, served: ServedQueries) -> Result<SessionContext> {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.threads.max(1))
        .with_batch_size(BATCH_ROWS)
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, &*options.namespace);
    let parser = &mut config.options_mut().sql_parser;
    parser.dialect = Dialect::Generic;
    parser.enable_ident_normalization = true;
    // Text is Utf8 on every route.
    parser.map_string_types_to_utf8view = false;
    config.options_mut().execution.parquet.schema_force_view_types = false;
    // Of DataFusion 55 it panics on floats.
    config.options_mut().optimizer.enable_topk_aggregation = false;
    // What a sort keeps aside for merging must leave room for sorting.
    let merge_bytes = usize::try_from(options.memory.limit_bytes() / CALLS_AT_ONCE).unwrap_or(usize::MAX);
    let kept = &mut config.options_mut().execution.sort_spill_reservation_bytes;
    *kept = (*kept).min(merge_bytes);
    let pool = Arc::new(AccountPool::new(Arc::clone(&options.memory)));
    let mut runtime =
        RuntimeEnvBuilder::new().with_memory_pool(pool).with_max_temp_directory_size(options.spill_bytes_max);
    if let Some(dir) = &options.spill_dir {
        runtime = runtime.with_temp_file_path(dir);
    }
    let runtime = runtime.build_arc().map_err(from_datafusion)?;
    let catalog = SnapshotCatalog {
        snapshot,
        default_namespace: Arc::clone(&options.namespace),
        file_access: options.file_access,
        on_damage: options.on_damage,
        system: options.system.clone(),
        served,
        tables: Arc::clone(&options.tables),
    };
    let mut state = SessionStateBuilder::new_from_existing(TEMPLATE.clone())
        .with_config(config)
        .with_runtime_env(runtime)
        .with_catalog_list(Arc::new(catalog))
        .build();
    let call_bytes_max = options.memory.limit_bytes() / CALLS_AT_ONCE;
    for function in bounded_functions(call_bytes_max, |name| TEMPLATE.udf(name).ok()) {
        state.register_udf(function).map_err(from_datafusion)?;
    }
    Ok(SessionContext::new_with_state(state))
}
