//! What a call of `time_bucket` or one of its kin says: width, and behind the time an origin, a time zone or an offset.
//!
//! The arguments behind the time tell themselves by what they are, so `time_bucket('1 day', time, 'Europe/Berlin')` and
//! `time_bucket('1 day', time, '2024-01-01 06:00')` both mean what they say, by either way of running a statement.

use super::bucket::Bucket;
use super::zone::Zone;
use crate::error::{Error, Result};
use crate::scalar::{Interval, Scalar};
use crate::sql::{parse_interval, parse_timestamp};

/// The constant arguments of a call.
#[derive(Debug)]
pub(crate) struct BucketSpec {
    width: Interval,
    /// The times among the arguments, in order.
    pub(crate) times: Vec<i64>,
    zone: Option<Zone>,
    offset: Option<Interval>,
}

impl BucketSpec {
    /// Reads the arguments; none of them is NULL.
    ///
    /// # Errors
    /// `Plan` for an argument that is no interval, time or zone, or of which there are two.
    pub(crate) fn new(name: &str, width: &Scalar, others: &[Scalar]) -> Result<Self> {
        let width = match width {
            Scalar::Interval(interval) => *interval,
            Scalar::Text(text) => parse_interval(text)?,
            _ => return Err(Error::plan(format!("the width of {name} is an interval such as '5 minutes'"))),
        };
        let mut spec = Self { width, times: Vec::new(), zone: None, offset: None };
        for other in others {
            spec.add(name, other)?;
        }
        Ok(spec)
    }

    fn add(&mut self, name: &str, argument: &Scalar) -> Result<()> {
        let unknown = |text: &str| {
            Error::plan(format!(
                "'{text}' in {name} is no time, no time zone and no interval: write a zone like 'Europe/Berlin', a time \
                 like '2026-01-31T12:00:00Z', an offset like '6 hours'"
            ))
        };
        let twice = match argument {
            Scalar::Time(time_ns) => {
                self.times.push(*time_ns);
                false
            }
            Scalar::Interval(interval) => self.offset.replace(*interval).is_some(),
            Scalar::Text(text) => match (parse_timestamp(text), Zone::find(text)) {
                (Ok(time_ns), _) => {
                    self.times.push(time_ns);
                    false
                }
                (_, Some(zone)) => self.zone.replace(zone).is_some(),
                _ => {
                    let offset = parse_interval(text).map_err(|_| unknown(text))?;
                    self.offset.replace(offset).is_some()
                }
            },
            other => return Err(unknown(&format!("{other:?}"))),
        };
        if twice {
            return Err(Error::plan(format!("{name} has two time zones or two offsets: give one of each at most")));
        }
        Ok(())
    }

    /// The buckets of `time_bucket`, whose only time is the origin.
    ///
    /// # Errors
    /// `Plan` for a width that is not positive, and for two origins.
    pub(crate) fn bucket(&self, name: &str) -> Result<Bucket> {
        match self.times.as_slice() {
            [] => self.bucket_from(name, None),
            [origin_ns] => self.bucket_from(name, Some(*origin_ns)),
            _ => Err(Error::plan(format!("{name} has two origins: give one at most"))),
        }
    }

    /// The buckets with an origin.
    ///
    /// # Errors
    /// `Plan` for a width that is not positive.
    pub(crate) fn bucket_from(&self, name: &str, origin_ns: Option<i64>) -> Result<Bucket> {
        // The origin is a time, buckets of a zone start where its clocks then stand.
        let origin_ns = match (origin_ns, self.zone) {
            (Some(origin_ns), Some(zone)) => zone.reading_at(origin_ns),
            (origin_ns, _) => origin_ns.unwrap_or(0),
        };
        let width = self.width;
        let bucket = match width.fixed_ns() {
            None if width.months > 0 && width.days == 0 && width.nanos == 0 => Bucket::months(width.months, origin_ns),
            Some(width_ns @ 1..) => Bucket::fixed(width_ns, origin_ns),
            _ => return Err(Error::plan(format!("the width of {name} must be positive, and months stand alone"))),
        };
        let bucket = match self.offset {
            None => bucket,
            Some(offset) => {
                let months = Interval { months: 0, ..offset };
                let shifted = months.fixed_ns().and_then(|shift_ns| bucket.shifted(offset.months, shift_ns));
                shifted.ok_or_else(|| Error::plan(format!("an offset of months in {name} needs a width of months")))?
            }
        };
        Ok(match self.zone {
            None => bucket,
            Some(zone) => bucket.in_zone(zone),
        })
    }

    /// Fails when there is a zone or an offset, which `date_bin` does not have.
    ///
    /// # Errors
    /// `Plan`.
    pub(crate) fn refuse_zone(&self, name: &str) -> Result<()> {
        if self.zone.is_none() && self.offset.is_none() {
            return Ok(());
        }
        Err(Error::plan(format!("{name} has no time zone and no offset: time_bucket takes the same arguments and has")))
    }
}

/// The buckets of `date_trunc(unit, time [, zone])`; `None` for a unit that is not known here.
///
/// # Errors
/// `Plan` for a zone that does not exist.
pub(crate) fn trunc_bucket(unit: &str, zone: Option<&str>) -> Result<Option<Bucket>> {
    let Some(bucket) = Bucket::from_unit(unit) else { return Ok(None) };
    let Some(name) = zone else { return Ok(Some(bucket)) };
    match Zone::find(name) {
        Some(zone) => Ok(Some(bucket.in_zone(zone))),
        None => Err(Error::plan(format!("'{name}' is no time zone: write it like 'Europe/Berlin'"))),
    }
}
