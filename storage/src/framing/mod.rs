//! What the files of the database share: checksummed records of append-only files, cursors over bytes, a schema as bytes.

mod bytes;
mod record;
mod scan;
mod schema;
mod tier_policy;

pub(crate) use bytes::{ByteReader, ByteWriter};
pub(crate) use record::{FileHeader, RECORD_HEADER_BYTES, RecordFormat, RecordHeader, padded_len};
pub(crate) use scan::{Found, RecordScanner};
pub(crate) use schema::{decode_schema, encode_schema};
pub(crate) use tier_policy::{decode_tier_policy, encode_tier_policy};
