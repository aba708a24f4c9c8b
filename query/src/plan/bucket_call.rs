//! Binds `time_bucket`, `date_bin`, `date_trunc` and `time_bucket_gapfill`.

use arrow::datatypes::DataType;
use sqlparser::ast;

use super::bind::{Binder, fold};
use super::bucket::Bucket;
use super::bucket_spec::{BucketSpec, trunc_bucket};
use super::expr::Expr;
use super::gapfill::GapBucket;
use crate::error::{Error, Result};
use crate::scalar::Scalar;
use crate::sql::parse_timestamp;

impl<'a> Binder<'a> {
    /// Binds `time_bucket(width, time [, origin] [, zone] [, offset])`, and `date_bin(width, time [, origin])`.
    pub(super) fn bind_bucket(&mut self, name: &str, arguments: &[&'a ast::Expr]) -> Result<Expr> {
        let (spec, time) = self.bind_bucket_arguments(name, arguments)?;
        if name == "date_bin" {
            spec.refuse_zone(name)?;
        }
        bucketed(name, spec.bucket(name)?, time)
    }

    /// Binds `time_bucket_gapfill(width, time [, start, finish] [, zone] [, offset])` and keeps what is to be filled.
    pub(super) fn bind_gapfill(&mut self, name: &str, arguments: &[&'a ast::Expr]) -> Result<Expr> {
        if !self.gaps.is_allowed {
            return Err(Error::plan(format!(
                "{name} stands in GROUP BY, SELECT, HAVING and ORDER BY of a query that groups by it"
            )));
        }
        let (spec, time) = self.bind_bucket_arguments(name, arguments)?;
        let bounds = match spec.times.as_slice() {
            [] => None,
            [start_ns, finish_ns] => Some((*start_ns, *finish_ns)),
            _ => return Err(Error::plan(format!("{name} takes a start and a finish, or neither"))),
        };
        if !matches!(time, Expr::Column(0, _)) {
            return Err(Error::plan(format!("{name} fills gaps of the time column, not of another expression")));
        }
        let bucket = spec.bucket_from(name, None)?;
        let gaps = GapBucket { bucket, bounds };
        match self.gaps.bucket.replace(gaps) {
            Some(known) if known != gaps => Err(Error::plan(format!("a query has one {name}, here are two"))),
            _ => Ok(Expr::TimeBucket(bucket, Box::new(time))),
        }
    }

    /// The constant arguments of a bucket and the time.
    fn bind_bucket_arguments(&mut self, name: &str, arguments: &[&'a ast::Expr]) -> Result<(BucketSpec, Expr)> {
        let [width, time, others @ ..] = arguments else {
            let given = arguments.len();
            return Err(Error::plan(format!("{name} takes (width, time [, ...]), {given} arguments were given")));
        };
        if others.len() > 4 {
            return Err(Error::plan(format!("{name} has too many arguments")));
        }
        let width = self.bind_bucket_constant(name, width)?;
        let others = others.iter().map(|other| self.bind_bucket_constant(name, other)).collect::<Result<Vec<_>>>()?;
        let spec = BucketSpec::new(name, &width, &others)?;
        Ok((spec, self.bind(time)?))
    }

    fn bind_bucket_constant(&mut self, name: &str, argument: &'a ast::Expr) -> Result<Scalar> {
        match self.bind(argument)? {
            // What NULL makes of it is DataFusion's to say.
            Expr::Literal(value, _) if value != Scalar::Null => Ok(value),
            _ => Err(Error::unsupported(format!("{name} with the argument {argument}, which is no constant"))),
        }
    }

    /// Binds `date_trunc(unit, time [, zone])`.
    pub(super) fn bind_trunc(&mut self, arguments: &[&'a ast::Expr]) -> Result<Expr> {
        let (unit, time, zone) = match arguments {
            [unit, time] => (unit, time, None),
            [unit, time, zone] => (unit, time, Some(self.bind_text("the zone of date_trunc", zone)?)),
            _ => return Err(Error::plan("date_trunc takes (unit, time [, zone])")),
        };
        let unit = self.bind_text("the unit of date_trunc", unit)?;
        let Some(bucket) = trunc_bucket(&unit, zone.as_deref())? else {
            return Err(Error::unsupported(format!("date_trunc to '{unit}'")));
        };
        let time = self.bind(time)?;
        bucketed("date_trunc", bucket, time)
    }

    fn bind_text(&mut self, what: &str, argument: &'a ast::Expr) -> Result<std::sync::Arc<str>> {
        match self.bind(argument)? {
            Expr::Literal(Scalar::Text(text), _) => Ok(text),
            _ => Err(Error::unsupported(format!("{what} that is no constant text"))),
        }
    }
}

/// The start of the bucket of a time.
fn bucketed(name: &str, bucket: Bucket, time: Expr) -> Result<Expr> {
    match time.data_type() {
        DataType::Timestamp(..) => Ok(fold(Expr::TimeBucket(bucket, Box::new(time)))),
        DataType::Utf8 if name != "date_trunc" => {
            let Expr::Literal(Scalar::Text(text), _) = &time else {
                return Err(Error::unsupported(format!("{name} of text")));
            };
            let time = Expr::literal(Scalar::Time(parse_timestamp(text)?));
            Ok(fold(Expr::TimeBucket(bucket, Box::new(time))))
        }
        other => Err(Error::unsupported(format!("{name} of {other}"))),
    }
}
