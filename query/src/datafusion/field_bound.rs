//! Bounds on a field that a row must meet, for skipping vectors by their zone maps.
//!
//! A bound only ever says "no row here can match"; DataFusion filters what is left. So bounds are closed, and anything
//! doubtful (NaN, which Arrow orders above every number) keeps the vector.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use lynxstore_storage::encoding::ZoneMap;
use lynxstore_storage::types::FieldType;

/// `field >= min AND field <= max`, either side perhaps open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FieldBound {
    /// Position in `TableSchema::fields`.
    pub(super) field: usize,
    range: BoundRange,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum BoundRange {
    /// I64 as it is; U64 with the top bit flipped, as zone maps hold it.
    I64 {
        min: i64,
        max: i64,
    },
    F64 {
        min: f64,
        max: f64,
    },
}

impl FieldBound {
    /// The bound that `field op value` sets, when it sets one.
    pub(super) fn new(field: usize, field_type: FieldType, op: Operator, value: &ScalarValue) -> Option<Self> {
        let (below, above) = match op {
            Operator::Eq => (true, true),
            Operator::Lt | Operator::LtEq => (true, false),
            Operator::Gt | Operator::GtEq => (false, true),
            _ => return None,
        };
        let range = match (field_type, value) {
            (FieldType::I64, ScalarValue::Int64(Some(value))) => i64_range(*value, below, above),
            (FieldType::U64, ScalarValue::UInt64(Some(value))) => {
                i64_range((value ^ (1 << 63)).cast_signed(), below, above)
            }
            (FieldType::F64, ScalarValue::Float64(Some(value))) if !value.is_nan() => BoundRange::F64 {
                min: if above { *value } else { f64::NEG_INFINITY },
                max: if below { *value } else { f64::INFINITY },
            },
            _ => return None,
        };
        Some(Self { field, range })
    }

    /// Whether no row of a vector with this zone map can match.
    pub(super) fn excludes(&self, zone: &ZoneMap) -> bool {
        if zone.all_null() {
            return true;
        }
        match self.range {
            BoundRange::I64 { min, max } => match (zone.min_i64(), zone.max_i64()) {
                (Some(zone_min), Some(zone_max)) => zone_max < min || zone_min > max,
                _ => false,
            },
            BoundRange::F64 { min, max } => match (zone.min_f64(), zone.max_f64()) {
                (Some(zone_min), Some(zone_max)) if !zone.has_nan() => zone_max < min || zone_min > max,
                _ => false,
            },
        }
    }
}

fn i64_range(value: i64, below: bool, above: bool) -> BoundRange {
    BoundRange::I64 { min: if above { value } else { i64::MIN }, max: if below { value } else { i64::MAX } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HAS_BOUNDS: u8 = 1;
    const HAS_NAN: u8 = 4;
    const ALL_NULL: u8 = 8;

    /// A zone map as it stands on disk.
    fn zone(min: u64, max: u64, flags: u8) -> ZoneMap {
        let mut bytes = [0; ZoneMap::BYTES];
        bytes[0..8].copy_from_slice(&min.to_le_bytes());
        bytes[8..16].copy_from_slice(&max.to_le_bytes());
        bytes[26] = flags;
        ZoneMap::from_bytes(&bytes).unwrap()
    }

    fn excludes(field_type: FieldType, op: Operator, value: ScalarValue, zone: &ZoneMap) -> bool {
        FieldBound::new(0, field_type, op, &value).unwrap().excludes(zone)
    }

    #[test]
    fn integers_outside_the_zone_exclude_it() {
        let zone = zone(10, 20, HAS_BOUNDS);
        let excludes = |op, value| excludes(FieldType::I64, op, ScalarValue::Int64(Some(value)), &zone);
        assert!(excludes(Operator::Gt, 21) && excludes(Operator::Lt, 9) && excludes(Operator::Eq, 9));
        assert!(!excludes(Operator::GtEq, 20) && !excludes(Operator::LtEq, 10) && !excludes(Operator::Eq, 15));
    }

    #[test]
    fn unsigned_integers_compare_in_their_own_order() {
        let ordered = |value: u64| value ^ (1 << 63);
        let zone = zone(ordered(1), ordered(u64::MAX - 5), HAS_BOUNDS);
        let excludes = |op, value| excludes(FieldType::U64, op, ScalarValue::UInt64(Some(value)), &zone);
        assert!(excludes(Operator::Gt, u64::MAX) && excludes(Operator::Eq, 0));
        assert!(!excludes(Operator::Eq, 1 << 63) && !excludes(Operator::Gt, 5));
    }

    #[test]
    fn a_nan_keeps_the_zone_and_all_nulls_exclude_it() {
        let (min, max) = (1.0f64.to_bits(), 2.0f64.to_bits());
        let excludes =
            |flags| excludes(FieldType::F64, Operator::Gt, ScalarValue::Float64(Some(3.0)), &zone(min, max, flags));
        assert!(excludes(HAS_BOUNDS) && !excludes(HAS_BOUNDS | HAS_NAN) && excludes(ALL_NULL));
        assert_eq!(FieldBound::new(0, FieldType::F64, Operator::Eq, &ScalarValue::Float64(Some(f64::NAN))), None);
        assert_eq!(FieldBound::new(0, FieldType::I64, Operator::NotEq, &ScalarValue::Int64(Some(1))), None);
    }
}
