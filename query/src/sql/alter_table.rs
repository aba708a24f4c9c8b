//! `ALTER TABLE [IF EXISTS] name`, then one of
//! `ADD [COLUMN] [IF NOT EXISTS] c TYPE [TAG]`, `DROP [COLUMN] c`, `RENAME [COLUMN] c TO d`, `RENAME TO name`,
//! `ALTER [COLUMN] c [SET DATA] TYPE t`, `SET (option = value, ...)`, `RESET (option, ...)`,
//! `MOVE PARTITION 'time' TO 'tier'`.

use lynxstore_storage::engine::TableChange;
use lynxstore_storage::types::{FieldType, Tier, TierChange};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;

use super::create_table::{field_type, parse_option_list, parse_schema_mode};
use super::interval::parse_timestamp;
use super::parser::{expected, fold_ident, parse_option_value, parse_table_name, syntax_error, take_word};
use super::statement::{AlterTable, ColumnAddition, Statement, TableAction};
use super::tier_options::{DropAge, parse_option_names, reset_tier_option, take_tier_option};
use crate::error::{Error, Result};

/// Parses from the word ALTER on.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.next_token();
    parser.next_token();
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let table = parse_table_name(parser)?;
    let actions = if take_word(parser, "ADD") {
        vec![parse_add(parser)?]
    } else if take_word(parser, "DROP") {
        let _optional = take_word(parser, "COLUMN");
        vec![TableAction::Change(TableChange::DropField { name: parse_name(parser)? })]
    } else if take_word(parser, "RENAME") {
        vec![parse_rename(parser)?]
    } else if take_word(parser, "ALTER") {
        vec![parse_type(parser)?]
    } else if take_word(parser, "SET") {
        parse_set(parser)?
    } else if take_word(parser, "RESET") {
        parse_reset(parser)?
    } else if take_word(parser, "MOVE") {
        vec![parse_move(parser)?]
    } else {
        return expected(parser, "ADD, DROP, RENAME, ALTER, SET, RESET or MOVE");
    };
    Ok(Statement::AlterTable(Box::new(AlterTable { table, if_exists, actions })))
}

fn parse_name(parser: &mut Parser<'_>) -> Result<String> {
    Ok(fold_ident(&parser.parse_identifier().map_err(syntax_error)?))
}

fn parse_field_type(parser: &mut Parser<'_>, name: &str) -> Result<FieldType> {
    let data_type = parser.parse_data_type().map_err(syntax_error)?;
    field_type(name, &data_type)
}

fn parse_add(parser: &mut Parser<'_>) -> Result<TableAction> {
    let _optional = take_word(parser, "COLUMN");
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parse_name(parser)?;
    let field_type = parse_field_type(parser, &name)?;
    let is_tag = take_word(parser, "TAG");
    if is_tag && field_type != FieldType::String {
        return Err(Error::plan(format!("tag '{name}' must be TEXT")));
    }
    let column = if is_tag { ColumnAddition::Tag } else { ColumnAddition::Field(field_type) };
    Ok(TableAction::Add { name, column, if_not_exists })
}

fn parse_rename(parser: &mut Parser<'_>) -> Result<TableAction> {
    if take_word(parser, "TO") {
        return Ok(TableAction::Change(TableChange::RenameTable { to: parse_name(parser)? }));
    }
    let _optional = take_word(parser, "COLUMN");
    let from = parse_name(parser)?;
    if !take_word(parser, "TO") {
        return expected(parser, "TO");
    }
    Ok(TableAction::Change(TableChange::RenameColumn { from, to: parse_name(parser)? }))
}

fn parse_type(parser: &mut Parser<'_>) -> Result<TableAction> {
    let _optional = take_word(parser, "COLUMN");
    let name = parse_name(parser)?;
    if take_word(parser, "SET") && !take_word(parser, "DATA") {
        return expected(parser, "DATA TYPE");
    }
    if !take_word(parser, "TYPE") {
        return expected(parser, "TYPE");
    }
    let to = parse_field_type(parser, &name)?;
    Ok(TableAction::Change(TableChange::WidenField { name, to }))
}

fn parse_move(parser: &mut Parser<'_>) -> Result<TableAction> {
    if !take_word(parser, "PARTITION") {
        return expected(parser, "PARTITION");
    }
    let time_ns = parse_timestamp(&parse_option_value(parser)?)?;
    if !take_word(parser, "TO") {
        return expected(parser, "TO");
    }
    let name = parse_option_value(parser)?;
    let Some(tier) = Tier::from_name(&name) else {
        let names = Tier::ALL.map(|tier| format!("'{}'", tier.name())).join(", ");
        return Err(Error::plan(format!("there is no tier '{name}': use one of {names}")));
    };
    Ok(TableAction::Move { time_ns, tier })
}

fn parse_set(parser: &mut Parser<'_>) -> Result<Vec<TableAction>> {
    let mut actions = Vec::new();
    let (mut tiers, mut drop_age) = (TierChange::default(), DropAge::default());
    parse_option_list(parser, |name, value| {
        match name {
            "schema" => {
                let change = TableChange::SetSchemaMode { mode: parse_schema_mode(value)? };
                actions.push(TableAction::Change(change));
            }
            "dedup" | "partition" => {
                return Err(Error::plan(format!(
                    "option '{name}' is fixed when the table is created: create a new table and INSERT INTO it"
                )));
            }
            _ if drop_age.take(name, value)? || take_tier_option(&mut tiers, name, value)? => {}
            _ => return Err(unknown_option(name)),
        }
        Ok(())
    })?;
    if let Some(retention_ns) = drop_age.given() {
        actions.push(TableAction::Change(TableChange::SetRetention { retention_ns }));
    }
    // One change for all of them: together they must make sense, in whatever order they are given.
    if !tiers.is_empty() {
        actions.push(TableAction::Change(TableChange::SetTiers { change: tiers }));
    }
    Ok(actions)
}

