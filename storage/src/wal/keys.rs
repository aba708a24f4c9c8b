//! The series keys of a batch within a commit.
//!
//! A commit of a remote-write request has one row of each of thousands of series, and its keys are most of its bytes.
//! Keys that come one after the other mostly differ in the middle, where one tag has another value; so a key may be
//! written as what it shares with the key before at both ends, and what stands between. Comparing two keys costs less
//! than copying, checksumming and writing the whole one does.
//!
//! Decoding is for untrusted bytes: `None` for anything that the encoder does not make, and what it allocates is taken
//! off a budget.

use hashbrown::HashSet;

use super::block;
use crate::framing::ByteReader;
use crate::types::{SeriesKey, SeriesRows};

/// In place of the kind of a block of lengths: keys that share their ends with the one before.
const SHARED: u8 = 32;

/// Keys that are shorter on average are written whole.
const SHARED_KEY_BYTES_MIN: usize = 16;

/// Appends the keys.
pub(super) fn encode_keys(series: &[SeriesRows], out: &mut Vec<u8>) {
    let byte_len: usize = series.iter().map(|one| one.key.as_bytes().len()).sum();
    if series.len() < 2 || byte_len < series.len() * SHARED_KEY_BYTES_MIN {
        let lens: Vec<i64> = series.iter().map(|one| one.key.as_bytes().len() as i64).collect();
        block::encode_integers(&lens, out);
        for one in series {
            out.extend_from_slice(one.key.as_bytes());
        }
        return;
    }
    out.push(SHARED);
    let mut before: &[u8] = &[];
    for one in series {
        let key = one.key.as_bytes();
        // Something stands in the middle of each key but the empty one, so that bytes bound the number of keys.
        let prefix = common_prefix(before, key).min(key.len().saturating_sub(1));
        let rest = (&before[prefix.min(before.len())..], &key[prefix..]);
        let suffix = common_suffix(rest.0, rest.1).min(rest.1.len().saturating_sub(1));
        let middle = &rest.1[..rest.1.len() - suffix];
        encode_length(prefix, out);
        encode_length(suffix, out);
        encode_length(middle.len(), out);
        out.extend_from_slice(middle);
        before = key;
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let chunks = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let mut len = 0;
    for (a, b) in chunks {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return len + difference.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + a[len..].iter().zip(&b[len..]).take_while(|(a, b)| a == b).count()
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let chunks = a.as_rchunks::<8>().1.iter().rev().zip(b.as_rchunks::<8>().1.iter().rev());
    let mut len = 0;
    for (a, b) in chunks {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return len + difference.leading_zeros() as usize / 8;
        }
        len += 8;
    }
    let (a, b) = (&a[..a.len() - len], &b[..b.len() - len]);
    len + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// Seven bits a byte, the lowest first.
fn encode_length(mut len: usize, out: &mut Vec<u8>) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

fn decode_length(reader: &mut ByteReader<'_>) -> Option<usize> {
    let mut len = 0_u32;
    for shift in (0..28).step_by(7) {
        let byte = reader.u8()?;
        len |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(len as usize);
        }
    }
    None
}

/// Decodes `count` distinct, well-formed keys; what they take beyond the bytes that they are made from is taken off
/// `budget`.
pub(super) fn decode_keys(reader: &mut ByteReader<'_>, count: usize, budget: &mut u64) -> Option<Vec<SeriesKey>> {
    // Keys are distinct, and all but the empty one take three bytes or more.
    if count > reader.remaining() / 3 + 1 {
        return None;
    }
    let mut keys = Vec::with_capacity(count);
    if reader.clone().u8()? == SHARED {
        reader.u8()?;
        let mut key: Vec<u8> = Vec::new();
        for _ in 0..count {
            let (prefix, suffix) = (decode_length(reader)?, decode_length(reader)?);
            let middle_len = decode_length(reader)?;
            let middle = reader.take(middle_len)?;
            if prefix + suffix > key.len() || (middle.is_empty() && prefix + suffix > 0) {
                return None;
            }
            let len = prefix + middle.len() + suffix;
            *budget = budget.checked_sub(len as u64)?;
            let end = key.len() - suffix;
            key.splice(prefix..end, middle.iter().copied());
            keys.push(SeriesKey::from_encoded(&key));
        }
    } else {
        let lens = block::decode_integers(reader, count)?;
        for len in lens {
            keys.push(SeriesKey::from_encoded(reader.take(usize::try_from(len).ok()?)?));
        }
    }
    let mut distinct: HashSet<&[u8]> = HashSet::with_capacity(count);
    let is_sound = |key: &SeriesKey| SeriesKey::is_well_formed(key.as_bytes(), usize::MAX);
    let are_sound = keys.iter().all(|key| is_sound(key) && distinct.insert(key.as_bytes()));
    drop(distinct);
    are_sound.then_some(keys)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(keys: &[SeriesKey]) -> Vec<SeriesRows> {
        (0..).zip(keys).map(|(row, key)| SeriesRows { key: key.clone(), rows: row..row + 1 }).collect()
    }

    fn encoded(keys: &[SeriesKey]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_keys(&series(keys), &mut bytes);
        bytes
    }

    fn decoded(bytes: &[u8], count: usize) -> Option<Vec<SeriesKey>> {
        let mut reader = ByteReader::new(bytes);
        let keys = decode_keys(&mut reader, count, &mut (1 << 20))?;
        (reader.remaining() == 0).then_some(keys)
    }

    fn key(host: usize, mode: &str) -> SeriesKey {
        SeriesKey::from_tags([Some(format!("host-{host:04}.example.com:9100").as_bytes()), Some(mode.as_bytes())])
    }

    #[test]
    fn keys_that_differ_in_one_tag_take_few_bytes() {
        let keys: Vec<_> = (0..100).map(|host| key(host, "a long name of a mode")).collect();
        let bytes = encoded(&keys);
        assert!(bytes.len() < 100 * 8, "{}", bytes.len());
        assert_eq!(decoded(&bytes, 100).unwrap(), keys);
    }

    #[test]
    fn short_keys_and_single_ones_are_written_whole() {
        let short: Vec<_> = (0..10_u8).map(|tag| SeriesKey::from_tags([Some(&[tag + 1][..])])).collect();
        for keys in [&short[..], &[key(1, "x")], &[]] {
            assert_ne!(encoded(keys).first(), Some(&SHARED));
            assert_eq!(decoded(&encoded(keys), keys.len()).unwrap(), keys);
        }
    }

    #[test]
    fn what_the_encoder_does_not_make_is_refused() {
        let keys = [key(1, "a"), key(2, "a")];
        let good = encoded(&keys);
        assert_eq!(good[0], SHARED);
        for len in 0..good.len() {
            assert!(decoded(&good[..len], 2).is_none(), "{len}");
        }
        let whole = key(1, "a");
        let first = [&[SHARED, 0, 0, whole.as_bytes().len() as u8], whole.as_bytes()].concat();
        let with = |second: &[u8]| decoded(&[&first, second].concat(), 2);
        assert!(with(&[200, 1, 1, 0, 1, b'x']).is_none(), "a prefix longer than the key before");
        assert!(with(&[20, 20, 1, b'x']).is_none(), "ends that overlap");
        assert!(with(&[10, 10, 0]).is_none(), "nothing in the middle");
        assert!(with(&[0, 0, 3, 1, b'x', 7]).is_none(), "a key that is malformed");
        let same = (whole.as_bytes().len() - 1) as u8;
        assert!(with(&[same, 0, 1, 0]).is_none(), "the key before again");
        let mut reader = ByteReader::new(&good);
        assert!(decode_keys(&mut reader, 2, &mut 10).is_none(), "more than the budget");
    }

    proptest! {
        #[test]
        fn keys_round_trip(
            tags in prop::collection::btree_set(prop::collection::vec("[ab\u{0}]{0,24}", 1..4), 0..40),
        ) {
            let mut keys: Vec<_> = tags
                .iter()
                .map(|tags| SeriesKey::from_tags(tags.iter().map(|tag| Some(tag.as_bytes()))))
                .collect();
            keys.reverse();
            prop_assert_eq!(decoded(&encoded(&keys), keys.len()).unwrap(), keys);
        }
    }
}
