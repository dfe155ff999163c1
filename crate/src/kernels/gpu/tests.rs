//! Every kernel against the CPU's or a plain loop, on shapes that are no multiple of a tile.

use std::sync::OnceLock;

use super::*;
use crate::kernels::cpu::{
    HeadCache, Isa, Operand, PackedInt8, QuantizedRows, Query, Store as CpuStore, Term, argmax,
    attend, exponentials, gated_gelu, product_int8, quantize_rows, relu, rms_norm,
};
use crate::kernels::noise;
use crate::kernels::parallel::{Grid, for_each_tile};
use crate::kernels::quantize::{BLOCK, QuantizedMatrix};

/// This machine's device, or `None` and a message if it has no GPU.
pub(crate) fn open() -> Option<Gpu> {
    match pollster::block_on(Gpu::open()) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// This machine's device with its packed product and without, or nothing if it has no GPU. All tests share
/// them, as their kernels take long to compile.
fn devices() -> &'static [Gpu] {
    static DEVICES: OnceLock<Vec<Gpu>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        [open(), open().map(Gpu::without_packed_dot)].into_iter().flatten().collect()
    })
}

/// Runs a program and returns `words` words of a buffer.
fn run(gpu: &Gpu, recorder: Recorder<'_>, result: &Buffer, words: usize) -> Vec<u32> {
    let program = recorder.finish().unwrap();
    pollster::block_on(gpu.submit(|encoder| program.record(encoder), result, 0, words)).unwrap()
}

fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().map(|&word| f32::from_bits(word)).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-20f32, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * scale,
            "{what}, value {index}: {found} for {expected}"
        );
    }
}

/// The CPU's product of rows `[rows, d_in]`, of 14-bit activations in the first `int14_columns` columns.
fn cpu_product(x: &[f32], weights: &QuantizedMatrix, int14_columns: usize) -> Vec<f32> {
    let (rows, isa) = (x.len() / weights.d_in, Isa::PORTABLE);
    let mut quantized = QuantizedRows::with_int14(isa, rows, weights.d_in);
    quantize_rows(isa, x, &mut quantized);
    let packed = PackedInt8::new(weights);
    let [seven, fourteen] = [false, true].map(|int14| {
        let term = Term { x: &quantized, int14, weights: &packed };
        let mut out = vec![0.0; rows * weights.d_out];
        product_int8(isa, &[term], rows, CpuStore::Replace, &mut out);
        out
    });
    let choose =
        |index| if index % weights.d_out < int14_columns { fourteen[index] } else { seven[index] };
    (0..seven.len()).map(choose).collect()
}

#[track_caller]
fn assert_bits(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(found == expected, "{what}, value {index}: {found:e} for {expected:e}");
    }
}

#[test]
fn embedding_rows_are_gathered_from_every_part() {
    for gpu in devices() {
        let table = noise(11 * 37, 1);
        let embedding = Embedding::new(gpu, &table, 37).unwrap();
        let tokens = [3u32, 10, 0];
        let buffer = gpu.upload("tokens", &tokens).unwrap();
        let out = gpu.zeros("out", 7 * 37).unwrap();
        let mut recorder = Recorder::new(gpu);
        recorder.embed(&embedding, &buffer, 3, 7, &out);
        let expected: Vec<f32> =
            (0..7).flat_map(|row| &table[tokens[row % 3] as usize * 37..][..37]).copied().collect();
        assert_eq!(floats(&run(gpu, recorder, &out, 7 * 37)), expected);
    }
}

