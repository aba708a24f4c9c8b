//! The scalar functions that the vectorized executor knows. All others are DataFusion's.

use arrow::datatypes::DataType;

use super::coerce::{is_integer, is_text};
use crate::histogram::HistogramPart;

/// A scalar function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalarFunction {
    /// `abs(x)`.
    Abs,
    /// `round(x [, digits])`.
    Round,
    /// `floor(x)`.
    Floor,
    /// `ceil(x)`.
    Ceil,
    /// `sqrt(x)`.
    Sqrt,
    /// `exp(x)`.
    Exp,
    /// `ln(x)`.
    Ln,
    /// `log10(x)`.
    Log10,
    /// `power(x, y)` of floats.
    Power,
    /// `lower(text)`.
    Lower,
    /// `upper(text)`.
    Upper,
    /// `length(text)`, in characters.
    Length,
    /// `trim(text)` of blanks at both ends.
    Trim,
    /// `coalesce(a, b, ...)`.
    Coalesce,
    /// `nullif(a, b)`.
    NullIf,
    /// A part of a native histogram.
    Histogram(HistogramPart),
}

impl ScalarFunction {
    /// The function of a name in lower case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "round" => Self::Round,
            "floor" => Self::Floor,
            "ceil" | "ceiling" => Self::Ceil,
            "sqrt" => Self::Sqrt,
            "exp" => Self::Exp,
            "ln" => Self::Ln,
            "log10" => Self::Log10,
            "power" | "pow" => Self::Power,
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "length" | "char_length" | "character_length" => Self::Length,
            "trim" | "btrim" => Self::Trim,
            "coalesce" => Self::Coalesce,
            "nullif" => Self::NullIf,
            name => Self::Histogram(HistogramPart::from_name(name)?),
        })
    }

    /// The type that every argument is cast to and the type of the result; `None` when the arguments do not fit.
    ///
    /// `coalesce` and `nullif` are typed by the binder, since their arguments decide together.
    pub(crate) fn signature(self, arguments: &[DataType]) -> Option<(DataType, DataType)> {
        let first = arguments.first()?;
        let numeric = first.is_numeric() || *first == DataType::Null;
        let unary = arguments.len() == 1;
        match self {
            Self::Abs if unary && numeric => Some((first.clone(), first.clone())),
            Self::Round if arguments.len() <= 2 && numeric => {
                let result = if is_integer(first) && unary { first.clone() } else { DataType::Float64 };
                (unary || is_integer(&arguments[1])).then(|| (result.clone(), result))
            }
            Self::Floor | Self::Ceil | Self::Sqrt | Self::Exp | Self::Ln | Self::Log10 if unary && numeric => {
                Some((DataType::Float64, DataType::Float64))
            }
            Self::Power
                if arguments.len() == 2 && (*first == DataType::Float64 || arguments[1] == DataType::Float64) =>
            {
                let fits = arguments.iter().all(|argument| argument.is_numeric() || *argument == DataType::Null);
                fits.then_some((DataType::Float64, DataType::Float64))
            }
            Self::Lower | Self::Upper | Self::Trim if unary && is_text(first) => Some((DataType::Utf8, DataType::Utf8)),
            Self::Histogram(part) if unary && matches!(first, DataType::Binary | DataType::Null) => {
                Some((DataType::Binary, part.data_type()))
            }
            Self::Length if unary && is_text(first) => Some((DataType::Utf8, DataType::Int32)),
            _ => None,
        }
    }
}
