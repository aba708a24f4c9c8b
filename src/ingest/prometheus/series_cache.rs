//! Finds a series by the raw bytes of its labels, so that a repeated request parses no label and builds no key.
//!
//! Bounded by two generations: lookups go to the young one, then to the old one; what is found in the old one moves to
//! the young one with the next insertion, and a full young generation replaces the old one. A series that is sent at
//! least once per turn of the generations therefore stays. An entry is only a shortcut: losing one costs a parse, and a
//! stale one (its table was dropped) is refused by the engine, upon which the writer clears the cache.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hashbrown::{DefaultHashBuilder, HashTable};
use lynxstore_storage::types::{ColumnId, SeriesKey, TableId};

/// The table of a metric, as far as its rows need it.
#[derive(Debug)]
pub(super) struct MetricTable {
    pub(super) id: TableId,
    /// The field of samples; `None` when the table has another column of that name.
    pub(super) value: Option<ColumnId>,
    /// The field of native histograms; `None` until one arrives.
    pub(super) histogram: Option<ColumnId>,
    /// The field of start times; `None` until one arrives.
    pub(super) start: Option<ColumnId>,
}

/// A series of a table.
#[derive(Debug)]
pub(super) struct CachedSeries {
    pub(super) table: Arc<MetricTable>,
    pub(super) key: SeriesKey,
    /// Hash of `key`: two spellings of one series (another order of labels) meet by it.
    pub(super) key_hash: u64,
    /// The metadata that came with the series last, as the writer remembers it; 0 for none.
    pub(super) metadata: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    labels: Box<[u8]>,
    series: Arc<CachedSeries>,
}

/// Bytes of an entry beside its labels and its key: the entry, two `Arc` headers, the series, the slot in the table.
const ENTRY_BYTES: usize = size_of::<Entry>() + size_of::<CachedSeries>() + 4 * size_of::<usize>() + 8;

/// The cache; see the module.
#[derive(Debug)]
pub(super) struct SeriesCache {
    hasher: DefaultHashBuilder,
    young: HashTable<Entry>,
    young_bytes: usize,
    old: HashTable<Entry>,
    generation_bytes_max: usize,
}

impl SeriesCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            young: HashTable::new(),
            young_bytes: 0,
            old: HashTable::new(),
            generation_bytes_max: bytes_max / 2,
        }
    }

    /// The hash of raw labels, for the other calls.
    pub(super) fn hash(&self, labels: &[u8]) -> u64 {
        self.hasher.hash_one(labels)
    }

    /// The series of these labels. `is_old` becomes true when it was found in the old generation, so that the caller
    /// moves it with [`SeriesCache::insert`].
    #[inline]
    pub(super) fn find(&self, hash: u64, labels: &[u8], is_old: &mut bool) -> Option<&Arc<CachedSeries>> {
        let equals = |entry: &Entry| *entry.labels == *labels;
        if let Some(entry) = self.young.find(hash, equals) {
            return Some(&entry.series);
        }
        let entry = self.old.find(hash, equals)?;
        *is_old = true;
        Some(&entry.series)
    }

    /// Adds or replaces a series.
    pub(super) fn insert(&mut self, hash: u64, labels: &[u8], series: Arc<CachedSeries>) {
        if let Some(entry) = self.young.find_mut(hash, |entry| *entry.labels == *labels) {
            entry.series = series;
            return;
        }
        let bytes = ENTRY_BYTES + labels.len() + series.key.as_bytes().len();
        if self.young_bytes + bytes > self.generation_bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert_unique(hash, Entry { hash, labels: labels.into(), series }, |entry| entry.hash);
    }

    pub(super) fn clear(&mut self) {
        self.young = HashTable::new();
        self.old = HashTable::new();
        self.young_bytes = 0;
    }

    /// Makes a series of a table.
    pub(super) fn series(&self, table: &Arc<MetricTable>, key: SeriesKey) -> Arc<CachedSeries> {
        let key_hash = self.hasher.hash_one(key.as_bytes());
        Arc::new(CachedSeries { table: table.clone(), key, key_hash, metadata: AtomicU64::new(0) })
    }

    /// Number of series in the cache.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Arc<MetricTable> {
        Arc::new(MetricTable { id: TableId(1), value: None, histogram: None, start: None })
    }

    fn insert(cache: &mut SeriesCache, labels: &str) {
        let series = cache.series(&table(), SeriesKey::from_tags([Some(labels.as_bytes())]));
        cache.insert(cache.hash(labels.as_bytes()), labels.as_bytes(), series);
    }

    fn find<'c>(cache: &'c SeriesCache, labels: &str) -> Option<(&'c Arc<CachedSeries>, bool)> {
        let mut is_old = false;
        let series = cache.find(cache.hash(labels.as_bytes()), labels.as_bytes(), &mut is_old)?;
        Some((series, is_old))
    }

    #[test]
    fn a_series_is_found_by_its_bytes_only() {
        let mut cache = SeriesCache::new(1 << 20);
        insert(&mut cache, "a");
        insert(&mut cache, "a");
        assert_eq!(cache.len(), 1);
        assert_eq!(find(&cache, "a").unwrap().0.key, SeriesKey::from_tags([Some(&b"a"[..])]));
        assert!(find(&cache, "b").is_none());
        cache.clear();
        assert!(find(&cache, "a").is_none());
    }

    #[test]
    fn memory_is_bounded_and_series_in_use_stay() {
        let mut cache = SeriesCache::new(64 * (ENTRY_BYTES + 16));
        insert(&mut cache, "kept");
        for index in 0..10_000 {
            insert(&mut cache, &format!("{index}"));
            if let (_, true) = find(&cache, "kept").expect("it is looked up all the time") {
                insert(&mut cache, "kept");
            }
            assert!(cache.len() <= 64 * (ENTRY_BYTES + 16) / ENTRY_BYTES, "{}", cache.len());
        }
        assert!(find(&cache, "0").is_none());
        assert!(find(&cache, "9999").is_some());
    }
}