#[test]
fn prepared_rows_have_the_bits_of_the_cpu() {
    for gpu in devices() {
        for (rows, width) in [(1, 1), (3, 37), (2, 512), (5, 515), (9, 1030)] {
            let x = noise(rows * 2 * width, 7);
            let weight = noise(width, 9);
            let (x_buffer, weight_buffer) =
                (gpu.upload("x", &x).unwrap(), gpu.upload("weight", &weight).unwrap());
            let isa = Isa::PORTABLE;
            let mode = RowsMode::Norm { weight: &weight_buffer, epsilon: 1e-6, factor: 0.5 };
            for (mode, name) in [
                (RowsMode::Plain, "plain"),
                (mode, "norm"),
                (RowsMode::GatedGelu, "gated gelu"),
                (RowsMode::Relu, "relu"),
            ] {
                let expected: Vec<f32> = (0..rows)
                    .flat_map(|row| {
                        let (first, up) = x[row * 2 * width..][..2 * width].split_at(width);
                        let mut out = first.to_vec();
                        match mode {
                            RowsMode::Plain => {}
                            RowsMode::Norm { epsilon, factor, .. } => {
                                rms_norm(isa, first, &weight, epsilon, factor, &mut out);
                            }
                            RowsMode::GatedGelu => gated_gelu(isa, &mut out, up),
                            RowsMode::Relu => relu(isa, &mut out),
                        }
                        out
                    })
                    .collect();
                let out = Rows::new(gpu, "out", rows, width, true).unwrap();
                let mut recorder = Recorder::new(gpu);
                recorder.rows(mode, &x_buffer, (2 * width, 0), rows, width, &out, Quantize::Int14);
                let found = floats(&run(gpu, recorder, out.values(), rows * width));
                assert_bits(&found, &expected, &format!("{name} {rows} x {width}"));

                // A product with the unit matrix returns the quantised values.
                let unit: Vec<f32> = (0..width * width)
                    .map(|i| f32::from(u8::from(i / width == i % width)))
                    .collect();
                let unit = QuantizedMatrix::new(&unit, width, width);
                let expected = cpu_product(&expected, &unit, width);
                let unit = Matrix::int8(gpu, "unit", &[unit]).unwrap();
                let product = gpu.zeros("product", rows * width).unwrap();
                let mut recorder = Recorder::new(gpu);
                recorder.product(&out, rows, &unit, width, output(&product, width));
                let back = floats(&run(gpu, recorder, &product, rows * width));
                assert_bits(&back, &expected, &format!("quantised {name} {rows} x {width}"));
            }
        }
    }
}

fn output(buffer: &Buffer, stride: usize) -> Output<'_> {
    Output { buffer, stride, offset: 0, store: Store::Replace }
}

#[test]
fn int8_products_have_the_bits_of_the_cpu() {
    for gpu in devices() {
        for rows in [1, 2, 7, 9, 33, 130] {
            for (d_out, d_in) in [(1, 1), (9, 31), (70, 129), (257, 300), (33, 1030)] {
                let x = noise(rows * d_in, 3);
                let weights = noise(d_out * d_in, 5);
                let (first, second) = weights.split_at(d_out / 2 * d_in);
                let matrices: Vec<QuantizedMatrix> = [first, second]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| QuantizedMatrix::new(part, part.len() / d_in, d_in))
                    .collect();
                let matrix = Matrix::int8(gpu, "weights", &matrices).unwrap();
                let whole = QuantizedMatrix::new(&weights, d_out, d_in);
                let expected = cpu_product(&x, &whole, 0);

                let buffer = gpu.upload("x", &x).unwrap();
                let prepared = Rows::new(gpu, "rows", rows, d_in, true).unwrap();
                let (stride, offset) = (d_out + 5, 3);
                let out = gpu.upload("out", &vec![1.0f32; rows * stride]).unwrap();
                let mut recorder = Recorder::new(gpu);
                recorder.rows(
                    RowsMode::Plain,
                    &buffer,
                    (d_in, 0),
                    rows,
                    d_in,
                    &prepared,
                    Quantize::Int14,
                );
                let place = Output { buffer: &out, stride, offset, store: Store::Replace };
                recorder.product(&prepared, rows, &matrix, 0, place);
                recorder.product(
                    &prepared,
                    rows,
                    &matrix,
                    0,
                    Output { store: Store::Add, ..place },
                );
                let found = floats(&run(gpu, recorder, &out, rows * stride));
                let what = format!("{rows} x {d_out} x {d_in}, packed {}", gpu.packed_dot());
                for (row, expected) in found.chunks_exact(stride).zip(expected.chunks_exact(d_out))
                {
                    let twice: Vec<f32> = expected.iter().map(|value| 2.0 * value).collect();
                    assert_bits(&row[offset..offset + d_out], &twice, &what);
                    assert!(row[..offset].iter().chain(&row[offset + d_out..]).all(|&v| v == 1.0));
                }
            }
        }
    }
}

