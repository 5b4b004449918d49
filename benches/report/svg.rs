//! Plots as inline SVG: lines over two axes, and bars on a log scale. Colors come from the page.

use std::fmt::Write;

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

/// One side of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) log: bool,
    /// Where marks stand and what they say; none: at round numbers.
    pub(crate) marks: Vec<(f64, String)>,
    pub(crate) shown: fn(f64) -> String,
}

impl Axis {
    pub(crate) fn linear(label: &'static str, shown: fn(f64) -> String) -> Self {
        Self { label, log: false, marks: Vec::new(), shown }
    }

    pub(crate) fn log(label: &'static str, shown: fn(f64) -> String) -> Self {
        Self { label, log: true, marks: Vec::new(), shown }
    }

    pub(crate) fn marked(mut self, marks: impl IntoIterator<Item = (f64, String)>) -> Self {
        self.marks = marks.into_iter().collect();
        self
    }
}

/// One line of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Which color, and whether the line is dashed: one engine has one color everywhere.
    pub(crate) class: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether each point is a measurement to be marked, rather than part of a curve.
    pub(crate) dots: bool,
}

/// A plot of lines.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// The range of an axis and the place of a value on the page.
struct Span {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Span {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let values = values.chain(axis.marks.iter().map(|mark| mark.0));
        let values: Vec<f64> =
            values.filter(|value| value.is_finite() && (!axis.log || *value > 0.0)).collect();
        let mut low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let mut high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if values.is_empty() {
            (low, high) = (1.0, 10.0);
        }
        if !axis.log {
            (low, high) = (0.0, high.max(1e-9) * 1.06);
        } else if axis.marks.is_empty() {
            (low, high) = (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil()));
        }
        if low >= high {
            high = low * 10.0;
        }
        Self { low, high, log: axis.log, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = if self.log {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn marks(&self, axis: &Axis) -> Vec<(f64, String)> {
        if !axis.marks.is_empty() {
            return axis.marks.clone();
        }
        let values: Vec<f64> = if self.log {
            let decades = (self.high / self.low).log10().round() as i32;
            let step = (decades / 7 + 1) as usize;
            (0..=decades).step_by(step).map(|decade| self.low * 10_f64.powi(decade)).collect()
        } else {
            let rough = self.high / 5.0;
            let decade = 10_f64.powf(rough.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
            let step = step.into_iter().find(|step| *step >= rough).unwrap_or(rough);
            (0..).map(|count| f64::from(count) * step).take_while(|v| *v <= self.high).collect()
        };
        values.into_iter().map(|value| (value, (axis.shown)(value))).collect()
    }
}

impl Plot {
    /// The plot as a figure of the page.
    pub(crate) fn figure(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Span::new(&self.x, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Span::new(&self.y, points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
        let mut svg = String::new();
        for (value, text) in y.marks(&self.y) {
            let place = y.place(value);
            let end = WIDTH - RIGHT;
            let text = escape(&text);
            let _ = write!(
                svg,
                "<line class=grid x1={LEFT} x2={end} y1={place:.1} y2={place:.1} />\
                 <text class=end x={:.1} y={:.1}>{text}</text>",
                LEFT - 6.0,
                place + 4.0,
            );
        }
        for (value, text) in x.marks(&self.x) {
            let text = escape(&text);
            let (place, foot) = (x.place(value), HEIGHT - BOTTOM);
            let _ = write!(
                svg,
                "<line class=grid x1={place:.1} x2={place:.1} y1={TOP} y2={foot} />\
                 <text class=middle x={place:.1} y={:.1}>{text}</text>",
                foot + 16.0,
            );
        }
        for series in &self.series {
            self.line(&mut svg, series, &x, &y);
        }
        let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
        let _ = write!(
            svg,
            "<text class=middle x={:.1} y={:.1}>{}</text>\
             <text class=middle transform='translate(13 {middle:.1}) rotate(-90)'>{}</text>",
            f64::midpoint(LEFT, WIDTH - RIGHT),
            HEIGHT - 8.0,
            escape(self.x.label),
            escape(self.y.label),
        );
        let keys: String = self.series.iter().map(key).collect();
        figure(&self.title, HEIGHT, &svg, &format!("<p class=keys>{keys}</p>"))
    }

    fn line(&self, svg: &mut String, series: &Series, x: &Span, y: &Span) {
        let (show_x, show_y) = (self.x.shown, self.y.shown);
        let places = series.points.iter().filter(|point| point.1.is_finite());
        let places: Vec<(f64, f64, String)> = places
            .map(|point| {
                let said = format!("{}: {} at {}", series.name, show_y(point.1), show_x(point.0));
                (x.place(point.0), y.place(point.1), said)
            })
            .collect();
        let path: Vec<String> = places.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        let class = &series.class;
        let _ = write!(svg, "<polyline class='{class}' points='{}' />", path.join(" "));
        if series.dots {
            for (x, y, said) in places {
                let said = escape(&said);
                let _ = write!(
                    svg,
                    "<circle class='{class}' cx={x:.1} cy={y:.1} r=3.5><title>{said}</title></circle>"
                );
            }
        }
    }
}

fn key(series: &Series) -> String {
    let (class, name) = (&series.class, escape(&series.name));
    format!(
        "<span><svg width=26 height=10><line class='{class}' x1=1 x2=25 y1=5 y2=5 /></svg> {name}</span>"
    )
}

/// A bar of a plot.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) class: String,
    pub(crate) value: f64,
    /// What stands at its end.
    pub(crate) shown: String,
}

/// Bars from left to right, on a log scale.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    const ROW: f64 = 24.0;
    const NAMES: f64 = 300.0;
    const ENDS: f64 = 70.0;
    let axis = Axis::log("", count);
    let span = Span::new(&axis, bars.iter().map(|bar| bar.value), NAMES, WIDTH - ENDS);
    let foot = TOP + bars.len() as f64 * ROW;
    let mut svg = String::new();
    for (value, text) in span.marks(&axis) {
        let place = span.place(value);
        let _ = write!(
            svg,
            "<line class=grid x1={place:.1} x2={place:.1} y1={TOP} y2={foot} />\
             <text class=middle x={place:.1} y={:.1}>{}</text>",
            foot + 14.0,
            escape(&text),
        );
    }
    for (place, bar) in bars.iter().enumerate() {
        let top = TOP + place as f64 * ROW;
        // The shortest bar can still be seen.
        let width = (span.place(bar.value) - NAMES).max(3.0);
        let _ = write!(
            svg,
            "<text class=end x={:.1} y={:.1}>{}</text>\
             <rect class='{}' x={NAMES} y={top:.1} width={width:.1} height={:.1} rx=2 />\
             <text x={:.1} y={:.1}>{}</text>",
            NAMES - 8.0,
            top + 13.0,
            escape(&bar.name),
            bar.class,
            ROW - 7.0,
            NAMES + width + 6.0,
            top + 13.0,
            escape(&bar.shown),
        );
    }
    figure(title, foot + 20.0, &svg, "")
}

fn figure(title: &str, height: f64, svg: &str, below: &str) -> String {
    let title = escape(title);
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox='0 0 {WIDTH} {height}' role=img \
         aria-label='{title}'>{svg}</svg>{below}</figure>\n"
    )
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

/// A count, short.
pub(crate) fn count(value: f64) -> String {
    match value {
        value if value >= 999_500.0 => format!("{} M", digits(value / 1e6)),
        value if value >= 999.5 => format!("{} k", digits(value / 1e3)),
        value => digits(value),
    }
}

/// A time in nanoseconds, short.
pub(crate) fn nanos(value: f64) -> String {
    match value {
        value if value >= 999_500_000.0 => format!("{} s", digits(value / 1e9)),
        value if value >= 999_500.0 => format!("{} ms", digits(value / 1e6)),
        value if value >= 999.5 => format!("{} us", digits(value / 1e3)),
        value => format!("{} ns", digits(value)),
    }
}

/// Three digits, or as many as there are.
pub(crate) fn digits(value: f64) -> String {
    let text = match value.abs() {
        large if large >= 99.95 => return format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short.is_empty() { "0".to_owned() } else { short.to_owned() }
}
