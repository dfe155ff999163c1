//! The memory plan against the buffers that are made.

use std::path::Path;
use std::sync::Arc;

use crate::formats::SafetensorsFile;
use crate::kernels::gpu::tests::open;
use crate::kernels::gpu::{Gpu, GpuError};
use crate::lora::PeftAdapter;
use crate::lora::{AdapterSet, Merge};
use crate::model::t5::{T5Config, T5Model};
use crate::model::{Model, Precision, TokenizedExample};

fn read(name: &str) -> Vec<u8> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models");
    std::fs::read(models.join(name)).unwrap()
}

fn model(name: &str, precision: Precision) -> T5Model {
    let config = T5Config::parse(&read(&format!("{name}/config.json"))).unwrap();
    let weights = SafetensorsFile::parse(read(&format!("{name}/model.safetensors"))).unwrap();
    T5Model::load(config, &weights, precision).unwrap()
}

fn adapter(model: &str, name: &str) -> PeftAdapter {
    let file = |file| read(&format!("{model}/adapters/{name}/{file}"));
    PeftAdapter::parse(&file("adapter_config.json"), file("adapter_model.safetensors")).unwrap()
}

fn batch() -> Vec<TokenizedExample> {
    let example = |input: usize, labels: usize| TokenizedExample {
        input: vec![3; input],
        labels: vec![4; labels],
    };
    vec![example(37, 5), example(1, 1), example(9, 3)]
}

#[test]
fn a_plan_is_what_is_made() {
    let Some(gpu) = open() else { return };
    let gpu = Arc::new(gpu);
    let mut known = gpu.bytes_made();
    let mut made = || gpu.bytes_made() - std::mem::replace(&mut known, gpu.bytes_made());
    // One whose `lm_head` is the embedding, and one with a gate and blocks of other numbers.
    for (name, precision) in [
        ("narrow-tied", Precision::Int8),
        ("narrow-tied", Precision::F32),
        ("deep-untied", Precision::Int8),
    ] {
        let cpu = model(name, precision);
        let model = pollster::block_on(cpu.load_gpu(Arc::clone(&gpu))).unwrap();
        // With the probe that asks whether all was taken.
        assert_eq!(model.bytes() + Gpu::buffer_bytes(1), made(), "{name} {precision:?}");
        assert!(model.bytes() > model.embedding_bytes());
        let adapters = [adapter(name, "first"), adapter(name, "first")];
        for merge in [Merge::Lorahub, Merge::Delta] {
            let composition = AdapterSet::new(cpu.config(), &adapters, merge).unwrap();
            let modules = composition.upload(&*model).unwrap();
            assert_eq!(modules.bytes(), made(), "{name} {precision:?} {merge:?}");
            for modules in [None, Some(&modules)] {
                let evaluation = model.prepare(&batch(), modules, 3).unwrap();
                assert_eq!(evaluation.bytes(), made(), "{name} {precision:?} {merge:?}");
                let batch = batch();
                let inputs: Vec<&[u32]> = batch.iter().map(|example| &*example.input).collect();
                let composed = modules.map(|modules| (modules, &[[0.5; 4], [0.5; 4]][..]));
                let decoder = model.greedy(&inputs, composed, 7).unwrap();
                assert_eq!(decoder.bytes(), made(), "{name} {precision:?} {merge:?}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_made() {
    // Not even a row of a matrix; and not the batch.
    for (largest, what) in [(16, "lm_head"), (4096, "")] {
        let Some(gpu) = open() else { return };
        let gpu = Arc::new(gpu.with_buffers_up_to(largest));
        let (cpu, known) = (model("narrow-tied", Precision::Int8), gpu.bytes_made());
        let batch = batch();
        let [inputs, labels] = [
            batch.iter().map(|example| example.input.len()).collect::<Vec<_>>(),
            batch.iter().map(|example| example.labels.len()).collect(),
        ];
        let error = cpu.check_gpu_room(&gpu, &inputs, &labels).unwrap_err();
        assert!(matches!(error, GpuError::TooLarge { limit, .. } if limit == largest), "{error}");
        let loaded = pollster::block_on(cpu.load_gpu(Arc::clone(&gpu)));
        if what.is_empty() {
            // Matrices are split, and each part fits.
            let (model, before) = (loaded.unwrap(), gpu.bytes_made());
            assert_eq!(model.bytes() + Gpu::buffer_bytes(1), before - known);
            let refused = model.prepare(&batch, None, 1).unwrap_err();
            assert!(refused.to_string().contains("allows 4096"), "{refused}");
            assert!(model.greedy(&[&[3; 200]], None, 4).is_err());
            assert_eq!(gpu.bytes_made(), before);
        } else {
            let error = loaded.unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("allows 16"), "{error}");
            assert_eq!(gpu.bytes_made(), known);
        }
    }
}
