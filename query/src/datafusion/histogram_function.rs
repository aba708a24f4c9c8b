//! `histogram_count`, `histogram_sum` and `histogram_buckets` for DataFusion: the functions of the vectorized executor.

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::histogram::HistogramPart;

/// A function for DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct HistogramFunction {
    part: HistogramPart,
    signature: Signature,
}

impl HistogramFunction {
    /// Every function.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let signature = || Signature::exact(vec![DataType::Binary], Volatility::Immutable);
        HistogramPart::ALL.into_iter().map(move |part| Self { part, signature: signature() })
    }
}

impl ScalarUDFImpl for HistogramFunction {
    fn name(&self) -> &str {
        self.part.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.part.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [histograms] = args.args.as_slice() else {
            return plan_err!("{} takes one argument", self.name());
        };
        let array = histograms.to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(self.part.evaluate(array.as_binary::<i32>())))
    }
}
