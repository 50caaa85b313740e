//! An operation of each map beside another one of the same map: what the one costs more.

use serde::{Deserialize, Serialize};

use super::comparison::Comparison;

/// Nanoseconds per operation of both, one timed right after the other.
#[derive(Serialize, Deserialize)]
pub struct Pair {
    pub plain: f64,
    pub computed: f64,
}

impl Pair {
    /// Times both with the same function, by turns one or the other first.
    pub fn measure(round: usize, mut time: impl FnMut(Which) -> f64) -> Self {
        match round % 2 {
            0 => {
                let plain = time(Which::Plain);
                Self { plain, computed: time(Which::Computed) }
            }
            _ => {
                let computed = time(Which::Computed);
                Self { plain: time(Which::Plain), computed }
            }
        }
    }
}

#[derive(Clone, Copy)]
pub enum Which {
    Plain,
    Computed,
}

/// What the plain operation's columns are called.
pub struct Columns {
    pub plain: &'static str,
    pub ratio: &'static str,
}

/// Adds the pairs of each contender by round, ours the first. The comparison itself is between the
/// computing operations.
pub fn add(
    comparison: &mut Comparison,
    columns: &Columns,
    contenders: &[&'static str],
    samples: &[Vec<Pair>],
) {
    let computed = |pairs: &Vec<Pair>| pairs.iter().map(|pair| pair.computed).collect();
    comparison.add(contenders.iter().copied(), samples.iter().map(computed).collect());
    for (contender, pairs) in contenders.iter().zip(samples) {
        let plain = pairs.iter().map(|pair| pair.plain).collect();
        let ratios = pairs.iter().map(|pair| pair.computed / pair.plain).collect();
        comparison.add_column(contender, columns.plain, plain);
        comparison.add_column(contender, columns.ratio, ratios);
    }
}
