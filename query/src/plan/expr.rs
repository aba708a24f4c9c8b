//! Bound expressions: every name is a column index, every node knows its Arrow type, types already agree.

use arrow::datatypes::DataType;

use super::bucket::Bucket;
use super::coerce::TIME_TYPE;
use super::function::ScalarFunction;
use crate::scalar::Scalar;

/// A bound expression over the columns of its input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// A column of the input.
    Column(usize, DataType),
    /// A constant; a NULL carries the type it stands for.
    Literal(Scalar, DataType),
    /// The result of an aggregate, by its place in the plan's list; gone once the plan is bound.
    Aggregate(usize, DataType),
    /// The result of `locf` or `interpolate`, by its place in the plan's list; gone once the plan is bound.
    Fill(usize, DataType),
    /// `+ - * / %`, with the type of the result.
    Arithmetic(ArithmeticOp, Box<Expr>, Box<Expr>, DataType),
    /// `-x`.
    Negate(Box<Expr>),
    /// `= <> < <= > >=`.
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// `a AND b`.
    And(Box<Expr>, Box<Expr>),
    /// `a OR b`.
    Or(Box<Expr>, Box<Expr>),
    /// `NOT a`.
    Not(Box<Expr>),
    /// `a IS NULL`.
    IsNull(Box<Expr>),
    /// `a IN (literals)`; `negated` for NOT IN.
    InList {
        /// The value.
        expr: Box<Expr>,
        /// Literals of the same type.
        list: Vec<Scalar>,
        /// Whether it is NOT IN.
        negated: bool,
    },
    /// `a LIKE pattern`.
    Like {
        /// The text.
        expr: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// Whether it is NOT LIKE.
        negated: bool,
        /// Whether it is ILIKE.
        ignore_case: bool,
    },
    /// `CASE WHEN condition THEN value ... ELSE value END`.
    Case {
        /// Conditions and values.
        branches: Vec<(Expr, Expr)>,
        /// The value when no condition holds.
        otherwise: Box<Expr>,
    },
    /// `CAST(a AS type)`; with `checked` unset a value that does not fit becomes NULL.
    Cast {
        /// The value.
        expr: Box<Expr>,
        /// The target.
        to: DataType,
        /// Whether a value that does not fit is an error.
        checked: bool,
    },
    /// A scalar function, with the type of the result.
    Call(ScalarFunction, Vec<Expr>, DataType),
    /// `a || b`.
    Concat(Box<Expr>, Box<Expr>),
    /// The start of the bucket that holds a time.
    TimeBucket(Bucket, Box<Expr>),
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompareOp {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

impl CompareOp {
    /// The operator with its operands exchanged.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::Eq | Self::NotEq => self,
            Self::Lt => Self::Gt,
            Self::LtEq => Self::GtEq,
            Self::Gt => Self::Lt,
            Self::GtEq => Self::LtEq,
        }
    }
}

impl std::fmt::Display for CompareOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
        })
    }
}

