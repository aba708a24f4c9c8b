//! `tsq import`: CSV and Parquet files into a table.
//!
//! `source` opens the files, `layout` decides what each column becomes, `convert` makes batches of the table's shape,
//! `transfer` runs readers and writer side by side with bounded memory. All rows are durable when the command returns.

mod convert;
mod epoch;
mod exposition;
mod layout;
mod progress;
mod source;
mod transfer;

pub(super) use progress::{Progress, Summary};
pub(super) use transfer::run;
