//! Bounds on the text of a statement, checked on its tokens, before syntax that could overflow the stack is made of them.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Result};
use crate::options::SqlLimits;

/// Weight of operators that may follow each other without a comma between them. A chain such as `a OR b OR ...` nests as
/// deeply as it is long, without a recursion of the parser. Binary operators are walked without recursion later on and
/// weigh 1; what is walked by recursion weighs this, so that 40 of it may stand in a row.
const RECURSIVE_WEIGHT: usize = 25;

/// The weight of `IS`, `IN`, `LIKE` and `BETWEEN`: walked by recursion when they follow each other, which they hardly
/// ever do, but common between `AND` and `OR`.
const POSTFIX_WEIGHT: usize = 4;

/// Refuses a text that is too long.
pub(super) fn check_bytes(sql: &str, limits: &SqlLimits) -> Result<()> {
    if sql.len() <= limits.bytes_max {
        return Ok(());
    }
    Err(Error::LimitExceeded {
        what: "the length of the statement in bytes",
        limit: limits.bytes_max as u64,
        hint: "load rows with COPY or the API, or raise sql.bytes_max",
    })
}

/// Refuses what is too large, or nests too deeply.
pub(super) fn check_tokens(tokens: &[TokenWithSpan], limits: &SqlLimits) -> Result<()> {
    let mut nodes = 0;
    let mut chain = 0;
    let chain_max = limits.chain_max.min(SqlLimits::CHAIN_CAP);
    // The counts at which the open parentheses stand: what is inside goes deeper from there, and a comma inside ends
    // nothing outside.
    let mut outer: Vec<usize> = Vec::new();
    for token in tokens {
        let weight = weight(&token.token);
        nodes += usize::from(!matches!(
            token.token,
            Token::Whitespace(_) | Token::LParen | Token::RParen | Token::Comma | Token::SemiColon
        ));
        match &token.token {
            Token::LParen => outer.push(chain),
            Token::RParen => chain = outer.pop().unwrap_or(chain),
            Token::Comma | Token::SemiColon => chain = outer.last().copied().unwrap_or(0),
            _ => chain += weight,
        }
        if chain > chain_max {
            return Err(Error::LimitExceeded {
                what: "the number of operators in a row (sql.chain_max)",
                limit: chain_max as u64,
                hint: "use IN (...), or load the values into a table and join it",
            });
        }
    }
    if nodes > limits.nodes_max {
        return Err(Error::LimitExceeded {
            what: "the number of names, literals and operators of the statement",
            limit: limits.nodes_max as u64,
            hint: "load the values into a table, or raise sql.nodes_max",
        });
    }
    Ok(())
}

fn weight(token: &Token) -> usize {
    match token {
        Token::Word(word) => match word.keyword {
            Keyword::AND | Keyword::OR => 1,
            Keyword::IS | Keyword::IN | Keyword::LIKE | Keyword::ILIKE | Keyword::BETWEEN => POSTFIX_WEIGHT,
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN => RECURSIVE_WEIGHT,
            _ => 0,
        },
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => 1,
        Token::Eq | Token::Neq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq => 1,
        Token::DoubleColon | Token::LBracket => RECURSIVE_WEIGHT,
        Token::LParen
        | Token::RParen
        | Token::Comma
        | Token::SemiColon
        | Token::Whitespace(_)
        | Token::Period
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::EOF => 0,
        _ => POSTFIX_WEIGHT,
    }
}
