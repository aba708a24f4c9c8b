//! Vectors of up to [`VECTOR_LEN`] values as bytes and back, and the kernels that work on decoded vectors.
//!
//! Invariant: what was encoded decodes to the same bits at every position that is not NULL; any other input is a
//! [`DecodeError`], never a panic or an access out of bounds. Everything here is a pure function and may be called from
//! any number of threads. The bytes are described in `docs/format/vector.md`.

mod coded;
mod column_code;
mod column_coder;
mod error;
mod fill;
mod float;
mod header;
mod integer;
mod integer_form;
mod integer_plan;
pub mod kernel;
mod part_sums;
mod patch;
mod runs;
mod single_value;
mod split;
mod string;
#[cfg(test)]
mod tests;
mod validity;
mod vector_buffer;
mod zone_map;

pub use column_code::{ColumnCode, DecodeTable};
pub use column_coder::{ColumnCoder, PlainVector};
pub use error::{DecodeError, EncodeError};
pub(crate) use float::{as_decimals, power_of_ten};
pub use float::{decode_column_f64, decode_f64, encode_f64};
pub use header::{VectorEncoding, VectorHeader};
pub use integer::{compare_vector_i64, decode_column_i64, decode_i64, encode_i64, min_max_vector_i64, sum_vector_i64};
pub use part_sums::{PARTS_MAX, sum_parts_i64};
pub use single_value::value_at_i64;
pub(crate) use string::recompress_strings;
pub use string::{decode_dictionary, decode_strings_plain, encode_dictionary, encode_strings_plain};
pub use validity::{Validity, decode_validity};
pub use vector_buffer::VectorBuffer;
pub use zone_map::ZoneMap;

/// The most values that a vector holds.
pub const VECTOR_LEN: usize = 1024;

/// The words of a bit mask over a vector; bit `i % 64` of word `i / 64` belongs to value `i`.
pub const MASK_WORDS: usize = VECTOR_LEN / 64;

/// A bit per value of a vector.
pub type Mask = [u64; MASK_WORDS];
