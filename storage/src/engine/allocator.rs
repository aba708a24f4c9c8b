//! What an engine asks of the allocator, which belongs to the program that embeds it.
//!
//! The C library of Linux gives the free end of its heap back to the kernel whenever that is longer than 128 KiB, so the
//! columns of a commit are unmapped after it and faulted in again, page by page, by the next: a tenth of the time of an
//! ingest. It keeps more once it has seen a larger block come and go: twice that block. Other allocators do not care.

/// The columns of a commit of 10,000 rows take about two of these.
const BLOCK_BYTES: usize = 4 << 20;

/// Makes the allocator keep up to twice [`BLOCK_BYTES`] of free memory at the end of a heap. Nothing is written to the
/// block, so it costs two system calls.
pub(super) fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK_BYTES)));
}
