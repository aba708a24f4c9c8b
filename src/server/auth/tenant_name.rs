//! Names of tenants.
//!
//! The rule is that of Mimir, so that what sends to it can send here: letters, digits and a few marks, at most 150 bytes.
//! A name becomes a namespace, which the manifest keeps; no name ever becomes a path, so the rule is a second wall.

use std::fmt;
use std::sync::Arc;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 150;

/// A name that keeps the rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Arc<str>);

impl TenantName {
    /// Checks a name.
    ///
    /// # Errors
    /// What is wrong with it. The text does not repeat the name, which may come from anyone.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if name.is_empty() {
            return Err("the name of a tenant is empty");
        }
        if name.len() > NAME_BYTES_MAX {
            return Err("the name of a tenant is longer than 150 bytes");
        }
        if name.contains('|') {
            return Err("a request acts for one tenant: several names joined by '|' are not supported");
        }
        if !name.chars().all(is_allowed) {
            return Err("the name of a tenant may have letters, digits and ! - _ . * ' ( ) only");
        }
        if name == "." || name == ".." {
            return Err("'.' and '..' are no names of tenants");
        }
        if name == "system" || name.starts_with("__") {
            return Err("'system' and names that begin with '__' are kept for the store itself");
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_rule_of_mimir() {
        let longest = "x".repeat(150);
        for name in ["public", "a", "Team-1", "!-_.*'()", "...", "0", "_a", longest.as_str()] {
            assert_eq!(TenantName::parse(name).map(|name| name.to_string()), Ok(name.to_owned()), "{name}");
        }
        let too_long = "x".repeat(151);
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "../a",
            "..\\a",
            "a b",
            "a|b",
            "%2e%2e",
            "a\0",
            "a\n",
            "\u{e9}",
            "system",
            "__reserved",
            "a:b",
            "a\"b",
            too_long.as_str(),
        ] {
            assert!(TenantName::parse(name).is_err(), "{name:?}");
        }
    }
}
