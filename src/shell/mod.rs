//! The `tsq` command: shell, one-shot queries, import, benchmarks and data generation.

mod catalog;
mod cli;
mod command;
mod dot;
mod editor;
mod error;
mod import;
mod interrupt;
mod lexer;
mod output;
mod scratch;
mod script;
mod session;
mod terminal;

pub use command::run;
