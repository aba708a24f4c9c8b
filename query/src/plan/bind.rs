//! Binds syntax to the columns of one table: names to indices, literals to values, operators to typed nodes.
//!
//! Anything that is SQL but not in the executor's vocabulary is `Error::Unsupported`, which sends the statement to
//! DataFusion. Constant subexpressions are folded here, so that `now() - INTERVAL '1 hour'` prunes like a literal.

use arrow::datatypes::DataType;
use lynxstore_storage::types::TableSchema;
use sqlparser::ast::{self, BinaryOperator, CastKind, UnaryOperator, Value};

use super::aggregate::Aggregate;
use super::coerce::{self, TIME_TYPE, is_text};
use super::expr::{ArithmeticOp, CompareOp, Expr};
use super::gapfill::GapCalls;
use crate::error::{Error, Result};
use crate::exec::evaluate_constant;
use crate::scalar::Scalar;
use crate::sql::{fold_ident, parse_interval, parse_timestamp};

/// What names mean while a statement is bound.
pub(crate) struct Binder<'a> {
    /// The table and the names that qualify its columns; without one only constants can be bound.
    pub(super) table: Option<(&'a TableSchema, String)>,
    params: &'a [Scalar],
    now_ns: i64,
    /// Whether the plan depends on the time of binding.
    pub(super) uses_now: bool,
    /// Names of output columns, tried after those of the table where the clause allows it.
    pub(super) aliases: Vec<(String, &'a ast::Expr)>,
    /// Aggregates seen so far; `None` where the clause allows none.
    pub(super) aggregates: Option<Vec<Aggregate>>,
    /// What is said of gaps.
    pub(super) gaps: GapCalls,
}

/// Binds an expression without columns and evaluates it.
pub(crate) fn bind_constant(expr: &ast::Expr, params: &[Scalar], now_ns: i64) -> Result<Scalar> {
    match Binder::new(None, params, now_ns).bind(expr)? {
        Expr::Literal(value, _) => Ok(value),
        bound => evaluate_constant(&bound),
    }
}

/// Binds a condition over the columns of a table.
pub(crate) fn bind_condition_of(table: &TableSchema, expr: &ast::Expr, params: &[Scalar], now_ns: i64) -> Result<Expr> {
    Binder::new(Some((table, table.name.clone())), params, now_ns).bind_condition(expr)
}

impl<'a> Binder<'a> {
    /// A binder for one statement; `table` comes with the name that may qualify its columns.
    pub(crate) fn new(table: Option<(&'a TableSchema, String)>, params: &'a [Scalar], now_ns: i64) -> Self {
        Self {
            table,
            params,
            now_ns,
            uses_now: false,
            aliases: Vec::new(),
            aggregates: None,
            gaps: GapCalls::default(),
        }
    }

    /// Binds one expression.
    pub(crate) fn bind(&mut self, expr: &'a ast::Expr) -> Result<Expr> {
        use ast::Expr as Ast;
        match expr {
            Ast::Identifier(ident) => self.bind_name(ident),
            Ast::CompoundIdentifier(parts) => self.bind_qualified(parts),
            Ast::Nested(inner) => self.bind(inner),
            Ast::Value(value) => self.bind_value(&value.value),
            Ast::TypedString(typed) => bind_typed_string(typed),
            Ast::Interval(interval) => bind_interval(interval),
            Ast::BinaryOp { left, op, right } => self.bind_binary(left, op, right),
            Ast::UnaryOp { op, expr } => self.bind_unary(*op, expr),
            Ast::IsNull(inner) => Ok(Expr::IsNull(self.bind_boxed(inner)?)),
            Ast::IsNotNull(inner) => Ok(not(Expr::IsNull(self.bind_boxed(inner)?))),
            Ast::IsTrue(inner) | Ast::IsNotFalse(inner) | Ast::IsFalse(inner) | Ast::IsNotTrue(inner) => {
                let value = self.bind_condition(inner)?;
                let wanted = matches!(expr, Ast::IsTrue(_) | Ast::IsNotTrue(_));
                let is = Expr::Case {
                    branches: vec![(if wanted { value } else { not(value) }, Expr::literal(Scalar::Bool(true)))],
                    otherwise: Box::new(Expr::literal(Scalar::Bool(false))),
                };
                Ok(if matches!(expr, Ast::IsTrue(_) | Ast::IsFalse(_)) { is } else { not(is) })
            }
            Ast::InList { expr, list, negated } => self.bind_in_list(expr, list, *negated),
            Ast::Between { expr, negated, low, high } => {
                let value = self.bind(expr)?;
                let (low, high) = (self.bind(low)?, self.bind(high)?);
                let from = compare(CompareOp::GtEq, value.clone(), low)?;
                let to = compare(CompareOp::LtEq, value, high)?;
                let between = Expr::And(Box::new(from), Box::new(to));
                Ok(if *negated { not(between) } else { between })
            }
            Ast::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.bind_like(expr, pattern, *negated, false)
            }
            Ast::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                self.bind_like(expr, pattern, *negated, true)
            }
            Ast::Case { operand, conditions, else_result, .. } => {
                self.bind_case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Ast::Cast { kind, expr, data_type, array: false, format: None } => {
                let to = cast_target(data_type)?;
                let checked = !matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                let value = self.bind(expr)?;
                Ok(fold(bind_cast(value, to, checked)))
            }
            Ast::Floor { expr, field } => self.bind_rounding("floor", expr, field),
            Ast::Ceil { expr, field } => self.bind_rounding("ceil", expr, field),
            Ast::Trim { expr, trim_where: None, trim_what: None, trim_characters: None } => {
                self.bind_scalar_function("trim", vec![expr])
            }
            Ast::Function(function) => self.bind_function(function),
            other => Err(Error::unsupported(format!("the expression {other}"))),
        }
    }

    fn bind_boxed(&mut self, expr: &'a ast::Expr) -> Result<Box<Expr>> {
        self.bind(expr).map(Box::new)
    }

    /// Binds an expression that must be boolean.
    pub(crate) fn bind_condition(&mut self, expr: &'a ast::Expr) -> Result<Expr> {
        let bound = self.bind(expr)?;
        match bound.data_type() {
            DataType::Boolean => Ok(bound),
            DataType::Null => Ok(bound.cast(&DataType::Boolean)),
            other => Err(Error::plan(format!("{expr} is {other}, but a condition must be BOOLEAN"))),
        }
    }

    fn bind_name(&mut self, ident: &'a ast::Ident) -> Result<Expr> {
        if let Some(column) = self.column(ident) {
            return Ok(column);
        }
        let name = fold_ident(ident);
        if let Some(expr) = self.aliases.iter().find(|(alias, _)| *alias == name).map(|(_, expr)| *expr) {
            // An alias may stand for an expression with a column of its own name, so it is out of scope inside.
            let outer = std::mem::take(&mut self.aliases);
            let bound = self.bind(expr);
            self.aliases = outer;
            return bound;
        }
        Err(self.no_such_column(ident))
    }

    fn bind_qualified(&mut self, parts: &'a [ast::Ident]) -> Result<Expr> {
        let [.., qualifier, column] = parts else { return Err(Error::unsupported("an empty name")) };
        match &self.table {
            Some((_, alias)) if parts.len() <= 3 && fold_ident(qualifier) == *alias => {
                self.column(column).ok_or_else(|| self.no_such_column(column))
            }
            _ => Err(Error::unsupported(format!("the name {}", ast::Expr::CompoundIdentifier(parts.to_vec())))),
        }
    }

    /// The column of a name: folded to lower case, else as written.
    fn column(&self, ident: &ast::Ident) -> Option<Expr> {
        let (table, _) = self.table.as_ref()?;
        column_named(table, &fold_ident(ident)).or_else(|| column_named(table, &ident.value))
    }

    fn no_such_column(&self, ident: &ast::Ident) -> Error {
        match &self.table {
            None => Error::plan(format!("'{}' is a name, but only constants can stand here", ident.value)),
            Some((table, _)) => {
                let names: Vec<&str> = std::iter::once(table.time.name.as_str())
                    .chain(table.tags.iter().map(|tag| tag.name.as_str()))
                    .chain(table.fields.iter().map(|field| field.name.as_str()))
                    .take(20)
                    .collect();
                let names = names.join(", ");
                Error::plan(format!("table '{}' has no column '{}': it has {names}", table.name, ident.value))
            }
        }
    }

    fn bind_value(&self, value: &Value) -> Result<Expr> {
        let scalar = match value {
            Value::Number(text, _) => parse_number(text)?,
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::NationalStringLiteral(text) => Scalar::from(text.as_str()),
            Value::DollarQuotedString(quoted) => Scalar::from(quoted.value.as_str()),
            Value::HexStringLiteral(digits) => parse_hex(digits)?,
            Value::Boolean(value) => Scalar::Bool(*value),
            Value::Null => Scalar::Null,
            Value::Placeholder(name) => {
                let index = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
                match index.and_then(|index| self.params.get(index.checked_sub(1)?)) {
                    Some(value) => value.clone(),
                    None => {
                        let given = self.params.len();
                        return Err(Error::plan(format!(
                            "parameter {name} has no value: {given} were given, from $1 on"
                        )));
                    }
                }
            }
            other => return Err(Error::unsupported(format!("the literal {other}"))),
        };
        Ok(Expr::literal(scalar))
    }

    /// Binds a chain of binary operators; it leans to the left and may be long, so it is not walked by recursion.
    fn bind_binary(&mut self, left: &'a ast::Expr, op: &'a BinaryOperator, right: &'a ast::Expr) -> Result<Expr> {
        let mut chain = vec![(op, right)];
        let mut first = left;
        while let ast::Expr::BinaryOp { left, op, right } = first {
            chain.push((op, right));
            first = left;
        }
        let mut bound = self.bind(first)?;
        for (op, right) in chain.into_iter().rev() {
            let right = self.bind(right)?;
            bound = combine(bound, op, right)?;
        }
        Ok(bound)
    }

    fn bind_unary(&mut self, op: UnaryOperator, expr: &'a ast::Expr) -> Result<Expr> {
        match op {
            UnaryOperator::Not => Ok(not(self.bind_condition(expr)?)),
            UnaryOperator::Plus => self.bind(expr),
            UnaryOperator::Minus => {
                if let ast::Expr::Value(value) = expr
                    && let Value::Number(text, _) = &value.value
                {
                    return Ok(Expr::literal(parse_number(&format!("-{text}"))?));
                }
                match self.bind(expr)? {
                    Expr::Literal(Scalar::Interval(interval), _) => interval
                        .negate()
                        .map(|interval| Expr::literal(Scalar::Interval(interval)))
                        .ok_or_else(|| Error::plan("the interval is out of range")),
                    value if matches!(value.data_type(), DataType::Int64 | DataType::Float64 | DataType::Int32) => {
                        Ok(fold(Expr::Negate(Box::new(value))))
                    }
                    value => Err(Error::unsupported(format!("minus of {}", value.data_type()))),
                }
            }
            other => Err(Error::unsupported(format!("the operator {other}"))),
        }
    }

    fn bind_in_list(&mut self, expr: &'a ast::Expr, list: &'a [ast::Expr], negated: bool) -> Result<Expr> {
        let value = self.bind(expr)?;
        let data_type = value.data_type();
        let mut scalars = Vec::with_capacity(list.len());
        let mut comparisons = Vec::new();
        for item in list {
            let comparison = compare(CompareOp::Eq, value.clone(), self.bind(item)?)?;
            match &comparison {
                Expr::Compare(_, left, right) if **left == value && comparisons.is_empty() => match &**right {
                    Expr::Literal(scalar, _) if *scalar != Scalar::Null => {
                        scalars.push(scalar.clone());
                        continue;
                    }
                    _ => comparisons.push(comparison),
                },
                _ => comparisons.push(comparison),
            }
        }
        let simple = matches!(
            data_type,
            DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Timestamp(..) | DataType::Boolean
        ) || is_text(&data_type);
        if comparisons.is_empty() && simple {
            return Ok(Expr::InList { expr: Box::new(value), list: scalars, negated });
        }
        // NULLs and expressions in the list: IN is a chain of OR, with its treatment of NULL.
        let mut chain: Option<Expr> = None;
        let constants = scalars.into_iter().map(|scalar| {
            Expr::Compare(CompareOp::Eq, Box::new(value.clone()), Box::new(Expr::Literal(scalar, data_type.clone())))
        });
        for comparison in constants.chain(comparisons) {
            chain = Some(match chain {
                None => comparison,
                Some(chain) => Expr::Or(Box::new(chain), Box::new(comparison)),
            });
        }
        let chain = chain.unwrap_or_else(|| Expr::literal(Scalar::Bool(false)));
        Ok(if negated { not(chain) } else { chain })
    }

    fn bind_like(
        &mut self,
        expr: &'a ast::Expr,
        pattern: &'a ast::Expr,
        negated: bool,
        ignore_case: bool,
    ) -> Result<Expr> {
        let (value, bound) = (self.bind(expr)?, self.bind(pattern)?);
        let is_null = |side: &Expr| side.data_type() == DataType::Null;
        for (written, side) in [(expr, &value), (pattern, &bound)] {
            if !is_text(&side.data_type()) && !is_null(side) {
                return Err(Error::plan(format!("LIKE compares text, but {written} is {}", side.data_type())));
            }
        }
        if is_null(&value) || is_null(&bound) {
            return Ok(Expr::Literal(Scalar::Null, DataType::Boolean));
        }
        let pattern = bound;
        Ok(Expr::Like { expr: Box::new(value), pattern: Box::new(pattern), negated, ignore_case })
    }

    fn bind_case(
        &mut self,
        operand: Option<&'a ast::Expr>,
        conditions: &'a [ast::CaseWhen],
        otherwise: Option<&'a ast::Expr>,
    ) -> Result<Expr> {
        let operand = operand.map(|operand| self.bind(operand)).transpose()?;
        let mut tests = Vec::with_capacity(conditions.len());
        let mut values = Vec::with_capacity(conditions.len() + 1);
        for case in conditions {
            tests.push(match &operand {
                None => self.bind_condition(&case.condition)?,
                Some(operand) => compare(CompareOp::Eq, operand.clone(), self.bind(&case.condition)?)?,
            });
            values.push(self.bind(&case.result)?);
        }
        values.push(match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => Expr::literal(Scalar::Null),
        });
        let (mut values, _) = coerce::unify(values)?;
        let otherwise = values.pop().expect("the value of ELSE was pushed last");
        Ok(Expr::Case { branches: tests.into_iter().zip(values).collect(), otherwise: Box::new(otherwise) })
    }

    /// The time of binding; the plan then holds for this execution only.
    pub(super) fn now(&mut self) -> Expr {
        self.uses_now = true;
        Expr::literal(Scalar::Time(self.now_ns))
    }
}

