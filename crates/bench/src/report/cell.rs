//! One figure of one system under one load, over all repetitions.

use std::borrow::Borrow;

use crate::figure::{Metric, Row};
use crate::load::Load;
use crate::number::readable;
use crate::system::System;

/// Stands where there is no number.
const NONE: &str = "–";

/// The values that count, in order.
#[derive(Clone, Debug)]
pub struct Cell(Vec<f64>);

impl Cell {
    /// Collects them.
    pub fn of(
        rows: impl IntoIterator<Item = impl Borrow<Row>>,
        system: System,
        load: Load,
        metric: Metric,
    ) -> Self {
        let name = load.name();
        let values = rows.into_iter().filter_map(|row| {
            let row: &Row = row.borrow();
            if row.system == system.name() && row.load == name { row.figure(metric) } else { None }
        });
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The middle one, or the mean of the middle two.
    fn median(&self) -> Option<f64> {
        let upper = self.0.get(self.0.len() / 2)?;
        let lower = self.0.get((self.0.len() - 1) / 2)?;
        Some(f64::midpoint(*lower, *upper))
    }

    /// The median.
    pub fn median_text(&self) -> String {
        self.median().map_or_else(|| NONE.to_owned(), readable)
    }

    /// The median with the least and the most.
    pub fn text(&self) -> String {
        match (self.0.first(), self.0.last()) {
            (Some(least), Some(most)) if self.0.len() > 1 => {
                format!("{} ({}–{})", self.median_text(), readable(*least), readable(*most))
            }
            _ => self.median_text(),
        }
    }

    /// How many times another's median.
    pub fn times(&self, other: &Self) -> String {
        match (self.median(), other.median()) {
            (Some(mine), Some(theirs)) if theirs > 0.0 => format!("{:.2}", mine / theirs),
            _ => NONE.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cell;

    #[test]
    fn medians_of_odd_even_and_none() {
        assert_eq!(Cell(vec![]).text(), "–");
        assert_eq!(Cell(vec![7.0]).text(), "7.00");
        assert_eq!(Cell(vec![1.0, 2.0]).text(), "1.50 (1.00–2.00)");
        assert_eq!(Cell(vec![1.0, 2.0, 9.0]).text(), "2.00 (1.00–9.00)");
        assert_eq!(Cell(vec![3.0]).times(&Cell(vec![4.0])), "0.75");
        assert_eq!(Cell(vec![3.0]).times(&Cell(vec![])), "–");
        assert_eq!(Cell(vec![3.0]).times(&Cell(vec![0.0])), "–");
    }
}