#[test]
fn the_first_columns_of_a_product_use_14_bit_activations() {
    for gpu in devices() {
        for (rows, columns, depth, int14_columns) in [(2, 21, 300, 13), (40, 70, 130, 70)] {
            let (x, weights) = (noise(rows * depth, 6), noise(columns * depth, 7));
            let whole = QuantizedMatrix::new(&weights, columns, depth);
            let mut expected = cpu_product(&x, &whole, int14_columns);
            let before = noise(expected.len(), 8);
            expected.iter_mut().zip(&before).for_each(|(sum, before)| *sum += before);
            let matrix = Matrix::int8(gpu, "weights", &[whole]).unwrap();
            let x = gpu.upload("x", &x).unwrap();
            let prepared = Rows::new(gpu, "rows", rows, depth, true).unwrap();
            let out = gpu.upload("out", &before).unwrap();
            let mut recorder = Recorder::new(gpu);
            recorder.rows(RowsMode::Plain, &x, (depth, 0), rows, depth, &prepared, Quantize::Int14);
            let place = Output { store: Store::Add, ..output(&out, columns) };
            recorder.product(&prepared, rows, &matrix, int14_columns, place);
            let found = floats(&run(gpu, recorder, &out, expected.len()));
            assert_bits(&found, &expected, &format!("{int14_columns} of {columns} columns"));
        }
    }
}

#[test]
fn weights_quantised_on_the_device_give_the_products_of_the_cpu() {
    for gpu in devices() {
        let (members, rows, columns) = (3, 11, 21);
        for depth in [1, 5, 16, 130] {
            // A member's values: one that belongs to no row, then the rows.
            let values = 1 + columns * depth;
            let source = noise(members * values, 4);
            let (words, blocks) = (packed_words(depth), depth.div_ceil(BLOCK));
            let table: Vec<WeightRow> = (0..columns)
                .map(|column| WeightRow {
                    source: (1 + column * depth) as u32,
                    width: depth as u32,
                    word: (column * words) as u32,
                    scale: (column * blocks) as u32,
                })
                .collect();
            let x = noise(members * rows * depth, 5);
            let expected: Vec<f32> = (source.chunks_exact(values))
                .zip(x.chunks_exact(rows * depth))
                .flat_map(|(source, x)| {
                    let weights = QuantizedMatrix::new(&source[1..], columns, depth);
                    cpu_product(x, &weights, 0)
                })
                .collect();
            let table = gpu.upload("rows", &table).unwrap();
            let (source, x) = (gpu.upload("w", &source).unwrap(), gpu.upload("x", &x).unwrap());
            let packed = gpu.zeros("packed", members * columns * words).unwrap();
            let scales = gpu.zeros("scales", members * columns * blocks).unwrap();
            let prepared = Rows::new(gpu, "rows", members * rows, depth, true).unwrap();
            let out = gpu.zeros("out", expected.len()).unwrap();
            let mut recorder = Recorder::new(gpu);
            let into = (&packed, columns * words);
            let scales_into = (&scales, columns * blocks);
            recorder.quantize_weights(
                members,
                (&table, columns),
                (&source, values),
                into,
                scales_into,
            );
            recorder.rows(
                RowsMode::Plain,
                &x,
                (depth, 0),
                members * rows,
                depth,
                &prepared,
                Quantize::Int14,
            );
            recorder.int8_product(Int8Product {
                members,
                rows,
                columns,
                depth,
                x: &prepared,
                int14_columns: 0,
                weights: (&packed, 0, columns * words),
                scales: (&scales, 0, columns * blocks),
                factors: None,
                out: output(&out, columns),
            });
            let found = floats(&run(gpu, recorder, &out, expected.len()));
            assert_bits(&found, &expected, &format!("depth {depth}"));
        }
    }
}