/// A column by its exact name.
fn column_named(table: &TableSchema, name: &str) -> Option<Expr> {
    if table.time.name == name {
        return Some(Expr::Column(0, TIME_TYPE));
    }
    if let Some(tag) = table.tag_index(name) {
        return Some(Expr::Column(1 + tag, TableSchema::tag_type()));
    }
    let field = table.field_index(name)?;
    Some(Expr::Column(1 + table.tags.len() + field, table.fields[field].field_type.arrow_type()))
}

/// Negates a condition.
pub(super) fn not(condition: Expr) -> Expr {
    match condition {
        Expr::Not(inner) => *inner,
        other => Expr::Not(Box::new(other)),
    }
}

/// Builds the operation of two bound operands.
fn combine(left: Expr, op: &BinaryOperator, right: Expr) -> Result<Expr> {
    let arithmetic = match op {
        BinaryOperator::Plus => ArithmeticOp::Add,
        BinaryOperator::Minus => ArithmeticOp::Subtract,
        BinaryOperator::Multiply => ArithmeticOp::Multiply,
        BinaryOperator::Divide => ArithmeticOp::Divide,
        BinaryOperator::Modulo => ArithmeticOp::Modulo,
        BinaryOperator::And => return Ok(Expr::And(Box::new(condition(left, op)?), Box::new(condition(right, op)?))),
        BinaryOperator::Or => return Ok(Expr::Or(Box::new(condition(left, op)?), Box::new(condition(right, op)?))),
        BinaryOperator::StringConcat => {
            if !is_text(&left.data_type()) || !is_text(&right.data_type()) {
                return Err(Error::unsupported("|| of other types than text"));
            }
            return Ok(fold(Expr::Concat(Box::new(left), Box::new(right))));
        }
        BinaryOperator::Eq => return compare(CompareOp::Eq, left, right),
        BinaryOperator::NotEq => return compare(CompareOp::NotEq, left, right),
        BinaryOperator::Lt => return compare(CompareOp::Lt, left, right),
        BinaryOperator::LtEq => return compare(CompareOp::LtEq, left, right),
        BinaryOperator::Gt => return compare(CompareOp::Gt, left, right),
        BinaryOperator::GtEq => return compare(CompareOp::GtEq, left, right),
        other => return Err(Error::unsupported(format!("the operator {other}"))),
    };
    let (left, right, data_type) = coerce::for_arithmetic(arithmetic, left, right)?;
    Ok(fold(Expr::Arithmetic(arithmetic, Box::new(left), Box::new(right), data_type)))
}

