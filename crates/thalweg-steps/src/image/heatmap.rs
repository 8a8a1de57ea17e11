//! Values over two axes as colours, a line above them, a bar of the colours beside them.

use std::sync::OnceLock;

use ::image::{Rgb, RgbImage};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::colour::plasma;
use crate::error::Error;

/// The text of all pictures; DejaVu Sans, its licence beside it.
const FONT: &[u8] = include_bytes!("../../fonts/DejaVuSans.ttf");
const FAMILY: &str = "DejaVu Sans";

/// A line above the colours, over the same axis.
pub(crate) struct Panel {
    /// What it shows.
    pub(crate) label: &'static str,
    /// Points from left to right.
    pub(crate) points: Vec<(f64, f64)>,
    /// If its axis begins at 0.
    pub(crate) from_zero: bool,
}

/// A picture of values.
pub(crate) struct Heatmap {
    pub(crate) title: String,
    pub(crate) x_label: &'static str,
    pub(crate) y_label: &'static str,
    pub(crate) bar_label: &'static str,
    /// Where the colours begin and end on the axes.
    pub(crate) x: (f64, f64),
    pub(crate) y: (f64, f64),
    /// Values of the lowest and the highest colour.
    pub(crate) limits: (f32, f32),
    /// Cells from left to right.
    pub(crate) columns: usize,
    /// Values column by column, each from bottom to top; NaN is left white.
    pub(crate) cells: Vec<f32>,
    pub(crate) panel: Option<Panel>,
    /// Shares of the height and width that the panel and the bar have.
    pub(crate) panel_height: f64,
    pub(crate) bar_width: f64,
    /// The axis from left to right is in seconds since 1970.
    pub(crate) times: bool,
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Drawing { message: error.to_string() }
}

fn font_is_there() -> Result<(), Error> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let done = REGISTERED.get_or_init(|| plotters::style::register_font(FAMILY, FontStyle::Normal, FONT).is_ok());
    if *done { Ok(()) } else { Err(failed("the font cannot be read")) }
}

impl Heatmap {
    /// Draws it on so many pixels.
    ///
    /// # Errors
    /// Fails only if drawing itself does.
    pub(crate) fn draw(&self, width: u32, height: u32) -> Result<RgbImage, Error> {
        font_is_there()?;
        let length = usize::try_from(width).unwrap_or(0) * usize::try_from(height).unwrap_or(0) * 3;
        let mut pixels = vec![255; length];
        let place = {
            let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
            root.fill(&WHITE).map_err(failed)?;
            let place = self.axes(&root, width, height)?;
            root.present().map_err(failed)?;
            place
        };
        let mut picture = RgbImage::from_raw(width, height, pixels).ok_or_else(|| failed("no room"))?;
        self.colour(&mut picture, &place.cells);
        self.bar(&mut picture, &place.bar);
        Ok(picture)
    }

    fn axes(&self, root: &Area<'_>, width: u32, height: u32) -> Result<Places, Error> {
        // Sizes of text in thousandths of the width.
        let size = |thousandths: f64| f64::from(width) * thousandths / 1000.0;
        let pixels = |thousandths: f64| whole(size(thousandths));
        let head = (FAMILY, size(19.0)).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        root.draw(&Text::new(self.title.clone(), (whole(f64::from(width) / 2.0), pixels(10.0)), head))
            .map_err(failed)?;
        let (_, body) = root.split_vertically(pixels(40.0));
        let (left_side, right_side) =
            body.split_horizontally(whole(f64::from(width) * (1.0 - self.bar_width)) - pixels(70.0));
        let (labels, foot, gap, edge) = (pixels(64.0), pixels(55.0), pixels(12.0), pixels(14.0));
        let room = f64::from(height) - size(40.0);
        let upper_height = if self.panel.is_some() { whole(room * self.panel_height) } else { 0 };
        let (upper, lower) = left_side.split_vertically(upper_height);
        let (_, bar_side) = right_side.split_vertically(upper_height);
        let left = |area| {
            let mut builder = ChartBuilder::on(area);
            builder.margin_top(gap).margin_right(gap).margin_left(edge);
            builder.set_label_area_size(LabelAreaPosition::Left, labels);
            builder
        };
        if let Some(panel) = &self.panel {
            let (bottom, top) = panel.ends();
            let mut chart =
                left(&upper).margin_bottom(gap).build_cartesian_2d(self.x.0..self.x.1, bottom..top).map_err(failed)?;
            Axes { x: None, y: panel.label, marks: (0, 5), times: false }.draw(&mut chart, &size)?;
            let line = LineSeries::new(panel.points.iter().copied(), RGBColor(31, 119, 180).stroke_width(2));
            chart.draw_series(line).map_err(failed)?;
        }
        let mut chart = left(&lower)
            .set_label_area_size(LabelAreaPosition::Bottom, foot)
            .build_cartesian_2d(self.x.0..self.x.1, self.y.0..self.y.1)
            .map_err(failed)?;
        Axes { x: Some(self.x_label), y: self.y_label, marks: (9, 8), times: self.times }.draw(&mut chart, &size)?;
        let cells = chart.plotting_area().get_pixel_range();
        let mut bar = ChartBuilder::on(&bar_side)
            .margin_top(gap)
            .margin_bottom(foot)
            .margin_right(edge)
            .set_label_area_size(LabelAreaPosition::Right, pixels(56.0))
            .build_cartesian_2d(0.0..1.0, f64::from(self.limits.0)..f64::from(self.limits.1))
            .map_err(failed)?;
        Axes { x: None, y: self.bar_label, marks: (0, 8), times: false }.draw(&mut bar, &size)?;
        Ok(Places { cells, bar: bar.plotting_area().get_pixel_range() })
    }

