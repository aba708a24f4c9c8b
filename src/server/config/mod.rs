//! The configuration of `tsq serve`: one file, the environment, flags.
//!
//! Every key stands once, in `keys`, with how it is read, shown and what it means; file, environment, `--set`, the printed
//! configuration and the check of the documentation all go through that list. Flags win over the environment, the
//! environment over the file, the file over the defaults. A key that does not exist is an error: a limit that was
//! misspelled and so not set is worse than a server that does not start.

mod keys;
mod load;
mod serve_config;
mod suggest;
mod value;

pub use keys::{Key, all_keys};
pub use load::{ConfigSource, describe, load_config};
pub use serve_config::{LogFormat, ServeConfig};
