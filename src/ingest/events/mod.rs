//! Events as lines of JSON: an object per line becomes a row of one table.
//!
//! [`flatten()`] turns an object into names and values, [`write()`] a body into one commit. A bad line is left out with its
//! number and reason. [`EventSamplers`] leave a part of the lines out under pressure, for requests that ask for it. Memory
//! is bounded by the longest line beside the rows themselves.

mod flatten;
mod sampler;
mod time;
mod write;

pub use flatten::{Member, MemberValue, Nested, flatten};
pub use sampler::{EventSamplers, SamplingTables};
pub(super) use time::nanoseconds;
pub use write::{EventOptions, write};