#[test]
fn f32_products_use_each_members_weights_and_factors() {
    for gpu in devices().iter().take(1) {
        for (members, rows, columns, depth) in
            [(1, 1, 1, 1), (2, 1, 19, 33), (3, 5, 17, 40), (2, 21, 50, 70), (2, 70, 90, 15)]
        {
            for shared in [false, true] {
                let copies = if shared { 1 } else { members };
                let (x_stride, x_offset, w_offset) = (depth + 3, 2, 5);
                let x = noise(members * rows * x_stride, 1);
                let weights = noise(w_offset + copies * columns * depth, 2);
                let factors = noise(1 + members * (columns + 2), 3);
                let per_member = if shared { 0 } else { columns * depth };
                let expected: Vec<f32> = (0..members * rows * columns)
                    .map(|i| {
                        let (member, row, column) =
                            (i / (rows * columns), i / columns, i % columns);
                        let x = &x[row * x_stride + x_offset..][..depth];
                        let start = w_offset + member * per_member + column * depth;
                        let sum: f64 = (x.iter().zip(&weights[start..]))
                            .map(|(&x, &w)| f64::from(x) * f64::from(w))
                            .sum();
                        (sum * f64::from(factors[1 + member * (columns + 2) + column])) as f32
                    })
                    .collect();
                let upload = |values: &[f32]| gpu.upload("operand", values).unwrap();
                let (x, weights, factors) = (upload(&x), upload(&weights), upload(&factors));
                let out = gpu.zeros("out", expected.len()).unwrap();
                let mut recorder = Recorder::new(gpu);
                recorder.float_product(FloatProduct {
                    members,
                    rows,
                    columns,
                    depth,
                    x: (&x, x_stride, x_offset),
                    weights: (&weights, w_offset),
                    weights_per_member: per_member,
                    factors: Some((&factors, 1, columns + 2)),
                    out: output(&out, columns),
                });
                let found = floats(&run(gpu, recorder, &out, expected.len()));
                let what = format!("{members} x {rows} x {columns} x {depth}, shared {shared}");
                assert_close(&found, &expected, 2e-6, &what);
            }
        }
    }
}

#[test]
fn attention_has_the_bits_of_the_cpu() {
    for gpu in devices().iter().take(1) {
        for (num_heads, d_kv) in [(1, 1), (3, 5), (2, 64), (2, 70), (1, 200)] {
            for (causal, single, decoded) in
                [(false, false, 0), (true, false, 0), (false, true, 3), (true, true, 70)]
            {
                // Three examples: rows of queries, rows of keys.
                let lengths = if single { [1, 1, 1] } else { [1, 37, 70] };
                let key_lengths = if causal && !single { lengths } else { [90, 33, 1] };
                let width = num_heads * d_kv;
                let reach = 100;
                let bias_width = 2 * reach - 1;
                let q = noise(lengths.iter().sum::<usize>() * width, 1);
                let kv_rows: usize = key_lengths.iter().sum();
                let kv = noise(kv_rows * (2 * width + 3), 2);
                let bias = noise(num_heads * bias_width, 3);
                let run_length = attention_queries(d_kv, single);
                let mut tasks = Vec::new();
                let (mut bounds, mut key_bounds) = (vec![0], vec![0]);
                for (&length, &keys) in lengths.iter().zip(&key_lengths) {
                    let (first_row, key_row) =
                        (bounds[bounds.len() - 1], key_bounds[bounds.len() - 1]);
                    for start in (0..length).step_by(run_length) {
                        tasks.push(AttentionTask {
                            first_row: (first_row + start) as u32,
                            queries: run_length.min(length - start) as u32,
                            first_position: start as u32,
                            key_row: key_row as u32,
                            keys: keys as u32,
                        });
                    }
                    bounds.push(first_row + length);
                    key_bounds.push(key_row + keys);
                }
                let mut expected = vec![0.0; q.len()];
                for_each_tile(&mut expected, &Grid::ragged(bounds, width, d_kv), 0, |mut tile| {
                    let (example, offset) = (tile.row_tile, tile.column_tile * d_kv);
                    let operand = |offset| Operand { values: &kv, stride: 2 * width + 3, offset };
                    let rows = key_bounds[example]..key_bounds[example + 1];
                    let mut cache = HeadCache::new(d_kv, rows.len());
                    cache.extend(operand(3 + offset), operand(3 + width + offset), rows);
                    let query = Query {
                        rows: Operand { values: &q, stride: width, offset },
                        first_position: decoded,
                        bias: Some((
                            &bias[tile.column_tile * bias_width..][..bias_width],
                            reach - 1,
                        )),
                        causal,
                    };
                    attend(Isa::PORTABLE, query, &cache, &mut tile);
                });
                let upload = |values: &[f32]| gpu.upload("operand", values).unwrap();
                let (q, kv, bias) = (upload(&q), upload(&kv), upload(&bias));
                let task_buffer = gpu.upload("tasks", &tasks).unwrap();
                let decoded_buffer = gpu.upload("decoded", &[decoded as u32]).unwrap();
                let out = gpu.zeros("out", expected.len()).unwrap();
                let mut recorder = Recorder::new(gpu);
                recorder.attention(Attention {
                    num_heads,
                    d_kv,
                    q: (&q, width),
                    kv: (&kv, 2 * width + 3, 3, 3 + width),
                    bias: Some((&bias, bias_width)),
                    causal,
                    tasks: (&task_buffer, tasks.len()),
                    single,
                    decoded: &decoded_buffer,
                    out: &out,
                });
                let found = floats(&run(gpu, recorder, &out, expected.len()));
                let what = format!("{num_heads} heads of {d_kv}, causal {causal}, single {single}");
                assert_bits(&found, &expected, &what);
            }
        }
    }
}

