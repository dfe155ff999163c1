//! Measures natively, driven by `pkg-scripts/bench`: a request in JSON on each line of standard
//! input, an answer in JSON on each line of standard output.
//!
//! | request | answer |
//! |---|---|
//! | `{"addFile": {"path", "from"}}` | `{}`: a file that a workload reads, and where it lies |
//! | `{"readModel": {"from"}}` | `{}`: where the file of a load lies |
//! | `{"writeModel": {"model", "kind", "to"}}` | `{"config"}`: a random model was written to the file |
//! | `{"writeAdapter": {"model", "rank", "seed", "to"}}` | `{}`: a random module was written to the folder |
//! | `{"prepare": WORKLOAD}` | what one sample computes |
//! | `"sample"` | `{"seconds", "tokens"}` |
//! | `"memory"` | `{"peak", "model"}` in bytes |
//!
//! Called with `--threads N` it shares work among so many threads, in place of one for each core.
//! Called with `--gpu`, where it was built with the feature `gpu`, it measures the GPU:
//! `prepare` and `sample` take workloads of the GPU, and `"adapter"` returns its description.

use std::fs::File;
use std::io::{BufRead, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use loraloom::bench::{Bench, FileKind, Workload, adapter_files, config_json, write_model};
#[cfg(feature = "gpu")]
use loraloom::bench::{GpuBench, GpuWorkload};
use loraloom::kernels::parallel::{spawn, start_threads};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Request {
    AddFile {
        path: String,
        from: PathBuf,
    },
    ReadModel {
        from: PathBuf,
    },
    WriteModel {
        model: String,
        #[serde(default)]
        kind: FileKind,
        to: PathBuf,
    },
    WriteAdapter {
        model: String,
        rank: usize,
        seed: u64,
        to: PathBuf,
    },
    Prepare(Workload),
    Sample,
    Memory,
}

fn answer(bench: &mut Bench, line: &str) -> Result<Value, Box<dyn std::error::Error>> {
    Ok(match serde_json::from_str(line)? {
        Request::AddFile { path, from } => {
            bench.add_file(path, std::fs::read(from)?);
            json!({})
        }
        Request::ReadModel { from } => {
            bench.set_pieces(Box::new(move |index| read_piece(&from, index).ok()?));
            json!({})
        }
        Request::WriteModel { model, kind, to } => {
            let mut file = BufWriter::new(File::create(to)?);
            write_model(&model, kind, &mut file)?;
            file.flush()?;
            json!({ "config": config_json(&model)? })
        }
        Request::WriteAdapter { model, rank, seed, to } => {
            let files = adapter_files(&model, rank, seed)?;
            std::fs::create_dir_all(&to)?;
            std::fs::write(to.join("adapter_config.json"), files.config)?;
            std::fs::write(to.join("adapter_model.safetensors"), files.weights)?;
            json!({})
        }
        Request::Prepare(workload) => serde_json::to_value(bench.prepare(&workload)?)?,
        Request::Sample => {
            let start = Instant::now();
            let (seconds, tokens) = bench.sample(&|| start.elapsed().as_secs_f64())?;
            json!({ "seconds": seconds, "tokens": tokens })
        }
        Request::Memory => json!({ "peak": peak_bytes()?, "model": bench.model_bytes() }),
    })
}

/// A request about the GPU.
#[cfg(feature = "gpu")]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum GpuRequest {
    Adapter,
    Prepare(GpuWorkload),
    Sample,
}

#[cfg(feature = "gpu")]
fn gpu_answer(bench: &mut GpuBench, line: &str) -> Result<Value, Box<dyn std::error::Error>> {
    Ok(match serde_json::from_str(line)? {
        GpuRequest::Adapter => serde_json::to_value(bench.adapter())?,
        GpuRequest::Prepare(workload) => serde_json::to_value(bench.prepare(&workload)?)?,
        GpuRequest::Sample => {
            let start = Instant::now();
            let (seconds, tokens) = bench.sample(&|| start.elapsed().as_secs_f64())?;
            json!({ "seconds": seconds, "tokens": tokens })
        }
    })
}

/// A piece of a file, or none after its end.
fn read_piece(path: &Path, index: usize) -> std::io::Result<Option<Vec<u8>>> {
    const PIECE_BYTES: usize = 1 << 20;
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start((index * PIECE_BYTES) as u64))?;
    let mut piece = Vec::new();
    file.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
    Ok((!piece.is_empty()).then_some(piece))
}

/// The most memory that this process has held, as Linux tells it; null elsewhere.
fn peak_bytes() -> std::io::Result<Option<u64>> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    Ok(kilobytes.map(|kilobytes: u64| kilobytes * 1024))
}

/// Answers every line of standard input.
fn serve(
    mut answer: impl FnMut(&str) -> Result<Value, Box<dyn std::error::Error>>,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&line?).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    #[cfg(feature = "gpu")]
    if std::env::args().any(|argument| argument == "--gpu") {
        let mut bench = GpuBench::open();
        return serve(|line| match &mut bench {
            Ok(bench) => gpu_answer(bench, line),
            Err(error) => Err(error.to_string().into()),
        });
    }
    let mut arguments = std::env::args().skip_while(|argument| argument != "--threads").skip(1);
    if let Some(threads) = arguments.next().and_then(|threads| threads.parse().ok()) {
        start_threads(threads, spawn);
    }
    let mut bench = Bench::default();
    serve(|line| answer(&mut bench, line))
}
