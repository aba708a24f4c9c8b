//! Syntax of time series that `sqlparser` does not read, put into forms that it does before it sees the tokens.
//!
//! - `LATEST ON time PARTITION BY host` (QuestDB) becomes `QUALIFY row_number() OVER (PARTITION BY host ORDER BY time
//!   DESC) = 1`, which says the same.
//! - `ASOF [LEFT] JOIN b ON ...` (DuckDB), with `TOLERANCE '1m'` behind the condition (QuestDB), becomes Snowflake's
//!   form, whose `MATCH_CONDITION` then holds a call of [`ASOF_CALL`] with the kind of join, the condition that stood
//!   there, and the tolerance.
//!
//! Only words outside quotes count, and only in a place where no other statement has them. The work is bounded by the
//! number of tokens times [`REWRITES_MAX`].

use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Result};

/// The function that carries what is said of an ASOF join: `'inner'`, `'left'` or `'match'`, condition, tolerance.
pub(crate) const ASOF_CALL: &str = "asof_join";

/// Rewrites in one statement; each goes over the tokens once.
const REWRITES_MAX: usize = 64;

/// Words that end a FROM clause or a join in it.
const CLAUSES: [&str; 15] = [
    "WHERE",
    "GROUP",
    "HAVING",
    "QUALIFY",
    "WINDOW",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "FOR",
    "LATEST",
    "SETTINGS",
];