fn unknown_option(name: &str) -> Error {
    Error::plan(format!(
        "unknown table option '{name}': use retention (or drop_after), schema, hot_for, warm_for or cold"
    ))
}

fn parse_reset(parser: &mut Parser<'_>) -> Result<Vec<TableAction>> {
    let mut actions = Vec::new();
    let mut tiers = TierChange::default();
    for name in parse_option_names(parser)? {
        match name.as_str() {
            "retention" | "drop_after" => {
                actions.push(TableAction::Change(TableChange::SetRetention { retention_ns: None }));
            }
            _ if reset_tier_option(&mut tiers, &name) => {}
            _ => return Err(unknown_option(&name)),
        }
    }
    if !tiers.is_empty() {
        actions.push(TableAction::Change(TableChange::SetTiers { change: tiers }));
    }
    Ok(actions)
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse_text;
    use super::*;

    fn actions(sql: &str) -> Vec<TableAction> {
        match parse_text(sql).unwrap() {
            Statement::AlterTable(alter) => alter.actions,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_form_is_read() {
        let change = |change| vec![TableAction::Change(change)];
        let add = |column, if_not_exists| vec![TableAction::Add { name: "c".into(), column, if_not_exists }];
        assert_eq!(actions("alter table t add c double"), add(ColumnAddition::Field(FieldType::F64), false));
        assert_eq!(actions("alter table t add column if not exists c text tag"), add(ColumnAddition::Tag, true));
        assert_eq!(actions("alter table t drop column c"), change(TableChange::DropField { name: "c".into() }));
        let rename = TableChange::RenameColumn { from: "c".into(), to: "D".into() };
        assert_eq!(actions("alter table t rename c to \"D\""), change(rename));
        assert_eq!(actions("alter table t rename to u"), change(TableChange::RenameTable { to: "u".into() }));
        let widen = TableChange::WidenField { name: "c".into(), to: FieldType::F64 };
        assert_eq!(actions("alter table t alter column c type double"), change(widen.clone()));
        assert_eq!(actions("alter table t alter c set data type double precision"), change(widen));
        let retention = |retention_ns| TableAction::Change(TableChange::SetRetention { retention_ns });
        assert_eq!(actions("alter table t set (retention = '1h')"), [retention(Some(3_600_000_000_000))]);
        assert_eq!(actions("alter table t set (retention = 'off')"), [retention(None)]);
        assert_eq!(actions("alter table t reset (retention)"), [retention(None)]);
    }

    #[test]
    fn tiers_and_moves_are_read() {
        use lynxstore_storage::types::Setting;
        const DAY_NS: i64 = 86_400_000_000_000;
        let tiers = |change| vec![TableAction::Change(TableChange::SetTiers { change })];
        let ages = TierChange {
            hot_for_ns: Some(Setting::Set(DAY_NS)),
            warm_for_ns: Some(Setting::Off),
            ..TierChange::default()
        };
        assert_eq!(actions("alter table t set (warm_for = 'off', hot_for = '1d')"), tiers(ages));
        let reset = TierChange { cold: Some(Setting::Default), ..TierChange::default() };
        assert_eq!(actions("alter table t reset (cold)"), tiers(reset));
        let retention = |retention_ns| vec![TableAction::Change(TableChange::SetRetention { retention_ns })];
        assert_eq!(actions("alter table t set (drop_after = '1d', retention = '24h')"), retention(Some(DAY_NS)));
        assert_eq!(actions("alter table t reset (drop_after)"), retention(None));
        let moved = |tier| vec![TableAction::Move { time_ns: 1_767_225_600_000_000_000, tier }];
        assert_eq!(actions("alter table t move partition '2026-01-01' to 'warm'"), moved(Tier::Warm));
        assert_eq!(actions("ALTER TABLE t MOVE PARTITION '2026-01-01T00:00:00Z' TO HOT"), moved(Tier::Hot));
    }

    #[test]
    fn mistakes_say_what_to_do() {
        for (sql, part) in [
            ("alter table t", "expected: ADD, DROP"),
            ("alter table t add c bigint tag", "must be TEXT"),
            ("alter table t set (dedup = 'off')", "create a new table"),
            ("alter table t set (retention = 'soon')", "'30d'"),
            ("alter table t set (drop_after = '1d', retention = '2d')", "give one of them"),
            ("alter table t set (hot = '1d')", "hot_for"),
            ("alter table t reset (schema)", "unknown table option"),
            ("alter table t move partition '2026-01-01' to 'icy'", "'hot', 'warm', 'cold'"),
            ("alter table t move partition 'today' to 'warm'", "no timestamp"),
            ("alter table t move partition '2026-01-01'", "TO"),
            ("alter table t rename c d", "TO"),
            ("alter table t alter c double", "TYPE"),
        ] {
            let message = parse_text(sql).unwrap_err().to_string().to_lowercase();
            assert!(message.contains(&part.to_lowercase()), "{sql}: {message}");
        }
    }
}
