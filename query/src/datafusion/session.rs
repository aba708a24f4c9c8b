//! The DataFusion session of one statement.

use std::sync::{Arc, LazyLock};

use datafusion::common::config::Dialect;
use datafusion::execution::context::SessionContext;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::prelude::SessionConfig;
use lynxstore_storage::snapshot::Snapshot;

use super::asof_join::{AsofPlanner, AsofRelations, PushFilterBelowAsof};
use super::catalog::{CATALOG, SnapshotCatalog};
use super::error::from_datafusion;
use super::first_last::{End, FirstLast};
use super::lttb::Lttb;
use super::moving_avg::MovingAvg;
use super::run::RunOptions;
use super::time_bucket::TimeBucket;
use crate::error::Result;

/// Rows per batch of scans and operators.
const BATCH_ROWS: usize = 8_192;

/// DataFusion's functions and rules with ours added; every session starts from it.
static TEMPLATE: LazyLock<SessionState> = LazyLock::new(|| {
    let mut state = SessionStateBuilder::new()
        .with_default_features()
        .with_relation_planners(vec![Arc::new(AsofRelations)])
        .with_optimizer_rule(Arc::new(PushFilterBelowAsof))
        .with_query_planner(Arc::new(AsofPlanner))
        .build();
    let is_registered = [TimeBucket::bucket(), TimeBucket::trunc_in_zone()]
        .into_iter()
        .all(|function| state.register_udf(Arc::new(ScalarUDF::from(function))).is_ok())
        && [End::First, End::Last]
            .into_iter()
            .all(|end| state.register_udaf(Arc::new(AggregateUDF::from(FirstLast::new(end)))).is_ok())
        && state.register_udaf(Arc::new(AggregateUDF::from(Lttb::new()))).is_ok()
        && state.register_udwf(Arc::new(WindowUDF::from(MovingAvg::new()))).is_ok();
    assert!(is_registered, "a session state takes every function");
    state
});

/// A session over a snapshot.
pub(super) fn session(snapshot: Snapshot, options: &RunOptions) -> Result<SessionContext> {
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
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(options.memory_bytes_max));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().map_err(from_datafusion)?;
    let catalog = SnapshotCatalog {
        snapshot,
        default_namespace: Arc::clone(&options.namespace),
        file_access: options.file_access,
        on_damage: options.on_damage,
        system: options.system.clone(),
        tables: Arc::clone(&options.tables),
    };
    let state = SessionStateBuilder::new_from_existing(TEMPLATE.clone())
        .with_config(config)
        .with_runtime_env(runtime)
        .with_catalog_list(Arc::new(catalog))
        .build();
    Ok(SessionContext::new_with_state(state))
}
