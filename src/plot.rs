//! Latencies as a percentile plot: an SVG of lines and text, with no library behind it.
//!
//! The x axis gives each further nine the same room (0, 90, 99, 99.9, 99.99 %), the y axis is
//! logarithmic: tails are what latency is about.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// One line of the plot; the histogram counts microseconds.
pub struct Series<'a> {
    /// What stands in the legend.
    pub name: String,
    /// The latencies.
    pub histogram: &'a Histogram<u64>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 45.0;
/// The x axis ends at so many nines.
const NINES_MAX: f64 = 4.0;
const STEPS: u32 = 160;
const COLOURS: [&str; 6] = ["#0b6e99", "#c4532d", "#3f7d3a", "#7a4a9c", "#a07a00", "#555555"];

/// Draws the series.
pub fn percentiles(title: &str, series: &[Series<'_>]) -> String {
    let scale = Scale::of(series);
    let mut out = String::new();
    draw(&mut out, title, series, &scale).expect("writing to a string does not fail");
    out
}

fn draw(out: &mut String, title: &str, series: &[Series<'_>], scale: &Scale) -> std::fmt::Result {
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>"
    )?;
    grid(out, scale)?;
    for (at, one) in series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points = points(one.histogram, scale);
        let y = TOP + 14.0 + 20.0 * at as f64;
        let x = WIDTH - RIGHT + 12.0;
        writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{points}\"/>\n\
             <text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{}</text>",
            one.name
        )?;
    }
    writeln!(out, "</svg>")
}

/// Where a latency stands, from the lowest decade to the highest.
struct Scale {
    decade_min: f64,
    decade_max: f64,
}

impl Scale {
    fn of(series: &[Series<'_>]) -> Scale {
        let decade = |us: u64| (us.max(1) as f64 / 1000.0).log10();
        let least =
            series.iter().map(|it| decade(it.histogram.min())).fold(f64::INFINITY, f64::min);
        let most = series.iter().map(|it| decade(it.histogram.max())).fold(-3.0, f64::max);
        Scale { decade_min: least.min(most).floor(), decade_max: (most.floor() + 1.0) }
    }

    fn y(&self, ms: f64) -> f64 {
        let share = (ms.log10() - self.decade_min) / (self.decade_max - self.decade_min);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

fn x(nines: f64) -> f64 {
    LEFT + nines / NINES_MAX * (WIDTH - LEFT - RIGHT)
}

fn points(histogram: &Histogram<u64>, scale: &Scale) -> String {
    let point = |step: u32| {
        let nines = NINES_MAX * f64::from(step) / f64::from(STEPS);
        let us = histogram.value_at_quantile(1.0 - 10_f64.powf(-nines)).max(1);
        format!("{:.1},{:.1}", x(nines), scale.y(us as f64 / 1000.0))
    };
    (0..=STEPS).map(point).collect::<Vec<_>>().join(" ")
}

fn grid(out: &mut String, scale: &Scale) -> std::fmt::Result {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let line = "stroke=\"#dddddd\"";
    for (nines, label) in [(0.0, "0"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99")] {
        let x = x(nines);
        writeln!(out, "<line x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{bottom}\" {line}/>")?;
        let y = bottom + 18.0;
        writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>")?;
    }
    let mut decade = scale.decade_min;
    while decade <= scale.decade_max {
        let ms = 10_f64.powf(decade);
        let y = scale.y(ms);
        writeln!(out, "<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" {line}/>")?;
        let (x, y) = (LEFT - 8.0, y + 4.0);
        writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{ms} ms</text>")?;
        decade += 1.0;
    }
    let (x, y) = ((LEFT + right) / 2.0, HEIGHT - 8.0);
    writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">percentile</text>")
}