/// An operand of AND or OR.
fn condition(operand: Expr, op: &BinaryOperator) -> Result<Expr> {
    match operand.data_type() {
        DataType::Boolean => Ok(operand),
        DataType::Null => Ok(operand.cast(&DataType::Boolean)),
        other => Err(Error::plan(format!("an operand of {op} is {other}, but it must be BOOLEAN"))),
    }
}

/// Builds a comparison, a literal always on the right.
pub(super) fn compare(op: CompareOp, left: Expr, right: Expr) -> Result<Expr> {
    let (left, right) = coerce::for_comparison(left, right)?;
    Ok(match left {
        Expr::Literal(..) if !matches!(right, Expr::Literal(..)) => {
            Expr::Compare(op.mirrored(), Box::new(right), Box::new(left))
        }
        left => Expr::Compare(op, Box::new(left), Box::new(right)),
    })
}

/// Casts a value; text literals become times at once, so that they prune.
fn bind_cast(value: Expr, to: DataType, checked: bool) -> Expr {
    match (&value, &to) {
        (Expr::Literal(Scalar::Text(text), _), DataType::Timestamp(..)) => match parse_timestamp(text) {
            Ok(time_ns) => Expr::literal(Scalar::Time(time_ns)),
            Err(_) => Expr::Cast { expr: Box::new(value), to, checked },
        },
        _ if value.data_type() == to => value,
        _ => Expr::Cast { expr: Box::new(value), to, checked },
    }
}

