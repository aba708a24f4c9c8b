//! Means, squared deviations and products of deviations of pairs: correlation and covariance.
//!
//! Rows are added after Welford, groups merged after Chan and others ("Updating formulae and a pairwise algorithm for
//! computing sample variances", 1979).

/// The moments of the pairs of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PairMoments {
    count: u64,
    mean_x: f64,
    mean_y: f64,
    squares_x: f64,
    squares_y: f64,
    products: f64,
}

impl PairMoments {
    /// Number of floats in [`Self::parts`].
    #[cfg(feature = "datafusion")]
    pub(crate) const PARTS: usize = 5;

    /// Adds a pair.
    pub(crate) fn add(&mut self, x: f64, y: f64) {
        self.count += 1;
        let count = self.count as f64;
        let (delta_x, delta_y) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += delta_x / count;
        self.mean_y += delta_y / count;
        self.squares_x += delta_x * (x - self.mean_x);
        self.squares_y += delta_y * (y - self.mean_y);
        self.products += delta_x * (y - self.mean_y);
    }

    /// Adds the pairs of another group.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (count, others) = (self.count as f64, other.count as f64);
        let total = count + others;
        let (delta_x, delta_y) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        let weight = count * others / total;
        self.squares_x += other.squares_x + delta_x * delta_x * weight;
        self.squares_y += other.squares_y + delta_y * delta_y * weight;
        self.products += other.products + delta_x * delta_y * weight;
        self.mean_x += delta_x * others / total;
        self.mean_y += delta_y * others / total;
        self.count += other.count;
    }

    /// The covariance of the population; `None` without pairs.
    pub(crate) fn covar_pop(&self) -> Option<f64> {
        (self.count > 0).then(|| self.products / self.count as f64)
    }

    /// The covariance of a sample; `None` below two pairs.
    pub(crate) fn covar_samp(&self) -> Option<f64> {
        (self.count > 1).then(|| self.products / (self.count - 1) as f64)
    }

    /// The correlation; `None` where one of both never changes.
    pub(crate) fn corr(&self) -> Option<f64> {
        let scale = (self.squares_x * self.squares_y).sqrt();
        // Also a NaN among the values leads to a NaN here, which is an answer.
        (self.count > 1 && scale != 0.0).then(|| self.products / scale)
    }

    /// The count and the moments.
    #[cfg(feature = "datafusion")]
    pub(crate) fn parts(&self) -> (u64, [f64; Self::PARTS]) {
        (self.count, [self.mean_x, self.mean_y, self.squares_x, self.squares_y, self.products])
    }

    /// The moments of [`Self::parts`].
    #[cfg(feature = "datafusion")]
    pub(crate) fn from_parts(count: u64, parts: [f64; Self::PARTS]) -> Self {
        let [mean_x, mean_y, squares_x, squares_y, products] = parts;
        Self { count, mean_x, mean_y, squares_x, squares_y, products }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_parts_are_those_of_the_whole() {
        let pairs: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i % 17), f64::from(i * i % 23))).collect();
        let mut whole = PairMoments::default();
        pairs.iter().for_each(|(x, y)| whole.add(*x, *y));
        let mut merged = PairMoments::default();
        for part in pairs.chunks(7) {
            let mut moments = PairMoments::default();
            part.iter().for_each(|(x, y)| moments.add(*x, *y));
            merged.merge(&moments);
        }
        let near = |left: Option<f64>, right: Option<f64>| (left.unwrap() - right.unwrap()).abs() < 1e-12;
        assert!(near(whole.corr(), merged.corr()) && near(whole.covar_samp(), merged.covar_samp()));
        let n = pairs.len() as f64;
        let (mean_x, mean_y) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
        let plain = pairs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / n;
        assert!(near(whole.covar_pop(), Some(plain)));
        let mut constant = PairMoments::default();
        constant.add(1.0, 2.0);
        constant.add(1.0, 3.0);
        assert_eq!((constant.corr(), constant.covar_samp()), (None, Some(0.0)));
    }
}
