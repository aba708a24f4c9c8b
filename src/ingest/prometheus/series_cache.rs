//! Finds a series by the raw bytes of its labels, so that a repeated request parses no label and builds no key.
//!
//! Bounded by two generations: lookups go to the young one, then to the old one; what is found in the old one moves to
//! the young one with the next insertion, and a full young generation replaces the old one. A series that is sent at
//! least once per turn of the generations therefore stays. An entry is only a shortcut: losing one costs a parse, and a
//! stale one (its table was dropped) is refused by the engine, upon which the writer clears the cache.
//!
//! Senders name series in one order, scrape after scrape. So the entries of a generation and their labels stand in the order
//! in which they came, and a lookup compares the labels of the entry behind the one that was found last before it hashes
//! anything: memory is then read from front to back, as the processor expects.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hashbrown::{DefaultHashBuilder, HashTable};
use lynxstore_storage::types::{ColumnId, SeriesKey, TableId};

use super::decode::KnownLabels;

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
    /// Where the labels start and end among those of its generation.
    labels: Range<usize>,
    series: Arc<CachedSeries>,
}

/// Bytes of an entry beside its labels and its key: the entry, two `Arc` headers, the series, the slot in the table.
const ENTRY_BYTES: usize = size_of::<Entry>() + size_of::<CachedSeries>() + 4 * size_of::<usize>() + 8;

/// Entries in the order in which they came.
#[derive(Debug, Default)]
struct Generation {
    entries: Vec<Entry>,
    /// Of all entries, one after the other.
    labels: Vec<u8>,
    positions: HashTable<u32>,
    bytes: usize,
}

impl Generation {
    fn is_of(&self, entry: &Entry, labels: &[u8]) -> bool {
        self.labels[entry.labels.clone()] == *labels
    }

    fn find(&self, hash: u64, labels: &[u8]) -> Option<usize> {
        let position = self.positions.find(hash, |&position| self.is_of(&self.entries[position as usize], labels))?;
        Some(*position as usize)
    }
}

/// The place of the series that was found last, behind which the next one is looked for first.
#[derive(Debug, Default)]
pub(super) struct Guess(usize);

/// Series in a row that are not behind each other in the cache, after which a message is taken to have an order of its own.
const MISSES_MAX: u32 = 8;

/// The labels of the cache in the order in which they came.
#[derive(Debug)]
pub(super) struct CachedLabels<'c> {
    cache: &'c SeriesCache,
    guess: usize,
    misses: u32,
    places: &'c mut KnownPlaces,
}

/// Where the labels of the series of a message were found.
#[derive(Debug, Default)]
pub(super) struct KnownPlaces {
    turn: u64,
    /// Per series its position among the entries, or [`KnownPlaces::NONE`].
    positions: Vec<u32>,
}

impl KnownPlaces {
    const NONE: u32 = u32::MAX;
}

impl KnownLabels for CachedLabels<'_> {
    #[inline]
    fn known_bytes(&mut self, series: &[u8]) -> usize {
        let Generation { entries, labels, .. } = &self.cache.young;
        match entries.get(self.guess) {
            Some(entry) if series.starts_with(&labels[entry.labels.clone()]) => {
                self.places.positions.push(self.guess as u32);
                (self.guess, self.misses) = (self.guess + 1, 0);
                entry.labels.len()
            }
            _ => {
                self.places.positions.push(KnownPlaces::NONE);
                0
            }
        }
    }

    fn note(&mut self, labels: &[u8]) {
        self.misses += 1;
        if self.misses <= MISSES_MAX
            && let Some(position) = self.cache.young.find(self.cache.hasher.hash_one(labels), labels)
        {
            self.guess = position + 1;
        }
    }
}

/// The cache; see the module.
#[derive(Debug)]
pub(super) struct SeriesCache {
    hasher: DefaultHashBuilder,
    young: Generation,
    old: Generation,
    generation_bytes_max: usize,
    /// Counts how often the young generation began anew: places in it mean nothing afterwards.
    turn: u64,
}

