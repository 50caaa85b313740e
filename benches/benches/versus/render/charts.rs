//! Charts in SVG.
//!
//! - `operations.svg`: times over ours of single operations on maps of 2^20 entries;
//! - `threads_….svg`: throughput by the number of threads, for each load that was measured with
//!   several;
//! - `latency.svg`: the histogram of an insert's latency while a map grows.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::ops::Range;
use std::path::Path;

use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

use super::{BUILDS, OURS, Parts, RATIO, TIME, WRONG};
use crate::common::report::{Measure, Report, Table, three_digits};

const SIZE: (u32, u32) = (900, 480);

/// Workloads that `operations.svg` shows, where they were measured.
const OPERATIONS: [&str; 8] = [
    "get_hit/2^20",
    "get_miss/2^20",
    "replace/2^20",
    "fill/2^20",
    "iterate/2^20",
    "string_get/2^20",
    "large_get/2^20",
    "large_update/2^20",
];

/// The number of entries that charts are for, where there are several.
const SIZE_DRAWN: &str = "2^20";

type Drawn<T = ()> = Result<T, Box<dyn Error>>;

/// A line, or the bars of one colour: where and how high.
struct Series<'r> {
    name: &'r str,
    points: Vec<(usize, f64)>,
}

/// What stands along the axes.
struct Axes<'a> {
    title: &'a str,
    /// What stands at 0, 1, 2 ...
    places: Vec<String>,
    height: &'a str,
}

/// Writes what the report has data for.
pub fn write(report: &Report, folder: &Path) -> Drawn {
    fs::create_dir_all(folder)?;
    operations(report, &folder.join("operations.svg"))?;
    latency(report, &folder.join("latency.svg"))?;

    let mut loads: BTreeMap<(&str, &str), Vec<(usize, &Table)>> = BTreeMap::new();
    for table in &report.tables {
        let Parts { load, threads, size } = Parts::of(&table.workload);
        loads.entry((load, size)).or_default().push((threads, table));
    }
    loads.retain(|(load, _), tables| tables.len() > 2 && !load.starts_with(BUILDS));
    // One chart of each load: of the size that the single operations are drawn for, where there is it.
    let sizes: Vec<_> = loads.keys().copied().collect();
    loads.retain(|(load, size), _| *size == SIZE_DRAWN || !sizes.contains(&(*load, SIZE_DRAWN)));
    for ((load, size), mut tables) in loads {
        tables.sort_by_key(|(threads, _)| *threads);
        let title = format!("{load}, {size}");
        throughput(&title, &tables, &folder.join(format!("threads_{load}.svg")))?;
    }
    Ok(())
}

fn operations(report: &Report, file: &Path) -> Drawn {
    let tables: Vec<_> = OPERATIONS.iter().filter_map(|workload| report.table(workload)).collect();
    let value =
        |table: &Table, contender: &str| Some(table.row(contender)?.measure(RATIO)?.spread.median);
    let series = series(&tables, value);
    let axes = Axes {
        title: "time over binlock's, one thread, 2^20 entries: above 1, binlock is faster",
        places: tables.iter().map(|table| Parts::of(&table.workload).load.to_owned()).collect(),
        height: RATIO,
    };
    draw(file, &axes, &series, Shape::Bars)
}

fn throughput(title: &str, tables: &[(usize, &Table)], file: &Path) -> Drawn {
    let value = |table: &Table, contender: &str| {
        let row = table.row(contender)?;
        let is_right = row.measure(WRONG).is_none();
        is_right.then_some(1e3 / row.measure(TIME)?.spread.median)
    };
    let only: Vec<_> = tables.iter().map(|(_, table)| *table).collect();
    let axes = Axes {
        title,
        places: tables.iter().map(|(threads, _)| format!("{threads} threads")).collect(),
        height: "million operations a second",
    };
    draw(file, &axes, &series(&only, value), Shape::Lines)
}