/// Words that begin the next join.
const JOINS: [&str; 8] = ["JOIN", "ASOF", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL"];

/// Rewrites the tokens of a statement.
///
/// # Errors
/// `Parse` for a form that cannot be meant, or too many of them.
pub(super) fn rewrite(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let concerns = |token: &TokenWithSpan| is_word(&token.token, "ASOF") || is_word(&token.token, "LATEST");
    if !tokens.iter().any(concerns) {
        return Ok(tokens);
    }
    let is_space = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let mut tokens: Vec<TokenWithSpan> = tokens.into_iter().filter(|token| !is_space(token)).collect();
    let mut rewrites = 0;
    // From the end: what is nested comes later in the text, and is done when what holds it is moved.
    for at in (0..tokens.len()).rev() {
        let edit = match &tokens[at].token {
            word if is_word(word, "LATEST") => latest_on(&tokens, at)?,
            word if is_word(word, "ASOF") => asof_join(&tokens, at)?,
            _ => None,
        };
        let Some(edit) = edit else { continue };
        rewrites += 1;
        if rewrites > REWRITES_MAX {
            return Err(Error::Parse { message: format!("more than {REWRITES_MAX} ASOF joins and LATEST ON") });
        }
        let span = tokens[at].span;
        for (range, replacement) in edit.into_iter().rev() {
            tokens.splice(range, replacement.into_iter().map(|token| TokenWithSpan::new(token, span)));
        }
    }
    Ok(tokens)
}

/// Ranges of tokens and what stands there instead, in order.
type Edit = Vec<(std::ops::Range<usize>, Vec<Token>)>;

fn latest_on(tokens: &[TokenWithSpan], at: usize) -> Result<Option<Edit>> {
    let word = |offset: usize, text: &str| tokens.get(at + offset).is_some_and(|token| is_word(&token.token, text));
    if word(1, "BY") && at > 0 && !matches!(tokens[at - 1].token, Token::Comma) {
        let message = "LATEST BY needs a time: write LATEST ON time PARTITION BY ...".into();
        return Err(Error::Parse { message });
    }
    if !word(1, "ON") {
        return Ok(None);
    }
    let mut names = 2;
    while matches!(tokens.get(at + names).map(|token| &token.token), Some(Token::Word(_) | Token::Period))
        && !word(names, "PARTITION")
    {
        names += 1;
    }
    // Otherwise LATEST is the alias of a joined table.
    if names == 2 || !word(names, "PARTITION") || !word(names + 1, "BY") {
        return Ok(None);
    }
    let time: Vec<Token> = tokens[at + 2..at + names].iter().map(|token| token.token.clone()).collect();
    let keys_start = at + names + 2;
    let keys_end = end_of(tokens, keys_start, &CLAUSES);
    if tokens.get(keys_end).is_some_and(|token| is_word(&token.token, "WHERE") || is_word(&token.token, "GROUP")) {
        let message = "LATEST ON stands behind WHERE, and in a subquery where its rows are grouped".into();
        return Err(Error::Parse { message });
    }
    let mut before = words(&["QUALIFY", "row_number"]);
    before.extend([Token::LParen, Token::RParen]);
    before.extend(words(&["OVER"]));
    before.push(Token::LParen);
    before.extend(words(&["PARTITION", "BY"]));
    let mut after = words(&["ORDER", "BY"]);
    after.extend(time);
    after.extend(words(&["DESC"]));
    after.extend([Token::RParen, Token::Eq, Token::Number("1".into(), false)]);
    Ok(Some(vec![(at..keys_start, before), (keys_end..keys_end, after)]))
}

fn asof_join(tokens: &[TokenWithSpan], at: usize) -> Result<Option<Edit>> {
    let word = |index: usize, text: &str| tokens.get(index).is_some_and(|token| is_word(&token.token, text));
    let (is_left, mut next) = match () {
        () if word(at + 1, "LEFT") && word(at + 2, "OUTER") => (true, at + 3),
        () if word(at + 1, "LEFT") => (true, at + 2),
        () if word(at + 1, "INNER") => (false, at + 2),
        () => (false, at + 1),
    };
    if !word(next, "JOIN") {
        return Ok(None);
    }
    next += 1;
    let mut ends: Vec<&str> = vec!["ON", "USING", "MATCH_CONDITION"];
    ends.extend(CLAUSES);
    ends.extend(JOINS);
    let condition = end_of(tokens, next, &ends);
    let missing = || Error::Parse {
        message: "an ASOF JOIN needs a condition: ON a.host = b.host AND a.time >= b.time, or USING (host, time)"
            .into(),
    };
    let is_match = word(condition, "MATCH_CONDITION");
    if !is_match && !word(condition, "ON") && !word(condition, "USING") {
        return Err(missing());
    }
    ends.drain(..3);
    let end = end_of(tokens, condition + 1, &ends);
    // What was nested has been rewritten already, but a condition of ours is never found again: ASOF is passed once.
    let mut tolerance_at = end_of(tokens, condition + 1, &["TOLERANCE"]).min(end);
    let (tolerance, tolerance_end) = match word(tolerance_at, "TOLERANCE") {
        true => (tolerance_of(&tokens[tolerance_at + 1..end])?, end),
        false => {
            tolerance_at = end;
            (words(&["NULL"]), end)
        }
    };
    let (matching, constraint) = if is_match {
        if tokens.get(condition + 1).map(|token| &token.token) != Some(&Token::LParen) {
            return Err(missing());
        }
        let close = end_of(tokens, condition + 2, &[]);
        if close >= end {
            return Err(missing());
        }
        (tokens[condition + 2..close].iter().map(|token| token.token.clone()).collect(), close + 1)
    } else {
        (words(&["NULL"]), condition)
    };
    // Snowflake keeps every row of the left side.
    let kind = match (is_match, is_left) {
        (true, _) => "match",
        (false, true) => "left",
        (false, false) => "inner",
    };
    let mut call = words(&["MATCH_CONDITION"]);
    call.push(Token::LParen);
    call.extend(words(&[ASOF_CALL]));
    call.extend([Token::LParen, Token::SingleQuotedString(kind.into()), Token::Comma]);
    call.extend(matching);
    call.push(Token::Comma);
    call.extend(tolerance);
    call.extend([Token::RParen, Token::RParen]);
    Ok(Some(vec![
        (at..next, words(&["ASOF", "JOIN"])),
        (condition..constraint, call),
        (tolerance_at..tolerance_end, Vec::new()),
    ]))
}

/// `'1m'`, `INTERVAL '1 minute'` or `1m`.
fn tolerance_of(tokens: &[TokenWithSpan]) -> Result<Vec<Token>> {
    let tokens: Vec<&Token> = tokens.iter().map(|token| &token.token).collect();
    match tokens.as_slice() {
        [text @ Token::SingleQuotedString(_)] => Ok(vec![(*text).clone()]),
        [interval, text @ Token::SingleQuotedString(_)] if is_word(interval, "INTERVAL") => Ok(vec![(*text).clone()]),
        [Token::Number(number, _), Token::Word(unit)] => {
            Ok(vec![Token::SingleQuotedString(format!("{number} {}", unit.value))])
        }
        _ => Err(Error::Parse { message: "TOLERANCE is followed by a span such as '1 minute' or 1m".into() }),
    }
}

/// The first of some words from `start` on outside parentheses, or the end of the parentheses or of the statement.
fn end_of(tokens: &[TokenWithSpan], start: usize, ends: &[&str]) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return index,
            Token::RParen => depth -= 1,
            Token::SemiColon | Token::EOF => return index,
            // `left(a, 1)` is a function.
            Token::Word(word)
                if depth == 0
                    && word.quote_style.is_none()
                    && ends.iter().any(|end| word.value.eq_ignore_ascii_case(end))
                    && !(JOINS.iter().any(|join| word.value.eq_ignore_ascii_case(join))
                        && matches!(tokens.get(index + 1).map(|token| &token.token), Some(Token::LParen))) =>
            {
                return index;
            }
            _ => {}
        }
    }
    tokens.len()
}

fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

fn words(texts: &[&str]) -> Vec<Token> {
    texts.iter().map(|text| Token::make_word(text, None)).collect()
}

#[cfg(test)]
mod tests {
    use sqlparser::dialect::GenericDialect;
    use sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn rewritten(sql: &str) -> Result<String> {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap();
        let tokens = rewrite(tokens)?.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
        Ok(tokens.map(|token| token.token.to_string()).collect::<Vec<_>>().join(" ").replace(" EOF", ""))
    }

    #[test]
    fn latest_on_becomes_a_row_number() {
        assert_eq!(
            rewritten("select * from t where x > 1 latest on time partition by host, \"Re gion\" order by host")
                .unwrap(),
            "select * from t where x > 1 QUALIFY row_number ( ) OVER ( PARTITION BY host , \"Re gion\" \
             ORDER BY time DESC ) = 1 order by host"
        );
        let nested = rewritten("select * from (select * from t latest on t.time partition by host) x").unwrap();
        assert!(nested.ends_with("ORDER BY t . time DESC ) = 1 ) x"), "{nested}");
        // A table may be called so.
        for sql in ["select * from a join b latest on a . x = latest . x", "select latest from latest"] {
            assert_eq!(rewritten(sql).unwrap(), sql);
        }
        assert!(rewritten("select * from t latest by host").is_err());
        assert!(rewritten("select * from t latest on time partition by host where x = 1").is_err());
    }

    #[test]
    fn asof_joins_become_match_conditions() {
        assert_eq!(
            rewritten("select * from a asof join b on a.h = b.h and a.t >= b.t where x = 1").unwrap(),
            "select * from a ASOF JOIN b MATCH_CONDITION ( asof_join ( 'inner' , NULL , NULL ) ) \
             on a . h = b . h and a . t >= b . t where x = 1"
        );
        assert_eq!(
            rewritten("select * from a asof left outer join (select 1) b using (h, t) tolerance 90 s join c on 1 = 1")
                .unwrap(),
            "select * from a ASOF JOIN ( select 1 ) b MATCH_CONDITION ( asof_join ( 'left' , NULL , '90 s' ) ) \
             using ( h , t ) join c on 1 = 1"
        );
        assert_eq!(
            rewritten("select * from a asof join b match_condition (a.t >= b.t) on a.h = b.h tolerance interval '1 m'")
                .unwrap(),
            "select * from a ASOF JOIN b MATCH_CONDITION ( asof_join ( 'match' , a . t >= b . t , '1 m' ) ) \
             on a . h = b . h"
        );
        for sql in [
            "select * from a asof join b",
            "select * from a asof join b where x = 1",
            "select * from a asof join b match_condition a.t >= b.t",
            "select * from a asof join b using (t) tolerance",
        ] {
            assert!(rewritten(sql).is_err(), "{sql}");
        }
        assert!(rewritten(&"asof join b using (t) ".repeat(1_000)).is_err());
        assert!(rewritten(&"(asof join ".repeat(1_000)).is_err());
    }
}