impl Expr {
    /// The type of the value.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Column(_, data_type)
            | Self::Literal(_, data_type)
            | Self::Aggregate(_, data_type)
            | Self::Fill(_, data_type)
            | Self::Arithmetic(_, _, _, data_type)
            | Self::Call(_, _, data_type)
            | Self::Cast { to: data_type, .. } => data_type.clone(),
            Self::Negate(inner) => inner.data_type(),
            Self::Compare(..)
            | Self::And(..)
            | Self::Or(..)
            | Self::Not(_)
            | Self::IsNull(_)
            | Self::InList { .. }
            | Self::Like { .. } => DataType::Boolean,
            Self::Case { otherwise, .. } => otherwise.data_type(),
            Self::Concat(..) => DataType::Utf8,
            Self::TimeBucket(..) => TIME_TYPE,
        }
    }

    /// A literal of the type of its value.
    pub(crate) fn literal(value: Scalar) -> Self {
        let data_type = value.data_type();
        Self::Literal(value, data_type)
    }

    /// The expression in another type; literals are converted at once where that is exact.
    pub(crate) fn cast(self, to: &DataType) -> Self {
        if self.data_type() == *to {
            return self;
        }
        match (self, to) {
            (Self::Literal(Scalar::Null, _), _) => Self::Literal(Scalar::Null, to.clone()),
            (Self::Literal(Scalar::I64(value), _), DataType::Float64) => Self::literal(Scalar::F64(value as f64)),
            (expr, _) => Self::Cast { expr: Box::new(expr), to: to.clone(), checked: true },
        }
    }

    /// Calls `visit` for the expressions directly below.
    pub(crate) fn for_each_child<'a>(&'a self, mut visit: impl FnMut(&'a Self)) {
        match self {
            Self::Column(..) | Self::Literal(..) | Self::Aggregate(..) | Self::Fill(..) => {}
            Self::Arithmetic(_, left, right, _)
            | Self::Compare(_, left, right)
            | Self::And(left, right)
            | Self::Or(left, right)
            | Self::Concat(left, right) => {
                visit(left);
                visit(right);
            }
            Self::Negate(inner) | Self::Not(inner) | Self::IsNull(inner) | Self::TimeBucket(_, inner) => visit(inner),
            Self::InList { expr, .. } | Self::Cast { expr, .. } => visit(expr),
            Self::Like { expr, pattern, .. } => {
                visit(expr);
                visit(pattern);
            }
            Self::Case { branches, otherwise } => {
                for (condition, value) in branches {
                    visit(condition);
                    visit(value);
                }
                visit(otherwise);
            }
            Self::Call(_, arguments, _) => arguments.iter().for_each(visit),
        }
    }

    /// Calls `visit` for the expressions directly below, to change them.
    pub(crate) fn for_each_child_mut<E>(&mut self, mut visit: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Column(..) | Self::Literal(..) | Self::Aggregate(..) | Self::Fill(..) => Ok(()),
            Self::Arithmetic(_, left, right, _)
            | Self::Compare(_, left, right)
            | Self::And(left, right)
            | Self::Or(left, right)
            | Self::Concat(left, right) => {
                visit(left)?;
                visit(right)
            }
            Self::Negate(inner) | Self::Not(inner) | Self::IsNull(inner) | Self::TimeBucket(_, inner) => visit(inner),
            Self::InList { expr, .. } | Self::Cast { expr, .. } => visit(expr),
            Self::Like { expr, pattern, .. } => {
                visit(expr)?;
                visit(pattern)
            }
            Self::Case { branches, otherwise } => {
                for (condition, value) in branches {
                    visit(condition)?;
                    visit(value)?;
                }
                visit(otherwise)
            }
            Self::Call(_, arguments, _) => arguments.iter_mut().try_for_each(visit),
        }
    }

    /// Adds the columns that the expression reads to `columns`, each once.
    pub(crate) fn collect_columns(&self, columns: &mut Vec<usize>) {
        if let Self::Column(index, _) = self
            && !columns.contains(index)
        {
            columns.push(*index);
        }
        self.for_each_child(|child| child.collect_columns(columns));
    }

    /// Replaces every column index by `map[index]`.
    pub(crate) fn remap_columns(&mut self, map: &dyn Fn(usize) -> usize) {
        if let Self::Column(index, _) = self {
            *index = map(*index);
        }
        let done: Result<(), std::convert::Infallible> = self.for_each_child_mut(|child| {
            child.remap_columns(map);
            Ok(())
        });
        let Ok(()) = done;
    }

    /// Whether evaluating the expression can fail on some row.
    pub(crate) fn can_fail(&self) -> bool {
        let here = matches!(self, Self::Arithmetic(..) | Self::Negate(_) | Self::Cast { .. } | Self::Call(..));
        let mut below = false;
        self.for_each_child(|child| below |= child.can_fail());
        here || below
    }
}
