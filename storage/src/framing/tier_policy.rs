//! The tier policy of a table, a namespace or a database as bytes. Format: `docs/format/manifest.md`.

use super::{ByteReader, ByteWriter};
use crate::types::{Setting, TierPolicy};

/// The only version of the bytes so far.
const VERSION: u8 = 1;

const DEFAULT: u8 = 0;
const OFF: u8 = 1;
const SET: u8 = 2;

/// Appends `policy`.
pub(crate) fn encode_tier_policy(policy: &TierPolicy, out: &mut ByteWriter) {
    out.u8(VERSION);
    encode_setting(&policy.hot_for_ns, out, |age_ns, out| out.i64(*age_ns));
    encode_setting(&policy.warm_for_ns, out, |age_ns, out| out.i64(*age_ns));
    encode_setting(&policy.cold, out, |url, out| out.text(url));
}

/// Reads what [`encode_tier_policy`] appended; `None` when the bytes are anything else, or of a later version.
pub(crate) fn decode_tier_policy(reader: &mut ByteReader<'_>) -> Option<TierPolicy> {
    if reader.u8()? != VERSION {
        return None;
    }
    let policy = TierPolicy {
        hot_for_ns: decode_setting(reader, |reader| reader.i64())?,
        warm_for_ns: decode_setting(reader, |reader| reader.i64())?,
        cold: decode_setting(reader, |reader| reader.text().map(str::to_owned))?,
    };
    policy.check().is_ok().then_some(policy)
}

fn encode_setting<T>(setting: &Setting<T>, out: &mut ByteWriter, encode: impl FnOnce(&T, &mut ByteWriter)) {
    match setting {
        Setting::Default => out.u8(DEFAULT),
        Setting::Off => out.u8(OFF),
        Setting::Set(value) => {
            out.u8(SET);
            encode(value, out);
        }
    }
}

fn decode_setting<'a, T>(
    reader: &mut ByteReader<'a>,
    decode: impl FnOnce(&mut ByteReader<'a>) -> Option<T>,
) -> Option<Setting<T>> {
    match reader.u8()? {
        DEFAULT => Some(Setting::Default),
        OFF => Some(Setting::Off),
        SET => decode(reader).map(Setting::Set),
        _ => None,
    }
}
