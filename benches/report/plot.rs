//! Draws plots with `plotters`, as SVG inside the page: lines over two axes, and dots beside names.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use crate::numbers::count;

type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;
/// Places of a plot, in the axes' own units.
type Point = (f64, f64);

const WIDTH: u32 = 660;
const HEIGHT: u32 = 340;
const INK: RGBColor = RGBColor(0x1c, 0x24, 0x30);
const FAINT: RGBColor = RGBColor(0x68, 0x72, 0x7f);
const GRID: RGBColor = RGBColor(0xdf, 0xe3, 0xe8);
/// `plotters` writes four fifths of this size into the SVG: 13 pixels.
const FONT: (&str, i32) = ("sans-serif", 16);
/// Half the space between an axis' last value and its end, as a factor.
const EDGE: f64 = 1.06;

fn text(color: RGBColor) -> TextStyle<'static> {
    FONT.into_font().color(&color)
}

/// An axis of a plot.
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    /// How to format a value.
    pub(crate) shown: fn(f64) -> String,
    /// Where the marks are. If empty: at powers of ten, or on a linear axis at round numbers.
    pub(crate) marks: Vec<f64>,
}

impl Axis {
    pub(crate) fn new(label: &'static str, shown: fn(f64) -> String) -> Self {
        Self { label, shown, marks: Vec::new() }
    }

    /// The range of a log axis, and its marks.
    fn log(&self, values: impl Iterator<Item = f64>) -> (Range<f64>, Vec<f64>) {
        let range = bounds(values.chain(self.marks.iter().copied()));
        if !self.marks.is_empty() {
            return (range.start / EDGE..range.end * EDGE, self.marks.clone());
        }
        let (low, high) = (range.start.log10().floor() as i32, range.end.log10().ceil() as i32);
        let high = high.max(low + 1);
        let step = ((high - low) / 7 + 1) as usize;
        let marks = (low..=high).step_by(step).map(|power| 10_f64.powi(power)).collect();
        (10_f64.powi(low)..10_f64.powi(high), marks)
    }
}

/// The lowest and the highest of the positive values.
fn bounds(values: impl Iterator<Item = f64>) -> Range<f64> {
    let values = values.filter(|value| value.is_finite() && *value > 0.0);
    let around = |range: Option<Range<f64>>, value: f64| match range {
        Some(range) => Some(range.start.min(value)..range.end.max(value)),
        None => Some(value..value),
    };
    values.fold(None, around).unwrap_or(1.0..10.0)
}

/// The style of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

/// One line of a plot.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) color: RGBColor,
    pub(crate) stroke: Stroke,
    pub(crate) points: Vec<Point>,
    /// Whether each point is a measurement, and gets a mark, or is part of a curve.
    pub(crate) marked: bool,
    /// The lowest and highest turn of a point, where there were several.
    pub(crate) ranges: Vec<(f64, Range<f64>)>,
}

impl Line {
    fn style(&self) -> ShapeStyle {
        self.color.stroke_width(2)
    }

    /// The points that can be drawn.
    fn drawable(&self, log_y: bool) -> Vec<Point> {
        let can =
            |(x, y): &Point| x.is_finite() && y.is_finite() && *x > 0.0 && (!log_y || *y > 0.0);
        self.points.iter().copied().filter(can).collect()
    }
}

/// Lines over a log axis from left to right.
pub(crate) struct LinePlot {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) log_y: bool,
    pub(crate) lines: Vec<Line>,
}

impl LinePlot {
    /// The plot as a figure of the page.
    pub(crate) fn figure(&self) -> String {
        let points = self.lines.iter().flat_map(|line| line.drawable(self.log_y)).count();
        let legend = 22 * self.lines.len().div_ceil(2) as u32;
        figure(&self.title, HEIGHT + legend, points, |root| {
            let (chart, keys) = root.split_vertically(HEIGHT);
            self.draw(&chart)?;
            self.lines.iter().enumerate().try_for_each(|(place, line)| key(&keys, place, line))
        })
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        let points = || self.lines.iter().flat_map(|line| line.drawable(self.log_y));
        let (x, x_marks) = self.x.log(points().map(|point| point.0));
        let x = x.log_scale().with_key_points(x_marks);
        if self.log_y {
            let (y, y_marks) = self.y.log(points().map(|point| point.1));
            self.draw_over(area, x, y.log_scale().with_key_points(y_marks))
        } else {
            let highest = self.lines.iter().flat_map(|line| &line.ranges).map(|(_, y)| y.end);
            let values = points().map(|point| point.1).chain(highest);
            self.draw_over(area, x, 0.0..bounds(values).end * EDGE)
        }
    }

