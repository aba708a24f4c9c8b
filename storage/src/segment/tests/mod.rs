//! Whole segments: written from rows, read back as rows, damaged in every way.

mod damage;
mod golden;
mod layout;
mod lifecycle;
mod rollups;
mod round_trip;
mod rows;
