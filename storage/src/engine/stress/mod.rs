//! Writers, readers, deletes, flushes, compactions and retention at once on a real directory.
//!
//! The schedule is that of the machine, everything else follows from a seed. Readers check every snapshot that they take
//! against what was begun and what was acknowledged before and after it was taken, and look at it again later.

mod history;
mod ledger;
mod run;