/// Of the largest map that was measured.
fn latency(report: &Report, file: &Path) -> Drawn {
    let mut tables = report.tables.iter();
    let Some(table) = tables.rfind(|table| table.workload.starts_with("insert_histogram/")) else {
        return Ok(());
    };
    let series: Vec<_> = table
        .rows
        .iter()
        .map(|row| Series {
            name: &row.contender,
            points: row.measures.iter().map(|measure| measure.spread.median).enumerate().collect(),
        })
        .collect();
    // There is room for some.
    let place = |(number, measure): (usize, &Measure)| {
        if (number + 1) % 4 == 0 { measure.name.clone() } else { String::new() }
    };
    let measures = table.rows.first().map_or(&[][..], |row| &row.measures);
    let axes = Axes {
        title: &format!(
            "inserts from empty to {}: how long the slowest of them take",
            Parts::of(&table.workload).size
        ),
        places: measures.iter().enumerate().map(place).collect(),
        height: "ns",
    };
    draw(file, &axes, &series, Shape::Lines)
}

/// The contenders' values, table by table.
fn series<'r>(
    tables: &[&'r Table],
    value: impl Fn(&Table, &str) -> Option<f64>,
) -> Vec<Series<'r>> {
    let mut names: Vec<&str> = Vec::new();
    for row in tables.iter().flat_map(|table| &table.rows) {
        if !names.contains(&row.contender.as_str()) {
            names.push(&row.contender);
        }
    }
    let of = |name| {
        let values = tables.iter().map(|table| value(table, name)).enumerate();
        let points = values.filter_map(|(place, value)| Some((place, value?))).collect();
        Series { name, points }
    };
    names.into_iter().map(of).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Lines,
    Bars,
}

/// Draws on a logarithmic scale, as all of it is about ratios.
fn draw(file: &Path, axes: &Axes<'_>, series: &[Series<'_>], shape: Shape) -> Drawn {
    let values = || series.iter().flat_map(|series| &series.points).map(|(_, value)| *value);
    if values().next().is_none() {
        return Ok(());
    }
    let lowest = values().fold(f64::INFINITY, f64::min) / 1.3;
    let highest = values().fold(0.0, f64::max) * 1.3;
    // Bars stand on 1, from where they go up or down.
    let heights = match shape {
        Shape::Bars => lowest.min(0.7)..highest.max(1.4),
        Shape::Lines => lowest..highest,
    };

    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 - 230);
    let places = -0.5..axes.places.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(&left)
        .caption(axes.title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(30)
        .y_label_area_size(64)
        .build_cartesian_2d(places, heights.clone().log_scale())?;
    let place = |x: &f64| {
        let whole = (x - x.round()).abs() < 1e-6;
        let name = axes.places.get(x.round() as usize).filter(|_| whole);
        name.map_or(String::new(), |name| name.replace(" threads", ""))
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(axes.places.len() * 2 + 1)
        .x_label_formatter(&place)
        .y_desc(axes.height)
        .y_label_formatter(&|y| three_digits(*y))
        .draw()?;
    for (number, one) in series.iter().enumerate() {
        let colour = colour(number, one.name);
        match shape {
            Shape::Lines => {
                let points = one.points.iter().map(|(place, value)| (*place as f64, *value));
                let width = if one.name.starts_with(OURS) { 3 } else { 1 };
                chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(width)))?;
                chart.draw_series(points.map(|point| Circle::new(point, 3, colour.filled())))?;
            }
            Shape::Bars => {
                let bar = |&(place, value): &(usize, f64)| {
                    let Range { start, end } = bar_at(place, number, series.len());
                    Rectangle::new([(start, 1.0), (end, value)], colour.filled())
                };
                chart.draw_series(one.points.iter().map(bar))?;
            }
        }
    }
    legend(&right, series)?;
    root.present()?;
    Ok(())
}

/// From where to where the bar of one of several series goes.
fn bar_at(place: usize, number: usize, of: usize) -> Range<f64> {
    const ALL: f64 = 0.8;
    let width = ALL / of as f64;
    let start = place as f64 - ALL / 2.0 + width * number as f64;
    start..start + width * 0.9
}

/// Beside the chart, where it hides nothing.
fn legend(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    series: &[Series<'_>],
) -> Drawn {
    for (number, one) in series.iter().enumerate() {
        let y = 40 + 22 * number as i32;
        let colour = colour(number, one.name);
        area.draw(&Rectangle::new([(4, y), (18, y + 10)], colour.filled()))?;
        area.draw(&Text::new(one.name, (26, y - 1), ("sans-serif", 13).into_font()))?;
    }
    Ok(())
}

/// Ours is black, and stands out.
fn colour(number: usize, name: &str) -> RGBColor {
    if name == OURS {
        return BLACK;
    }
    let (r, g, b) = Palette99::COLORS[number % Palette99::COLORS.len()];
    RGBColor(r, g, b)
}