#[test]
fn append_writes_the_decoded_position_of_the_cache() {
    for gpu in devices().iter().take(1) {
        let x = noise(3 * 50, 1);
        let buffer = gpu.upload("x", &x).unwrap();
        let decoded = gpu.upload("decoded", &[2u32]).unwrap();
        let cache = gpu.zeros("cache", 3 * 4 * 41).unwrap();
        let mut recorder = Recorder::new(gpu);
        recorder.append(&buffer, (50, 9), 3, 41, 4, &decoded, &cache);
        let found = floats(&run(gpu, recorder, &cache, 3 * 4 * 41));
        for (index, &value) in found.iter().enumerate() {
            let (row, position, column) = (index / (4 * 41), index / 41 % 4, index % 41);
            assert_eq!(value, if position == 2 { x[row * 50 + 9 + column] } else { 0.0 });
        }
    }
}

#[test]
fn reduced_logits_have_the_bits_of_the_cpu() {
    for gpu in devices().iter().take(1) {
        let (rows, vocab_size) = (5, 700);
        let mut values: Vec<f32> = noise(rows * vocab_size, 4).iter().map(|v| v * 30.0).collect();
        // A tie: the lower token wins.
        values[3 * vocab_size + 650] = 40.0;
        values[3 * vocab_size + 20] = 40.0;
        let labels = [5u32, 699, 300];
        let states = gpu.zeros("states", rows * 4).unwrap();
        let label_buffer = gpu.upload("labels", &labels).unwrap();
        let mut recorder = Recorder::new(gpu);
        for first in [0, 2] {
            let count = if first == 0 { 2 } else { rows - 2 };
            let part = &values[first * vocab_size..(first + count) * vocab_size];
            let part = gpu.upload("logits", part).unwrap();
            let sizes = [count, vocab_size, first];
            recorder.logits(&part, sizes, Some((&label_buffer, 3)), &states);
        }
        let found = run(gpu, recorder, &states, rows * 4);
        for (index, row) in values.chunks_exact(vocab_size).enumerate() {
            let best = argmax(row);
            let (mut powers, mut sum) = (row.to_vec(), 0.0f32);
            exponentials(Isa::PORTABLE, &mut powers, row[best], &mut sum);
            let label = row[labels[index % 3] as usize];
            let expected = [row[best].to_bits(), sum.to_bits(), label.to_bits(), best as u32];
            assert_eq!(found[index * 4..][..4], expected);
        }
        let unlabelled = gpu.zeros("states", rows * 4).unwrap();
        let all = gpu.upload("logits", &values).unwrap();
        let mut recorder = Recorder::new(gpu);
        recorder.logits(&all, [rows, vocab_size, 0], None, &unlabelled);
        let states = run(gpu, recorder, &unlabelled, rows * 4);
        assert!(states.chunks_exact(4).zip(found.chunks_exact(4)).all(|(a, b)| a[3] == b[3]));
    }
}

