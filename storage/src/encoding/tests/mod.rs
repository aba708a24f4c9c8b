//! Tests of the encodings through their functions; those of the kernels stand beside these.

mod check;
mod coded;
mod damage;
mod forced;
mod round_trip;
