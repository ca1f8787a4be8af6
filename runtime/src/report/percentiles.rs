//! Many durations in five numbers.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Percentiles of a quantity, to three digits, in its own unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many values there were.
    pub count: u64,
    /// Half of them were at most this.
    pub p50: f64,
    /// 95 of 100 were at most this.
    pub p95: f64,
    /// 99 of 100 were at most this.
    pub p99: f64,
    /// The largest one.
    pub max: f64,
}

/// The histogram counts thousandths.
const PARTS: f64 = 1_000.0;

impl Percentiles {
    /// Of these values, none of them negative; `None` of none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits are within the library's bounds");
        for value in values {
            // A histogram of this kind grows with what it is given.
            histogram.record((value * PARTS).round() as u64).expect("no value is out of range");
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / PARTS;
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: histogram.max() as f64 / PARTS,
        })
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p95, p99, max, .. } = self;
        write!(f, "p50 {p50:.1}, p95 {p95:.1}, p99 {p99:.1}, at most {max:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let found = Percentiles::of((1..=1_000).map(f64::from)).unwrap();
        assert_eq!(found.count, 1_000);
        for (found, exact) in
            [(found.p50, 500.0), (found.p95, 950.0), (found.p99, 990.0), (found.max, 1_000.0)]
        {
            assert!((found - exact).abs() <= exact / 500.0, "{found} is not {exact}");
        }
        assert_eq!(Percentiles::of([]), None);
    }
}