#[test]
fn a_decoding_step_records_its_tokens_and_increments_the_position() {
    for gpu in devices().iter().take(1) {
        let states: Vec<u32> = (0..70).flat_map(|row| [0, 0, 0, 100 + row]).collect();
        let states = gpu.upload("states", &states).unwrap();
        let (tokens, history) = (gpu.zeros("t", 70).unwrap(), gpu.zeros("h", 210).unwrap());
        let decoded = gpu.upload("decoded", &[1u32]).unwrap();
        let record = |recorder: &mut Recorder<'_>| {
            recorder.advance(70, &states, &tokens, &history, &decoded);
        };
        let mut recorder = Recorder::new(gpu);
        record(&mut recorder);
        record(&mut recorder);
        let found = run(gpu, recorder, &history, 210);
        let row: Vec<u32> = (100..170).collect();
        assert_eq!(found, [vec![0; 70], row.clone(), row.clone()].concat());
        assert_eq!(run(gpu, Recorder::new(gpu), &tokens, 70), row);
        assert_eq!(run(gpu, Recorder::new(gpu), &decoded, 1), [3]);
    }
}

#[test]
fn merged_matrices_are_weighted_sums_and_factors_use_their_module() {
    for gpu in devices().iter().take(1) {
        let (members, modules, values) = (11, 3, 150);
        // Of four coefficients of a module, the third is for these values.
        let (first, step) = (2, 4);
        let coefficients = noise(members * modules * step, 1);
        let sources = noise(modules * values, 2);
        let expected: Vec<f32> = (0..members * values)
            .map(|i| {
                (0..modules)
                    .map(|j| {
                        coefficients[(i / values * modules + j) * step + first]
                            * sources[j * values + i % values]
                    })
                    .sum()
            })
            .collect();
        let upload = |values: &[f32]| gpu.upload("operand", values).unwrap();
        let (coefficient_buffer, source_buffer) = (upload(&coefficients), upload(&sources));
        let merged = gpu.zeros("merged", members * values).unwrap();
        let mut recorder = Recorder::new(gpu);
        let sizes = [members, modules, values];
        recorder.merge(sizes, (&coefficient_buffer, first, step), &source_buffer, &merged);
        let found = floats(&run(gpu, recorder, &merged, members * values));
        assert_bits(&found, &expected, "merged");

        let row = modules * step;
        let ranks: Vec<RankFactor> = (0..130u32)
            .map(|i| RankFactor {
                coefficient: if i % 4 == 3 { RankFactor::ALL_MODULES } else { i % 12 },
                scaling: i as f32,
            })
            .collect();
        let rank_buffer = gpu.upload("ranks", &ranks).unwrap();
        let factors = gpu.zeros("factors", members * 130).unwrap();
        let mut recorder = Recorder::new(gpu);
        recorder.factors([members, row, 130], &coefficient_buffer, &rank_buffer, &factors);
        let found = floats(&run(gpu, recorder, &factors, members * 130));
        for (index, found) in found.into_iter().enumerate() {
            let rank = ranks[index % 130];
            let coefficient = match rank.coefficient {
                RankFactor::ALL_MODULES => 1.0,
                index_in_row => coefficients[index / 130 * row + index_in_row as usize],
            };
            assert_eq!(found, rank.scaling * coefficient);
        }
    }
}

#[test]
fn a_lost_device_and_a_rejected_command_give_different_errors() {
    for gpu in [open(), open().map(Gpu::without_packed_dot)].into_iter().flatten() {
        let buffer = gpu.zeros("buffer", 4).unwrap();
        let read = |gpu: &Gpu| pollster::block_on(gpu.submit(|_| (), &buffer, 0, 4));
        assert_eq!(read(&gpu), Ok(vec![0; 4]));
        if gpu.packed_dot() {
            gpu.destroy();
            assert!(matches!(read(&gpu), Err(GpuError::Lost { .. })), "{:?}", read(&gpu));
        } else {
            // A read beyond the end of the buffer.
            let refused = pollster::block_on(gpu.submit(|_| (), &buffer, 0, 400));
            assert!(matches!(refused, Err(GpuError::Rejected { .. })), "{refused:?}");
            assert!(gpu.check().is_err());
        }
    }
}

#[test]
fn a_buffer_above_the_limit_is_rejected_before_it_is_created() {
    for gpu in devices().iter().take(1) {
        let words = gpu.largest_binding() as usize / 4 + 1;
        let error = gpu.zeros("the weights", words).unwrap_err().to_string();
        assert!(error.contains("the weights") && error.contains("allows"), "{error}");
        assert_eq!(gpu.check(), Ok(()));
    }
}
