//! What each subcommand does.

mod backup;
mod bench;
mod check;
mod demo;
mod entry;
mod generate;
mod interactive;
mod serve;

pub use entry::run;
