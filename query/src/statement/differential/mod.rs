//! Both ways of a query give the same answer: generated queries over generated tables run on the vectorized executor
//! and on DataFusion, over the same snapshot.

mod answer;
mod expression;
mod query;
mod random;
mod table;
mod tests;
