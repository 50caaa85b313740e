//! What has been measured, as curves: one panel a trace, in an SVG file.

use std::fmt::Write;

use crate::table::Curve;

const COLUMNS: usize = 3;
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 220.0;
/// Around the axes of a panel.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 34.0;
const HEAD: f64 = 56.0;

const OURS: &str = "#1769c2";
const LRU: &str = "#8a8f98";

/// Draws all curves.
pub fn svg(curves: &[Curve]) -> String {
    let rows = curves.len().div_ceil(COLUMNS);
    let (width, height) = (COLUMNS as f64 * WIDTH, HEAD + rows as f64 * HEIGHT + 8.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\" \
         fill=\"#333\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\">Hits in percent, by the size of the cache in \
         percent of the trace's keys</text>\n"
    );
    for (x, colour, name) in [(16.0, OURS, "ReaderCache"), (116.0, LRU, "LRU")] {
        let _ = writeln!(
            svg,
            "<path d=\"M{x} 41h20\" stroke=\"{colour}\" stroke-width=\"2.5\"/>\
             <text x=\"{}\" y=\"45\">{name}</text>",
            x + 26.0
        );
    }
    for (index, curve) in curves.iter().enumerate() {
        let x = (index % COLUMNS) as f64 * WIDTH;
        let y = HEAD + (index / COLUMNS) as f64 * HEIGHT;
        let _ = write!(svg, "<g transform=\"translate({x} {y})\">\n{}</g>\n", panel(curve));
    }
    svg + "</svg>\n"
}

fn panel(curve: &Curve) -> String {
    let highest = curve.points.iter().map(|point| point.lru.max(point.ours)).fold(0.0, f64::max);
    let step = step(highest);
    let top = (highest / step).ceil().max(1.0) * step;
    let widest = curve.points.iter().map(|point| point.percent).max().unwrap_or(1).max(1) as f64;
    let x = |percent: f64| LEFT + percent / widest * (WIDTH - LEFT - RIGHT);
    let y = |hits: f64| HEIGHT - BOTTOM - hits / top * (HEIGHT - TOP - BOTTOM);

    let unit = if curve.has_sizes { "bytes" } else { "keys" };
    let mut panel =
        format!("<text x=\"{LEFT}\" y=\"20\" font-size=\"13\">{}</text>\n", escaped(&curve.name));
    let mut mark = 0.0;
    while mark <= top {
        let _ = writeln!(
            panel,
            "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#e3e5e8\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y(mark) + 4.0,
            at = y(mark),
        );
        mark += step;
    }
    for percent in [0.0, widest / 2.0, widest] {
        let _ = writeln!(
            panel,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{percent}{}</text>",
            x(percent),
            HEIGHT - BOTTOM + 16.0,
            if percent == widest { format!(" % of {unit}") } else { String::new() },
        );
    }
    for (is_ours, colour) in [(false, LRU), (true, OURS)] {
        let mut path = String::new();
        for point in &curve.points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let hits = if is_ours { point.ours } else { point.lru };
            let _ = write!(path, "{command}{:.1} {:.1}", x(point.percent as f64), y(hits));
        }
        let _ = writeln!(
            panel,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\" \
             stroke-linejoin=\"round\"/>"
        );
    }
    panel
}

/// The distance of marks, so that there are about four.
fn step(highest: f64) -> f64 {
    [0.5, 1.0, 2.0, 5.0, 10.0, 20.0].into_iter().find(|step| highest / step <= 5.0).unwrap_or(25.0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Point;

    #[test]
    fn each_trace_has_a_panel_with_two_curves() {
        let curve = |name: &str| Curve {
            name: name.into(),
            has_sizes: false,
            points: [1, 50]
                .map(|percent| Point { percent, capacity: 1, lru: 0.0, ours: 99.9 })
                .into(),
        };
        let svg = svg(&[curve("a"), curve("b<&"), curve("c"), curve("d")]);
        assert_eq!(svg.matches("<g ").count(), 4);
        assert_eq!(svg.matches("fill=\"none\"").count(), 8);
        assert!(svg.contains("b&lt;&amp;") && !svg.contains("NaN"));
    }

    #[test]
    fn a_trace_without_hits_can_be_drawn() {
        let points = vec![Point { percent: 1, capacity: 1, lru: 0.0, ours: 0.0 }];
        let svg = svg(&[Curve { name: "none".into(), has_sizes: true, points }]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
