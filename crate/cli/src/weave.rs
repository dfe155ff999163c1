//! The woven drawing of a composition as pictures for link previews: the base model is the warp, each module
//! a weft thread, as wide and as long as its weight. www/site/src/charts/weave.ts draws the same.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use loraloom::model::LayerGroup;
use loraloom::recipe::RecipeModule;

/// Size of the picture in pixels, as link previews show it.
pub const WIDTH: usize = 1200;
pub const HEIGHT: usize = 630;

/// Side of the drawing's square, and pixels for each unit of it.
const SIDE: f32 = 32.0;
const SCALE: f32 = 16.0;
/// Places of the warp threads, and their width.
const WARPS: [f32; 4] = [5.0, 12.3, 19.7, 27.0];
const WARP_WIDTH: f32 = 2.6;
/// Most threads that the drawing has room for.
const MAX_THREADS: usize = 3;
/// Weight that fills the width, and the least that is drawn.
const FULL: f32 = 1.5;
const LEAST: f32 = 0.05;

/// Colors by their index: the ground, the warp, threads of positive and of negative weight.
const COLORS: [[u8; 3]; 4] =
    [[0xfb, 0xfa, 0xf7], [0x8b, 0x8f, 0x99], [0xc2, 0x50, 0x0f], [0x4a, 0x7e, 0xa6]];
const GROUND: u8 = 0;
const WARP: u8 = 1;
const WEFT: u8 = 2;
const COLD: u8 = 3;

/// A filled rectangle in pixels.
struct Bar {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    color: u8,
}

/// The drawing of modules with their weights.
pub struct Weave(Vec<Bar>);

impl Weave {
    /// Draws the modules of largest weight.
    pub fn new(modules: &[RecipeModule]) -> Self {
        let mean = |module: &RecipeModule| {
            module.weight.groups().iter().sum::<f32>() / LayerGroup::COUNT as f32
        };
        let mut weights: Vec<f32> = modules.iter().map(mean).collect();
        weights.retain(|weight| weight.abs() >= LEAST);
        weights.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
        weights.truncate(MAX_THREADS);

        let mut bars: Vec<Bar> = WARPS.iter().map(|&x| warp(x, 2.0, SIDE - 2.0)).collect();
        let row = SIDE / weights.len().max(1) as f32;
        for (index, weight) in weights.iter().enumerate() {
            let size = (weight.abs() / FULL).min(1.0);
            let middle = (index as f32 + 0.5) * row;
            let half = (size * row * 0.62).max(2.0) / 2.0;
            let end = (2.0 + size * (SIDE - 4.0)).max(6.0);
            let color = if *weight < 0.0 { COLD } else { WEFT };
            bars.push(bar([2.0, middle - half, end, middle + half], color));
        }
        // At every other crossing, the warp lies on top.
        for index in 0..weights.len() {
            let (top, bottom) = (index as f32 * row, (index as f32 + 1.0) * row);
            let over = WARPS.iter().skip(index % 2).step_by(2);
            bars.extend(over.map(|&x| warp(x, top + row * 0.12, bottom - row * 0.12)));
        }
        Self(bars)
    }

    /// The picture as SVG.
    pub fn svg(&self) -> String {
        let color = |index: u8| {
            let [red, green, blue] = COLORS[usize::from(index)];
            format!("#{red:02x}{green:02x}{blue:02x}")
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\">\
             <path fill=\"{}\" d=\"M0 0h{WIDTH}v{HEIGHT}H0z\"/>",
            color(GROUND)
        );
        for &Bar { left, top, right, bottom, color: index } in &self.0 {
            let fill = color(index);
            let _ =
                write!(svg, "<path fill=\"{fill}\" d=\"M{left} {top}H{right}V{bottom}H{left}z\"/>");
        }
        svg + "</svg>\n"
    }

    /// The picture as PNG, with a palette.
    pub fn png(&self) -> Vec<u8> {
        // Each line begins with the number of its filter: none.
        let mut lines = vec![GROUND; HEIGHT * (WIDTH + 1)];
        for &Bar { left, top, right, bottom, color } in &self.0 {
            for line in lines.chunks_exact_mut(WIDTH + 1).take(bottom).skip(top) {
                line[left + 1..right + 1].fill(color);
            }
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        // Writing to memory does not fail.
        let _ = encoder.write_all(&lines);
        let pixels = encoder.finish().unwrap_or_default();

        let mut header = Vec::new();
        header.extend((WIDTH as u32).to_be_bytes());
        header.extend((HEIGHT as u32).to_be_bytes());
        // Eight bits, a palette, and the only methods that there are.
        header.extend([8, 3, 0, 0, 0]);
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, contents) in [
            (b"IHDR", &header[..]),
            (b"PLTE", COLORS.as_flattened()),
            (b"IDAT", &pixels),
            (b"IEND", &[]),
        ] {
            let mut crc = Crc::new();
            crc.update(kind);
            crc.update(contents);
            png.extend((contents.len() as u32).to_be_bytes());
            png.extend(kind);
            png.extend(contents);
            png.extend(crc.sum().to_be_bytes());
        }
        png
    }
}

fn warp(x: f32, top: f32, bottom: f32) -> Bar {
    bar([x - WARP_WIDTH / 2.0, top, x + WARP_WIDTH / 2.0, bottom], WARP)
}

/// A bar by its left, top, right and bottom in units of the drawing.
fn bar([left, top, right, bottom]: [f32; 4], color: u8) -> Bar {
    let x = |unit: f32| (WIDTH as f32 / 2.0 + (unit - SIDE / 2.0) * SCALE).round() as usize;
    let y = |unit: f32| (HEIGHT as f32 / 2.0 + (unit - SIDE / 2.0) * SCALE).round() as usize;
    Bar { left: x(left), top: y(top), right: x(right), bottom: y(bottom), color }
}