    fn colour(&self, picture: &mut RgbImage, (across, down): &(std::ops::Range<i32>, std::ops::Range<i32>)) {
        let rows = self.cells.len().checked_div(self.columns).unwrap_or(0);
        let (wide, high) = (across.len(), down.len());
        if rows == 0 || wide == 0 || high == 0 {
            return;
        }
        for (i, x) in across.clone().enumerate() {
            for (j, y) in down.clone().enumerate() {
                // The lowest row is at the bottom.
                let (column, row) = (i * self.columns / wide, (high - 1 - j) * rows / high);
                let value = self.cells[column * rows + row];
                if let (false, Ok(x), Ok(y)) = (value.is_nan(), u32::try_from(x), u32::try_from(y)) {
                    picture.put_pixel(x, y, Rgb(plasma(value, self.limits)));
                }
            }
        }
    }

    fn bar(&self, picture: &mut RgbImage, (across, down): &(std::ops::Range<i32>, std::ops::Range<i32>)) {
        #[expect(clippy::cast_precision_loss, reason = "a number of pixels")]
        let high = (down.len().max(2) - 1) as f32;
        for (j, y) in down.clone().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a number of pixels")]
            let share = 1.0 - j as f32 / high;
            let colour = plasma(self.limits.0 + share * (self.limits.1 - self.limits.0), self.limits);
            for x in across.clone() {
                if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) {
                    picture.put_pixel(x, y, Rgb(colour));
                }
            }
        }
    }
}

/// Names of two axes, and about how many numbers stand at them.
struct Axes<'a> {
    x: Option<&'a str>,
    y: &'a str,
    marks: (usize, usize),
    /// The axis from left to right is in seconds since 1970.
    times: bool,
}

impl Axes<'_> {
    fn draw(&self, chart: &mut Chart<'_, '_>, size: &impl Fn(f64) -> f64) -> Result<(), Error> {
        let text = |thousandths: f64| (FAMILY, size(thousandths)).into_font();
        let x_numbers = |x: &f64| if self.times { clock(*x) } else { number(*x) };
        let y_numbers = |y: &f64| number(*y);
        let mut mesh = chart.configure_mesh();
        mesh.disable_mesh().x_labels(self.marks.0).y_labels(self.marks.1).label_style(text(14.0));
        mesh.axis_desc_style(text(16.0)).y_desc(self.y).x_label_formatter(&x_numbers).y_label_formatter(&y_numbers);
        if let Some(label) = self.x {
            mesh.x_desc(label);
        }
        mesh.draw().map_err(failed)
    }
}

impl Panel {
    /// Returns where its axis begins and ends.
    fn ends(&self) -> (f64, f64) {
        let values = || self.points.iter().map(|point| point.1).filter(|y| y.is_finite());
        let (mut bottom, mut top) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        if top < bottom {
            (bottom, top) = (0.0, 1.0);
        }
        let bottom = if self.from_zero { 0.0 } else { bottom - (top - bottom) * 0.05 };
        (bottom, top + ((top - bottom) * 0.05).max(0.5))
    }
}

struct Places {
    cells: (std::ops::Range<i32>, std::ops::Range<i32>),
    bar: (std::ops::Range<i32>, std::ops::Range<i32>),
}

#[expect(clippy::cast_possible_truncation, reason = "a number of pixels")]
fn whole(pixels: f64) -> i32 {
    pixels.round() as i32
}

/// Writes a number of an axis, without a fraction where it has none.
fn number(value: f64) -> String {
    if (value - value.round()).abs() < 1e-6 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn clock(seconds: f64) -> String {
    let instant = jiff::Timestamp::from_duration(jiff::SignedDuration::try_from_secs_f64(seconds).unwrap_or_default());
    let instant = instant.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::tz::TimeZone::UTC.to_datetime(instant).strftime("%H:%M:%S").to_string()
}
