//! When partitions move between tiers: what a table, its namespace and its database say of it.
//!
//! Each option is decided by itself: what the table says counts, else what its namespace says, else the database.

use crate::error::{Error, Result};

/// What one level says of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Setting<T> {
    /// Nothing: the wider level decides.
    #[default]
    Default,
    /// There is none, whatever a wider level says.
    Off,
    /// This.
    Set(T),
}

impl<T: Clone> Setting<T> {
    /// This setting, or that of a wider level when this one leaves it open.
    #[must_use]
    pub fn or(&self, wider: &Self) -> Self {
        if matches!(self, Self::Default) { wider.clone() } else { self.clone() }
    }

    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        if let Self::Set(value) = self { Some(value) } else { None }
    }
}

/// The tiers of a table, or the default for those of a namespace or a database. Ages count from the time of rows; a
/// partition moves when its end is older.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TierPolicy {
    /// Older partitions are warm, in nanoseconds.
    pub hot_for_ns: Setting<i64>,
    /// Older partitions are cold where there is a cold location, in nanoseconds.
    pub warm_for_ns: Setting<i64>,
    /// URL of the object store and prefix of cold partitions.
    pub cold: Setting<String>,
}

/// Some options of a policy that change together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TierChange {
    /// Takes the place of that of the policy.
    pub hot_for_ns: Option<Setting<i64>>,
    /// Takes the place of that of the policy.
    pub warm_for_ns: Option<Setting<i64>>,
    /// Takes the place of that of the policy.
    pub cold: Option<Setting<String>>,
}

impl TierChange {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl TierPolicy {
    /// This policy, with what it leaves open taken from that of a wider level.
    #[must_use]
    pub fn within(&self, wider: &Self) -> Self {
        Self {
            hot_for_ns: self.hot_for_ns.or(&wider.hot_for_ns),
            warm_for_ns: self.warm_for_ns.or(&wider.warm_for_ns),
            cold: self.cold.or(&wider.cold),
        }
    }

    /// The policy after a change.
    ///
    /// # Errors
    /// As [`TierPolicy::check`].
    pub fn changed(&self, change: &TierChange) -> Result<Self> {
        let changed = Self {
            hot_for_ns: change.hot_for_ns.unwrap_or(self.hot_for_ns),
            warm_for_ns: change.warm_for_ns.unwrap_or(self.warm_for_ns),
            cold: change.cold.clone().unwrap_or_else(|| self.cold.clone()),
        };
        changed.check()?;
        Ok(changed)
    }

    /// Whether the options make sense together.
    ///
    /// # Errors
    /// `InvalidInput` for an age below one, a `warm_for` that is not longer than `hot_for`, or a location that is no URL
    /// or has credentials in it: they would be written to files and shown.
    pub fn check(&self) -> Result<()> {
        for (name, setting) in [("hot_for", self.hot_for_ns), ("warm_for", self.warm_for_ns)] {
            if setting.value().is_some_and(|age_ns| *age_ns < 1) {
                return Err(Error::invalid(format!("{name} must be positive")));
            }
        }
        if let (Setting::Set(hot_for_ns), Setting::Set(warm_for_ns)) = (self.hot_for_ns, self.warm_for_ns)
            && warm_for_ns <= hot_for_ns
        {
            return Err(Error::invalid(
                "warm_for counts from the time of a row, as hot_for does: it must be longer than hot_for",
            ));
        }
        let Setting::Set(url) = &self.cold else { return Ok(()) };
        let Some((_, rest)) = url.split_once("://").filter(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
        else {
            return Err(Error::invalid(
                "the cold location must be a URL such as 's3://bucket/prefix' or 'file:///path'",
            ));
        };
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') || rest.contains('?') {
            return Err(Error::invalid(
                "the cold location must not hold credentials or parameters: give them by the environment or a file",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_level_that_says_something_decides_each_option() {
        let database =
            TierPolicy { hot_for_ns: Setting::Set(7), warm_for_ns: Setting::Set(90), ..TierPolicy::default() };
        let namespace = TierPolicy { hot_for_ns: Setting::Set(3), ..TierPolicy::default() };
        let table = TierPolicy { warm_for_ns: Setting::Off, ..TierPolicy::default() };
        let effective = table.within(&namespace.within(&database));
        assert_eq!(effective.hot_for_ns, Setting::Set(3));
        assert_eq!(effective.warm_for_ns, Setting::Off);
        assert_eq!(effective.cold, Setting::Default);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let ages = |hot, warm| TierPolicy {
            hot_for_ns: Setting::Set(hot),
            warm_for_ns: Setting::Set(warm),
            ..TierPolicy::default()
        };
        ages(7, 90).check().unwrap();
        for policy in [ages(0, 90), ages(7, -1), ages(7, 7)] {
            policy.check().unwrap_err();
        }
        let at = |url: &str| TierPolicy { cold: Setting::Set(url.into()), ..TierPolicy::default() };
        for url in ["s3://bucket/prefix", "file:///var/cold", "s3://bucket/a@b"] {
            at(url).check().unwrap();
        }
        for url in ["", "bucket", "://x", "s3://", "s3://key:secret@bucket/x", "s3://bucket/x?secret=1"] {
            at(url).check().unwrap_err();
        }
    }
}
