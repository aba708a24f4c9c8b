//! What the fuzz targets run. The functions stand apart from libFuzzer, so that an ordinary test of the project replays
//! the corpora through them.

pub mod targets;