impl SeriesCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            young: Generation::default(),
            old: Generation::default(),
            generation_bytes_max: bytes_max / 2,
            turn: 1,
        }
    }

    /// The series of raw labels; `guess` is the one of the lookup before. `is_old` becomes true when it was found in the old
    /// generation, so that the caller moves it with [`SeriesCache::insert`].
    #[inline]
    pub(super) fn find(&self, labels: &[u8], guess: &mut Guess, is_old: &mut bool) -> Option<&Arc<CachedSeries>> {
        if let Some(entry) = self.young.entries.get(guess.0)
            && self.young.is_of(entry, labels)
        {
            guess.0 += 1;
            return Some(&entry.series);
        }
        self.search(labels, guess, is_old)
    }

    fn search(&self, labels: &[u8], guess: &mut Guess, is_old: &mut bool) -> Option<&Arc<CachedSeries>> {
        let hash = self.hasher.hash_one(labels);
        if let Some(position) = self.young.find(hash, labels) {
            guess.0 = position + 1;
            return Some(&self.young.entries[position].series);
        }
        let position = self.old.find(hash, labels)?;
        *is_old = true;
        Some(&self.old.entries[position].series)
    }

    /// Looks at the beginnings of series, in the order of a message, for labels that are in the cache; `places` receives
    /// where.
    pub(super) fn known_labels<'c>(&'c self, places: &'c mut KnownPlaces) -> CachedLabels<'c> {
        places.turn = self.turn;
        places.positions.clear();
        CachedLabels { cache: self, guess: 0, misses: 0, places }
    }

    /// The series of a message, by its number, whose labels a walk over the message has found; `None` when it has not, or
    /// other labels followed.
    #[inline]
    pub(super) fn at(&self, places: &KnownPlaces, series: usize, labels: &[u8]) -> Option<&Arc<CachedSeries>> {
        let entry = self.young.entries.get(*places.positions.get(series)? as usize)?;
        (places.turn == self.turn && entry.labels.len() == labels.len()).then_some(&entry.series)
    }

    /// Adds or replaces the series of raw labels.
    pub(super) fn insert(&mut self, labels: &[u8], series: Arc<CachedSeries>) {
        let hash = self.hasher.hash_one(labels);
        if let Some(position) = self.young.find(hash, labels) {
            self.young.entries[position].series = series;
            return;
        }
        let bytes = ENTRY_BYTES + labels.len() + series.key.as_bytes().len();
        if self.young.bytes + bytes > self.generation_bytes_max || self.young.entries.len() == u32::MAX as usize {
            self.old = std::mem::take(&mut self.young);
            self.turn += 1;
        }
        let Generation { entries, labels: all_labels, positions, bytes: all_bytes } = &mut self.young;
        let (position, start) = (entries.len() as u32, all_labels.len());
        all_labels.extend_from_slice(labels);
        entries.push(Entry { hash, labels: start..all_labels.len(), series });
        positions.insert_unique(hash, position, |&position| entries[position as usize].hash);
        *all_bytes += bytes;
    }

    pub(super) fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
        self.turn += 1;
    }

    /// Makes a series of a table.
    pub(super) fn series(&self, table: &Arc<MetricTable>, key: SeriesKey) -> Arc<CachedSeries> {
        let key_hash = self.hasher.hash_one(key.as_bytes());
        Arc::new(CachedSeries { table: table.clone(), key, key_hash, metadata: AtomicU64::new(0) })
    }

    /// Number of series in the cache.
    pub(super) fn len(&self) -> usize {
        self.young.entries.len() + self.old.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::decode_with;
    use super::super::request::ListMemory;
    use super::super::tests::Message;
    use super::super::{Limits, Version, decode};
    use super::*;

    fn table() -> Arc<MetricTable> {
        Arc::new(MetricTable { id: TableId(1), value: None, histogram: None, start: None })
    }

    fn insert(cache: &mut SeriesCache, labels: &str) {
        let series = cache.series(&table(), SeriesKey::from_tags([Some(labels.as_bytes())]));
        cache.insert(labels.as_bytes(), series);
    }

    fn find<'c>(cache: &'c SeriesCache, labels: &str) -> Option<(&'c Arc<CachedSeries>, bool)> {
        let mut is_old = false;
        let series = cache.find(labels.as_bytes(), &mut Guess::default(), &mut is_old)?;
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
    fn series_are_found_in_any_order() {
        let mut cache = SeriesCache::new(1 << 20);
        let labels: Vec<String> = (0..100).map(|index| format!("series {index}")).collect();
        labels.iter().for_each(|labels| insert(&mut cache, labels));
        let mut guess = Guess::default();
        for labels in labels.iter().chain(labels.iter().rev()).chain(labels.iter().step_by(7)) {
            let mut is_old = false;
            let found = cache.find(labels.as_bytes(), &mut guess, &mut is_old).unwrap();
            assert_eq!(found.key, SeriesKey::from_tags([Some(labels.as_bytes())]));
            assert!(!is_old && cache.find(b"another", &mut guess, &mut is_old).is_none());
        }
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

    #[test]
    fn labels_that_are_known_change_nothing_of_what_is_decoded() {
        let series = |index: u64, more: &[(&str, &str)]| {
            let message = Message::default().label("__name__", "m").label("host", &format!("host-{index}"));
            let message = more.iter().fold(message, |message, (name, value)| message.label(name, value));
            message.sample(index as f64, 1_767_225_600_000 + index as i64)
        };
        let mut cache = SeriesCache::new(1 << 20);
        for index in 0..6 {
            let message = Message::default().message(1, series(index, &[]));
            let request = decode(&message.0, Version::V1, &Limits::default()).unwrap();
            let cached = cache.series(&table(), SeriesKey::from_encoded(&[]));
            cache.insert(&request.series[0].labels, cached);
        }
        // In order, from the middle, with labels behind those that are known, unknown ones between, labels behind samples.
        let late = Message::default().sample(1.0, 1).label("host", "late");
        let all = [series(0, &[]), series(1, &[]), series(2, &[("mode", "x")]), series(9, &[]), series(3, &[]), late];
        let again = [series(4, &[]), series(5, &[]), series(5, &[]), series(1, &[]), series(2, &[])];
        let message = all.into_iter().chain(again).fold(Message::default(), |all, one| all.message(1, one));
        let limits = Limits::default();
        let mut places = KnownPlaces::default();
        let mut known = cache.known_labels(&mut places);
        let with = decode_with(&message.0, Version::V1, &limits, &mut known, ListMemory::default()).unwrap();
        let without = decode(&message.0, Version::V1, &limits).unwrap();
        assert_eq!(format!("{with:?}"), format!("{without:?}"));
        assert_eq!((known.guess, known.misses), (3, 0), "the last two were found behind each other");
        for (index, series) in with.series.iter().enumerate() {
            if let Some(found) = cache.at(&places, index, &series.labels) {
                let searched = cache.find(&series.labels, &mut Guess::default(), &mut false);
                assert!(Arc::ptr_eq(found, searched.unwrap()), "{index}");
            }
        }
        assert!(cache.at(&places, 1, &with.series[1].labels).is_some());
        assert!(cache.at(&places, 2, &with.series[2].labels).is_none(), "other labels follow");
        for cut in 0..message.0.len() {
            let with = decode_with(
                &message.0[..cut],
                Version::V1,
                &limits,
                &mut cache.known_labels(&mut KnownPlaces::default()),
                ListMemory::default(),
            );
            let without = decode(&message.0[..cut], Version::V1, &limits);
            assert_eq!(format!("{with:?}"), format!("{without:?}"), "{cut}");
        }
        cache.clear();
        assert!(cache.at(&places, 1, &with.series[1].labels).is_none());
    }
}
