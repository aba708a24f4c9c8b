//! What each subcommand does.

mod backup;
mod bench;
mod bench_lines;
mod check;
mod demo;
mod entry;
mod generate;
mod generate_iot;
mod hash_password;
mod interactive;
mod serve;

pub use entry::run;
