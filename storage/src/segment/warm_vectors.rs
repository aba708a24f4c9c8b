//! Makes the vectors of a column warm: coded with the prefix code of the column or compressed harder where that pays, and
//! without padding.

use super::layout::padding;
use super::packed_table::VectorRecord;
use crate::encoding::{ColumnCode, ColumnCoder, PlainVector, VectorHeader, ZoneMap, recompress_strings};

/// The vectors of a warm column.
#[derive(Debug)]
pub(super) struct WarmVectors {
    /// Of all vectors, then zeros up to a multiple of the alignment.
    pub(super) data: Vec<u8>,
    /// One for each vector, with its place in `data`, and one for the end of the last.
    pub(super) records: Vec<VectorRecord>,
    /// The code; `None` when no vector is coded.
    pub(super) code: Option<ColumnCode>,
}

impl WarmVectors {
    /// Of vectors with their zone maps.
    pub(super) fn of(vectors: &[PlainVector<'_>], zones: &[[u8; ZoneMap::BYTES]]) -> Self {
        let coder = ColumnCoder::choose(vectors);
        let (mut data, mut records) = (Vec::new(), Vec::with_capacity(vectors.len() + 1));
        let mut is_coded = false;
        for (vector, zone) in vectors.iter().zip(zones) {
            let start = data.len() as u64;
            let coded = coder.as_ref().and_then(|coder| coder.encode(vector, &mut data));
            is_coded |= coded.is_some();
            let smaller = coded.or_else(|| recompress_strings(vector, &mut data));
            let header = smaller.unwrap_or_else(|| {
                data.extend_from_slice(vector.data);
                vector.header
            });
            records.push(VectorRecord { start, len: vector.len, header: header.to_bytes(), zone: *zone });
        }
        let end = data.len() as u64;
        records.push(VectorRecord { start: end, len: 0, header: [0; VectorHeader::BYTES], zone: [0; ZoneMap::BYTES] });
        data.resize(data.len() + padding(end), 0);
        let code = coder.filter(|_| is_coded).map(|coder| coder.code().clone());
        Self { data, records, code }
    }
}
