//! Cost over load as a picture: a panel for each figure, a line for each engine.

use crate::Measured;
use crate::report::{FIGURES, Figure, mean_query_ms};
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const COLUMNS: usize = 2;
const PANEL: (u32, u32) = (480, 300);
const COLOURS: [RGBColor; 3] = [RGBColor(214, 39, 40), RGBColor(31, 119, 180), RGBColor(127, 127, 127)];

/// Draws the runs, one of each load, into the SVG file `file`.
pub(crate) fn draw(runs: &[Vec<Measured>], file: &Path) -> Result<(), Box<dyn Error>> {
    let mut panels: Vec<(&str, Figure)> = FIGURES.to_vec();
    panels.retain(|(name, _)| !name.starts_with("samples, millions") && !name.starts_with("disk, data"));
    panels.push(("queries, geometric mean, ms", mean_query_ms));
    panels.retain(|(_, figure)| runs.iter().flatten().all(|m| figure(m).is_finite() && figure(m) > 0.0));
    let rows = panels.len().div_ceil(COLUMNS);
    let size = (PANEL.0 * COLUMNS as u32, PANEL.1 * rows as u32);
    let root = SVGBackend::new(file, size).into_drawing_area();
    root.fill(&WHITE).map_err(text)?;
    for (index, (area, (name, figure))) in root.split_evenly((rows, COLUMNS)).iter().zip(panels).enumerate() {
        panel(area, name, figure, runs, index == 0)?;
    }
    root.present().map_err(text)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    name: &str,
    figure: Figure,
    runs: &[Vec<Measured>],
    with_legend: bool,
) -> Result<(), Box<dyn Error>> {
    let loads = runs.iter().flatten().map(|m| m.series as f64);
    let (least, most) = (loads.clone().fold(f64::MAX, f64::min), loads.fold(1.0, f64::max));
    let values = runs.iter().flatten().map(figure);
    let (low, high) = (values.clone().fold(f64::MAX, f64::min), values.fold(0.0, f64::max));
    let mut chart = ChartBuilder::on(area)
        .caption(name, ("sans-serif", 15))
        .margin(8)
        .x_label_area_size(32)
        .y_label_area_size(52)
        .build_cartesian_2d((least..most * 1.01).log_scale(), (low / 1.5..high * 1.5).log_scale())
        .map_err(text)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("active series").light_line_style(TRANSPARENT);
    mesh.x_label_formatter(&|series| format!("{series:.0}"));
    // Single precision rounds away what the steps of the scale have added up.
    mesh.y_label_formatter(&|value| format!("{}", *value as f32)).draw().map_err(text)?;
    let engines = runs.iter().map(Vec::len).max().unwrap_or(0);
    for (engine, colour) in (0..engines).zip(COLOURS.into_iter().cycle()) {
        let points: Vec<_> = runs.iter().filter_map(|run| run.get(engine)).collect();
        let Some(first) = points.first() else { continue };
        let at = |m: &&Measured| (m.series as f64, figure(m));
        let line = LineSeries::new(points.iter().map(at), colour.stroke_width(2)).point_size(3);
        let key = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2));
        chart.draw_series(line).map_err(text)?.label(first.engine).legend(key);
    }
    if !with_legend {
        return Ok(());
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::MiddleRight)
        .draw()
        .map_err(text)
}

/// Errors of the drawing library borrow from the area that is drawn on.
fn text(error: impl std::fmt::Display) -> Box<dyn Error> {
    error.to_string().into()
}
