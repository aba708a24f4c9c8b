//! Finds groups by the hash of their key.
//!
//! A part of the hash stands beside each group. So a table that grows looks at no key: keys of millions of groups lie in no
//! cache, and reading them took half of the time of such a statement, and up to 0.8 s in which no cancellation was seen.

use hashbrown::HashTable;

/// Groups by the hashes of their keys.
#[derive(Default)]
pub(super) struct HashedGroups {
    table: HashTable<HashedGroup>,
}

struct HashedGroup {
    group: u32,
    hash: u32,
}

/// A hash for the table, which takes the place from the low bits and a tag from the highest ones.
fn widened(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl HashedGroups {
    /// The group with this hash whose key `is_key` knows.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_key: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = (hash >> 32) as u32;
        let is_same = |known: &HashedGroup| known.hash == hash && is_key(known.group);
        self.table.find(widened(hash), is_same).map(|known| known.group)
    }

    /// Adds a group that is not there.
    pub(super) fn insert(&mut self, hash: u64, group: u32) {
        let hash = (hash >> 32) as u32;
        self.table.insert_unique(widened(hash), HashedGroup { group, hash }, |known| widened(known.hash));
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.table.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_again_when_the_table_has_grown_and_hashes_are_shared() {
        let mut groups = HashedGroups::default();
        // Four groups of each hash, which differ in the half that is kept.
        let hash = |group: u32| u64::from(group / 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for group in 0..10_000 {
            assert_eq!(groups.find(hash(group), |known| known == group), None);
            groups.insert(hash(group), group);
        }
        for group in 0..10_000 {
            assert_eq!(groups.find(hash(group), |known| known == group), Some(group));
        }
        assert!(groups.bytes() >= 10_000 * size_of::<HashedGroup>());
    }
}
