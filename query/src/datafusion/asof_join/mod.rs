//! `ASOF JOIN`: to each row of the left side the nearest row in time of the right side with the same keys.
//!
//! `syntax` puts such a join into a place where DataFusion asks for an extension, `relation` plans it there, with the
//! condition taken apart by `condition`. `node` is the logical operator, `pushdown` moves filters below it, `exec` and
//! `merge` run it: both sides arrive sorted by keys and time, and are merged in one pass. `input_order` finds sides that
//! need no sort for that.

mod condition;
mod exec;
mod input_order;
mod merge;
mod node;
mod pushdown;
mod relation;
mod syntax;

pub(super) use node::AsofPlanner;
pub(super) use pushdown::PushFilterBelowAsof;
pub(super) use relation::AsofRelations;
pub(super) use syntax::nest_asof_joins;
