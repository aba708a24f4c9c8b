//! The options that say when partitions move between tiers and when rows are dropped, of tables, namespaces and databases:
//! `hot_for`, `warm_for`, `cold`, and `drop_after`, which `retention` names too.
//!
//! Also `ALTER NAMESPACE name SET | RESET (...)` and `ALTER DATABASE SET | RESET (...)`, which set the first three for every
//! table that does not say them itself.

use lynxstore_storage::types::{Setting, TierChange};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::create_table::{parse_option_list, wrong_option};
use super::interval::parse_interval;
use super::parser::{expect, expected, fold_ident, syntax_error, take_word};
use super::statement::{AlterTiers, Statement};
use crate::error::{Error, Result};

/// Names of the options of a tier policy.
const NAMES: [&str; 3] = ["hot_for", "warm_for", "cold"];

/// Takes an option of a tier policy into `change`; `false` when it is none.
pub(super) fn take_tier_option(change: &mut TierChange, name: &str, value: &str) -> Result<bool> {
    match name {
        "hot_for" => change.hot_for_ns = Some(parse_age(name, value)?),
        "warm_for" => change.warm_for_ns = Some(parse_age(name, value)?),
        "cold" if value == "off" => change.cold = Some(Setting::Off),
        "cold" => change.cold = Some(Setting::Set(value.to_owned())),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Puts an option of a tier policy back to what the wider level says; `false` when it is none.
pub(super) fn reset_tier_option(change: &mut TierChange, name: &str) -> bool {
    match name {
        "hot_for" => change.hot_for_ns = Some(Setting::Default),
        "warm_for" => change.warm_for_ns = Some(Setting::Default),
        "cold" => change.cold = Some(Setting::Default),
        _ => return false,
    }
    true
}

/// A time after which rows are dropped, given under one of its two names or under both.
#[derive(Debug, Default)]
pub(super) struct DropAge {
    given: Option<(String, Option<i64>)>,
}

impl DropAge {
    /// Takes the option; `false` when it is another one.
    ///
    /// # Errors
    /// When the other name says something else.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool> {
        if !matches!(name, "retention" | "drop_after") {
            return Ok(false);
        }
        let age_ns = match parse_age(name, value)? {
            Setting::Set(age_ns) => Some(age_ns),
            Setting::Default | Setting::Off => None,
        };
        match &self.given {
            Some((other, other_ns)) if *other_ns != age_ns => Err(Error::plan(format!(
                "{other} and {name} are one option under two names and say different things: give one of them"
            ))),
            _ => {
                self.given = Some((name.to_owned(), age_ns));
                Ok(true)
            }
        }
    }

    /// What was given, if anything was.
    pub(super) fn given(&self) -> Option<Option<i64>> {
        self.given.as_ref().map(|(_, age_ns)| *age_ns)
    }
}

/// An age, or `off`. A month counts as 30 days and a year as 365: ages are compared with spans, not with a calendar.
fn parse_age(name: &str, value: &str) -> Result<Setting<i64>> {
    const DAY_NS: i64 = 86_400_000_000_000;
    if value == "off" {
        return Ok(Setting::Off);
    }
    let age_ns = parse_interval(value).ok().and_then(|mut age| {
        let (years, months) = (i64::from(age.months / 12), i64::from(age.months % 12));
        age.months = 0;
        (years * 365 + months * 30).checked_mul(DAY_NS)?.checked_add(age.fixed_ns()?)
    });
    match age_ns.filter(|age_ns| *age_ns > 0) {
        Some(age_ns) => Ok(Setting::Set(age_ns)),
        None => Err(wrong_option(name, value, "a positive time, such as '30d' or '5y', or 'off'")),
    }
}

/// Parses `ALTER NAMESPACE` and `ALTER DATABASE` from the word ALTER on.
pub(super) fn parse_alter(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.next_token();
    let namespace = if take_word(parser, "NAMESPACE") {
        Some(fold_ident(&parser.parse_identifier().map_err(syntax_error)?))
    } else {
        parser.next_token();
        None
    };
    let mut change = TierChange::default();
    if take_word(parser, "SET") {
        parse_option_list(parser, |name, value| {
            if take_tier_option(&mut change, name, value)? { Ok(()) } else { Err(unknown_option(name)) }
        })?;
    } else if take_word(parser, "RESET") {
        for name in parse_option_names(parser)? {
            if !reset_tier_option(&mut change, &name) {
                return Err(unknown_option(&name));
            }
        }
    } else {
        return expected(parser, "SET or RESET");
    }
    Ok(Statement::AlterTiers(Box::new(AlterTiers { namespace, change })))
}

fn unknown_option(name: &str) -> Error {
    Error::plan(format!("unknown option '{name}' of a namespace or database: use {}", NAMES.join(", ")))
}

/// Reads `(name, ...)`.
pub(super) fn parse_option_names(parser: &mut Parser<'_>) -> Result<Vec<String>> {
    expect(parser, &Token::LParen)?;
    let mut names = Vec::new();
    loop {
        names.push(fold_ident(&parser.parse_identifier().map_err(syntax_error)?));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(parser, &Token::RParen)?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse_text;
    use super::*;

    const DAY_NS: i64 = 86_400_000_000_000;

    fn alter(sql: &str) -> AlterTiers {
        match parse_text(sql).unwrap() {
            Statement::AlterTiers(alter) => *alter,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_of_a_namespace_and_of_the_database_are_read() {
        let set = alter("alter namespace Prod set (hot_for = '7d', warm_for = 'off', cold = 's3://b/p')");
        assert_eq!(set.namespace.as_deref(), Some("prod"));
        let expected = TierChange {
            hot_for_ns: Some(Setting::Set(7 * DAY_NS)),
            warm_for_ns: Some(Setting::Off),
            cold: Some(Setting::Set("s3://b/p".into())),
        };
        assert_eq!(set.change, expected);
        let reset = alter("alter database reset (hot_for, cold)");
        assert_eq!(reset.namespace, None);
        let expected =
            TierChange { hot_for_ns: Some(Setting::Default), warm_for_ns: None, cold: Some(Setting::Default) };
        assert_eq!(reset.change, expected);
    }

    #[test]
    fn years_and_months_are_ages_too() {
        for (text, days) in [("5y", 5 * 365), ("1 year 1 month", 395), ("2w", 14), ("18 months", 365 + 180)] {
            assert_eq!(parse_age("drop_after", text).unwrap(), Setting::Set(days * DAY_NS), "{text}");
        }
    }

    #[test]
    fn mistakes_say_what_to_do() {
        for (sql, part) in [
            ("alter namespace n set (retention = '1d')", "use hot_for, warm_for, cold"),
            ("alter database set (hot_for = 'soon')", "'30d'"),
            ("alter database", "SET or RESET"),
            ("alter namespace n reset (dedup)", "use hot_for"),
        ] {
            let message = parse_text(sql).unwrap_err().to_string();
            assert!(message.contains(part), "{sql}: {message}");
        }
    }
}
