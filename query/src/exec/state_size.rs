//! How much memory the states of groups take.

use super::states::{Layout, StateKind};

/// Bytes of one group: its states, and what a table of groups keeps beside them. States over texts and other values of no
/// fixed size are estimated.
pub(crate) fn group_bytes(layout: &Layout) -> u64 {
    /// The number of rows, and a place in a table of groups.
    const GROUP_BYTES: u64 = 40;
    const NUMBER_BYTES: u64 = 112;
    const VALUE_BYTES: u64 = 256;
    let arguments = layout.arguments.iter().map(|argument| match &argument.kind {
        StateKind::Count => 8,
        StateKind::Number(..) => NUMBER_BYTES,
        _ => VALUE_BYTES,
    });
    GROUP_BYTES + arguments.sum::<u64>()
}