    fn draw_over<X, Y>(&self, area: &Area<'_>, x: X, y: Y) -> Drawn
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
        Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(28)
            .x_label_area_size(44)
            .y_label_area_size(78)
            .build_cartesian_2d(x, y)?;
        let (show_x, show_y) = (self.x.shown, self.y.shown);
        chart
            .configure_mesh()
            .y_labels(6)
            .max_light_lines(0)
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .label_style(text(FAINT))
            .axis_desc_style(text(INK))
            .x_label_formatter(&|value| show_x(*value))
            .y_label_formatter(&|value| show_y(*value))
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .draw()?;
        for line in &self.lines {
            let (points, style) = (line.drawable(self.log_y), line.style());
            if line.marked {
                let dot = |point: &Point| Circle::new(*point, 4, line.color.filled());
                chart.draw_series(points.iter().map(dot))?;
            }
            let whisker = |(x, y): &(f64, Range<f64>)| {
                PathElement::new([(*x, y.start), (*x, y.end)], line.color.stroke_width(1))
            };
            chart.draw_series(line.ranges.iter().map(whisker))?;
            match line.stroke {
                Stroke::Solid => chart.draw_series(LineSeries::new(points, style))?,
                Stroke::Dashed => chart.draw_series(DashedLineSeries::new(points, 8, 5, style))?,
                Stroke::Dotted => chart.draw_series(DashedLineSeries::new(points, 2, 4, style))?,
            };
        }
        Ok(())
    }
}

/// A line's name below the plot, two side by side.
fn key(area: &Area<'_>, place: usize, line: &Line) -> Drawn {
    let (left, top) = (4 + (place % 2) as i32 * 292, 10 + (place / 2) as i32 * 22);
    let (stroke, style) = ([(left, top), (left + 28, top)], line.style());
    match line.stroke {
        Stroke::Solid => area.draw(&PathElement::new(stroke, style))?,
        Stroke::Dashed => area.draw(&DashedPathElement::new(stroke, 8, 5, style))?,
        Stroke::Dotted => area.draw(&DashedPathElement::new(stroke, 2, 4, style))?,
    }
    area.draw(&Text::new(line.name.clone(), (left + 36, top - 6), text(INK)))?;
    Ok(())
}

/// One line of a [`DotPlot`].
pub(crate) struct Dot {
    pub(crate) name: String,
    pub(crate) color: RGBColor,
    pub(crate) value: f64,
    /// The lowest and the highest turn: the whisker.
    pub(crate) range: Range<f64>,
    /// The text beside the dot.
    pub(crate) shown: String,
}

/// Dots on a log axis, each beside its name, the largest first, with a whisker from the lowest to
/// the highest turn. It has dots because the length of a bar means nothing on a log axis.
pub(crate) struct DotPlot {
    pub(crate) title: String,
    pub(crate) label: &'static str,
    pub(crate) dots: Vec<Dot>,
}

impl DotPlot {
    /// The plot as a figure of the page.
    pub(crate) fn figure(mut self) -> String {
        self.dots.retain(|dot| dot.value.is_finite() && dot.value > 0.0);
        self.dots.sort_by(|a, b| b.value.total_cmp(&a.value));
        let rows = self.dots.len();
        figure(&self.title, 24 * rows as u32 + 68, rows, |root| self.draw(root))
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        let ends = self.dots.iter().flat_map(|dot| [dot.value, dot.range.start, dot.range.end]);
        let (x, marks) = Axis::new(self.label, count).log(ends);
        let rows = self.dots.len();
        // The first row is at the top, where the largest number is.
        let row = |place: usize| (rows - place) as f64;
        let name = |at: &f64| self.dots[rows - at.round() as usize].name.clone();
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(74)
            .x_label_area_size(44)
            .y_label_area_size(320)
            .build_cartesian_2d(x.log_scale().with_key_points(marks), 0.4..rows as f64 + 0.6)?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .x_label_style(text(FAINT))
            .y_label_style(text(INK))
            .axis_desc_style(text(INK))
            .x_label_formatter(&|value| count(*value))
            .y_labels(rows + 1)
            .y_label_formatter(&name)
            .x_desc(self.label)
            .draw()?;
        chart.draw_series(self.dots.iter().enumerate().map(|(place, dot)| {
            EmptyElement::at((dot.value, row(place))) + Circle::new((0, 0), 5, dot.color.filled())
        }))?;
        chart.draw_series(self.dots.iter().enumerate().map(|(place, dot)| {
            let ends = [(dot.range.start, row(place)), (dot.range.end, row(place))];
            PathElement::new(ends, dot.color.stroke_width(2))
        }))?;
        // Beside the whisker's end, so that it hides nothing.
        chart.draw_series(self.dots.iter().enumerate().map(|(place, dot)| {
            EmptyElement::at((dot.range.end.max(dot.value), row(place)))
                + Text::new(dot.shown.clone(), (10, -7), text(INK))
        }))?;
        Ok(())
    }
}

/// A figure of the page. If there is nothing to draw, it says so instead.
fn figure(
    title: &str,
    height: u32,
    values: usize,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> String {
    let title = escape(title);
    let mut svg = String::new();
    if values == 0 {
        svg.push_str("<p>Not measured in this run.</p>");
    } else {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&root).and_then(|()| Ok(root.present()?)).expect("text takes every plot");
        drop(root);
    }
    format!("<figure><figcaption>{title}</figcaption>{svg}</figure>\n")
}

/// Text that is safe between tags and in quotes.
pub(crate) fn escape(text: &str) -> String {
    let safe = |letter: char| match letter {
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '&' => "&amp;".to_owned(),
        '\'' => "&#39;".to_owned(),
        '"' => "&quot;".to_owned(),
        plain => plain.to_string(),
    };
    text.chars().map(safe).collect()
}
