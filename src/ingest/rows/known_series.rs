//! Finds a series by the raw bytes that a protocol spells it with, so that a row of a known one parses no tag.
//!
//! Belongs to one request at a time. Two spellings of one series (another order of tags) lead to one entry by its sorted
//! tags. Entries are shortcuts and may be stale: each says for which version of its table it holds, and the caller
//! resolves it again when the table has changed. Memory is bounded by the owner, who starts anew between requests.

use std::borrow::Cow;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use lynxstore_storage::types::{SeriesKey, TableId};

/// A series in words: what a decoder says when its raw bytes are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesName<'a> {
    /// The table.
    pub table: Cow<'a, str>,
    /// Names and values of the tags, in any order; absent tags are left out.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// A series and its place in the request that is being read.
#[derive(Debug)]
pub(super) struct KnownSeries {
    /// Position of the table among those of the state.
    pub(super) table: u32,
    /// The table and its version for which `key` holds.
    pub(super) version: (TableId, u32),
    /// The key; `None` while the table lacks some of the tags.
    pub(super) key: Option<SeriesKey>,
    /// The sorted tags.
    pub(super) tags: Box<[(Box<str>, Box<str>)]>,
    /// The request in which it got its place.
    pub(super) round: u64,
    /// Its place among the series of its table in that request.
    pub(super) place: u32,
}

impl KnownSeries {
    /// It is looked at anew when it comes again.
    pub(super) fn forget(&mut self) {
        (self.key, self.version) = (None, (TableId::default(), 0));
    }
}

#[derive(Debug)]
struct Spelling {
    hash: u64,
    raw: Box<[u8]>,
    series: u32,
}

/// All series that a state knows.
#[derive(Debug, Default)]
pub(super) struct SeriesIndex {
    hasher: DefaultHashBuilder,
    spellings: HashTable<Spelling>,
    /// Numbers of series, by table and sorted tags.
    by_tags: HashTable<(u64, u32)>,
    series: Vec<KnownSeries>,
    bytes: usize,
}

impl SeriesIndex {
    pub(super) fn hash(&self, raw: &[u8]) -> u64 {
        self.hasher.hash_one(raw)
    }

    /// The number of the series that these bytes spell.
    #[inline]
    pub(super) fn find(&self, hash: u64, raw: &[u8]) -> Option<u32> {
        self.spellings.find(hash, |spelling| *spelling.raw == *raw).map(|spelling| spelling.series)
    }

    /// The number of the series of these sorted tags, under this spelling from now on.
    pub(super) fn add(&mut self, hash: u64, raw: &[u8], table: u32, tags: &[(Cow<'_, str>, Cow<'_, str>)]) -> u32 {
        let tags_hash = self.hasher.hash_one((table, tags));
        let is_same = |&(other_hash, number): &(u64, u32)| {
            let other = &self.series[number as usize];
            other_hash == tags_hash
                && other.table == table
                && other.tags.len() == tags.len()
                && other.tags.iter().zip(tags).all(|(other, tag)| *other.0 == *tag.0 && *other.1 == *tag.1)
        };
        let number = match self.by_tags.find(tags_hash, is_same) {
            Some(&(_, number)) => number,
            None => {
                let number = u32::try_from(self.series.len()).expect("memory ends before 2^32 series");
                let tags: Box<[(Box<str>, Box<str>)]> =
                    tags.iter().map(|(name, value)| (Box::from(&**name), Box::from(&**value))).collect();
                let tag_bytes: usize = tags.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
                // The key takes about as much as the values again.
                self.bytes += size_of::<KnownSeries>() + 2 * tag_bytes + 32;
                self.series.push(KnownSeries {
                    table,
                    version: (TableId::default(), 0),
                    key: None,
                    tags,
                    round: 0,
                    place: 0,
                });
                self.by_tags.insert_unique(tags_hash, (tags_hash, number), |(hash, _)| *hash);
                number
            }
        };
        self.bytes += size_of::<Spelling>() + raw.len() + 16;
        self.spellings.insert_unique(hash, Spelling { hash, raw: raw.into(), series: number }, |entry| entry.hash);
        number
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &KnownSeries {
        &self.series[number as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut KnownSeries {
        &mut self.series[number as usize]
    }

    /// About the bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }
}
