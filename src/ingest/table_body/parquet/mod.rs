//! Parquet files.
//!
//! A Parquet file says of everything how large it is before it shows it, and a reader that believes it can be made to
//! take any amount of memory by a few bytes. So the footer and the heads of the pages are read here, by a reader that
//! takes memory for what is there and never for what is claimed; pages are unpacked here, into as many bytes as the
//! footer said, which were compared with the limits and reserved before. Only sound pages of flat columns, of encodings
//! that cannot grow, reach the decoders of the parquet crate.

mod footer;
mod pages;
mod read;
#[cfg(test)]
mod tests;
mod thrift;

pub(super) use read::read;