/// Evaluates an operation on constants; one that fails stays as it is and fails when it is run.
pub(super) fn fold(expr: Expr) -> Expr {
    let mut constant = true;
    expr.for_each_child(|child| constant &= matches!(child, Expr::Literal(..)));
    if !constant {
        return expr;
    }
    let data_type = expr.data_type();
    match evaluate_constant(&expr) {
        Ok(value) if value == Scalar::Null || value.data_type() == data_type => Expr::Literal(value, data_type),
        _ => expr,
    }
}

fn parse_number(text: &str) -> Result<Scalar> {
    if let Ok(value) = text.parse::<i64>() {
        return Ok(Scalar::I64(value));
    }
    if let Ok(value) = text.parse::<u64>() {
        return Ok(Scalar::U64(value));
    }
    text.parse::<f64>().map(Scalar::F64).map_err(|_| Error::Parse { message: format!("'{text}' is no number") })
}

fn parse_hex(digits: &str) -> Result<Scalar> {
    let bytes: Option<Vec<u8>> = (digits.len().is_multiple_of(2) && digits.is_ascii())
        .then(|| (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect())
        .flatten();
    bytes
        .map(|bytes| Scalar::Binary(bytes.into()))
        .ok_or_else(|| Error::Parse { message: format!("X'{digits}' needs pairs of hexadecimal digits") })
}

fn bind_typed_string(typed: &ast::TypedString) -> Result<Expr> {
    let text = match &typed.value.value {
        Value::SingleQuotedString(text) => text,
        other => return Err(Error::unsupported(format!("the literal {other}"))),
    };
    match &typed.data_type {
        ast::DataType::Timestamp(..) | ast::DataType::Datetime(_) => {
            Ok(Expr::literal(Scalar::Time(parse_timestamp(text)?)))
        }
        other => Err(Error::unsupported(format!("a literal of type {other}"))),
    }
}

fn bind_interval(interval: &ast::Interval) -> Result<Expr> {
    let number = match &*interval.value {
        ast::Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
            other => return Err(Error::unsupported(format!("INTERVAL {other}"))),
        },
        ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{expr}"),
        other => return Err(Error::unsupported(format!("INTERVAL {other}"))),
    };
    let text = match &interval.leading_field {
        Some(unit) => format!("{number} {unit}"),
        None => number,
    };
    Ok(Expr::literal(Scalar::Interval(parse_interval(&text)?)))
}

/// The Arrow type of a CAST, where the executor has it.
fn cast_target(data_type: &ast::DataType) -> Result<DataType> {
    use ast::DataType as Sql;
    Ok(match data_type {
        Sql::BigInt(_) | Sql::Int64 | Sql::Int8(_) => DataType::Int64,
        Sql::Int(_) | Sql::Integer(_) | Sql::Int4(_) | Sql::Int32 => DataType::Int32,
        Sql::BigIntUnsigned(_) | Sql::UBigInt | Sql::UInt64 => DataType::UInt64,
        Sql::Double(_) | Sql::DoublePrecision | Sql::Float8 | Sql::Float64 => DataType::Float64,
        Sql::Bool | Sql::Boolean => DataType::Boolean,
        Sql::Text | Sql::Varchar(_) | Sql::String(_) | Sql::Char(_) => DataType::Utf8,
        Sql::Timestamp(None, ast::TimezoneInfo::None) => TIME_TYPE,
        other => return Err(Error::unsupported(format!("CAST to {other}"))),
    })
}
