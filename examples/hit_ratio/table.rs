//! What has been measured, as text.

use std::fmt::Write;

/// Hits in percent, at one size.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The size, in percent of the keys or of their sizes.
    pub percent: u64,
    pub capacity: u64,
    pub lru: f64,
    pub ours: f64,
}

/// What a trace has shown.
#[derive(Debug)]
pub struct Curve {
    pub name: String,
    pub has_sizes: bool,
    pub points: Vec<Point>,
}

/// One row for each of the sizes asked for, and the means.
pub fn text(curves: &[Curve], percents: &[u64]) -> String {
    let mut table = row(["trace", "size", "LRU", "ReaderCache", "difference"]);
    let mut plain = Vec::new();
    for curve in curves {
        let points = curve.points.iter().filter(|point| percents.contains(&point.percent));
        for point in points {
            let size = point.capacity.to_string();
            table += &hits(&curve.name, &size, point.lru, point.ours);
            if !curve.has_sizes {
                plain.push(point);
            }
        }
    }
    if !plain.is_empty() {
        let mean = |of: fn(&Point) -> f64| {
            plain.iter().map(|point| of(point)).sum::<f64>() / plain.len() as f64
        };
        let what = format!("mean of {} rows", plain.len());
        table += &hits(&what, "", mean(|point| point.lru), mean(|point| point.ours));
        if plain.len() < curves.len() * percents.len() {
            table += "(The mean is over the traces without sizes.)\n";
        }
    }
    table
}

fn hits(name: &str, size: &str, lru: f64, ours: f64) -> String {
    let difference = format!("{:+.2}", ours - lru);
    row([name, size, &format!("{lru:.2}"), &format!("{ours:.2}"), &difference])
}

fn row([name, size, lru, ours, difference]: [&str; 5]) -> String {
    let mut row = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(row, "{name:<16} {size:>10} {lru:>7} {ours:>12} {difference:>11}");
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, has_sizes: bool, hits: [(f64, f64); 2]) -> Curve {
        let point = |(percent, (lru, ours))| Point { percent, capacity: 7, lru, ours };
        Curve {
            name: name.into(),
            has_sizes,
            points: [1, 2].into_iter().zip(hits).map(point).collect(),
        }
    }

    #[test]
    fn the_mean_is_over_plain_rows_of_the_sizes_asked_for() {
        let curves = [
            curve("a", false, [(10.0, 20.0), (90.0, 90.0)]),
            curve("b", false, [(20.0, 40.0), (90.0, 90.0)]),
            curve("c", true, [(80.0, 80.0), (90.0, 90.0)]),
        ];
        let text = text(&curves, &[1]);
        let mean = text.lines().find(|line| line.starts_with("mean of 2 rows")).expect("a mean");
        let words: Vec<_> = mean.split_whitespace().collect();
        assert_eq!(words[4..], ["15.00", "30.00", "+15.00"]);
        assert_eq!(text.lines().count(), 6);
    }
}
