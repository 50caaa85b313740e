//! Memory over time, as an SVG.

use std::fmt::Write;

use crate::memory::Sample;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 360.0;
/// Around the axes.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 40.0;

const IN_USE: &str = "#1769c2";
const RESIDENT: &str = "#8a8f98";

/// What of a sample makes a curve.
type Bytes = fn(&Sample) -> Option<usize>;

/// Draws the bytes in use and the resident memory.
pub fn svg(samples: &[Sample]) -> String {
    let end = samples.last().map_or(1.0, |sample| sample.time).max(1.0);
    let largest = samples.iter().map(|sample| sample.bytes.max(sample.resident.unwrap_or(0)));
    let top = round_up(largest.max().unwrap_or(1) as f64 / 1e6);
    let x = |time: f64| LEFT + (WIDTH - LEFT - RIGHT) * time / end;
    let y = |megabytes: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * megabytes / top;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\" \
         fill=\"#333\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\">Memory while everything goes on, in MB, over \
         {end:.0} seconds</text>\n"
    );
    for i in 0..=4 {
        let (part, right) = (f64::from(i) / 4.0, WIDTH - RIGHT);
        let (level, at) = (top * part, end * part);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#e3e5e8\"/>\n\
             <text x=\"{1}\" y=\"{0:.1}\" dy=\"4\" text-anchor=\"end\">{level:.0}</text>\n\
             <text x=\"{2:.1}\" y=\"{3}\" text-anchor=\"middle\">{at:.0}</text>",
            y(level),
            LEFT - 8.0,
            x(at),
            HEIGHT - BOTTOM + 18.0,
        );
    }
    let curves: [(&str, &str, Bytes); 2] = [
        ("resident", RESIDENT, |sample| sample.resident),
        ("in use", IN_USE, |sample| Some(sample.bytes)),
    ];
    for (i, (name, colour, bytes)) in curves.into_iter().enumerate() {
        let points = samples.iter().filter_map(|sample| Some((sample.time, bytes(sample)?)));
        let points: Vec<String> = points
            .map(|(time, bytes)| format!("{:.1},{:.1}", x(time), y(bytes as f64 / 1e6)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\"/>\n\
             <text x=\"{}\" y=\"24\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            WIDTH - RIGHT - 60.0 * i as f64,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// To one, two or five times a power of ten.
fn round_up(megabytes: f64) -> f64 {
    let power = 10_f64.powf(megabytes.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|n| n * power)
        .into_iter()
        .find(|top| *top >= megabytes)
        .unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_a_point_for_each_sample_and_ends_at_the_edge() {
        let sample = |i: usize| Sample {
            time: i as f64,
            bytes: i * 1_000_000,
            resident: (i % 2 == 0).then_some(5_000_000),
        };
        let svg = svg(&(0..=10).map(sample).collect::<Vec<_>>());
        let curves: Vec<_> = svg
            .lines()
            .filter_map(|line| line.split_once("points=\""))
            .map(|(_, rest)| rest)
            .collect();
        let points = |curve: &str| curve.split('"').next().unwrap().split(' ').count();
        assert_eq!(curves.iter().map(|curve| points(curve)).collect::<Vec<_>>(), [6, 11]);
        // Ten million bytes are at the top, at the end of the time.
        assert!(curves[1].contains("880.0,50.0\""), "{}", curves[1]);
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        assert_eq!([0.3, 7.0, 12.0, 20.0, 21.0].map(round_up), [1.0, 10.0, 20.0, 20.0, 50.0]);
    }
}
