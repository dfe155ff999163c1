//! Tensors of GGUF and PyTorch files, bit for bit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use candle_core::quantized::{GgmlDType, QStorage, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor, pickle};
use loraloom::formats::{
    Dtype, FormatError, GgufFile, TensorSource, TensorView, TorchFile, llama_name,
};

use crate::random::Random;
use crate::{path, read};

const BLOCKS: usize = 400;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

/// candle's type of the same storage, where it has one.
fn candle_type(dtype: Dtype) -> Option<GgmlDType> {
    Some(match dtype {
        Dtype::F64 => return None,
        Dtype::F32 => GgmlDType::F32,
        Dtype::F16 => GgmlDType::F16,
        Dtype::BF16 => GgmlDType::BF16,
        Dtype::Q4_0 => GgmlDType::Q4_0,
        Dtype::Q4_1 => GgmlDType::Q4_1,
        Dtype::Q5_0 => GgmlDType::Q5_0,
        Dtype::Q5_1 => GgmlDType::Q5_1,
        Dtype::Q8_0 => GgmlDType::Q8_0,
        Dtype::Q4_K => GgmlDType::Q4K,
        Dtype::Q5_K => GgmlDType::Q5K,
        Dtype::Q6_K => GgmlDType::Q6K,
    })
}

#[test]
fn random_blocks_of_every_type_are_decoded_to_the_bits_of_candle() {
    let mut random = Random(1);
    for dtype in Dtype::ALL {
        let Some(theirs) = candle_type(dtype) else { continue };
        let (values_of_block, size) = dtype.block();
        assert_eq!((theirs.block_size(), theirs.type_size()), (values_of_block, size), "{dtype:?}");
        let mut finite = 0;
        for _ in 0..BLOCKS {
            let bytes: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
            let storage = QStorage::from_data(Cow::Borrowed(&bytes), &Device::Cpu, theirs).unwrap();
            let tensor = QTensor::new(storage, (1, values_of_block)).unwrap();
            let expected = values(&tensor.dequantize(&Device::Cpu).unwrap());
            let shape = vec![1, values_of_block];
            let view = TensorView { name: "w".into(), dtype, shape, bytes: &bytes };
            match view.to_f32() {
                Ok(found) => {
                    assert_eq!(bits(&found), bits(&expected), "{dtype:?} {bytes:?}");
                    finite += 1;
                }
                // A scale of random bits may be infinite or no number.
                Err(FormatError::NotFinite { index, .. }) => {
                    assert!(!expected[index].is_finite(), "{dtype:?} {bytes:?}");
                }
                Err(error) => panic!("{dtype:?}: {error}"),
            }
        }
        assert!(finite > BLOCKS / 2, "{dtype:?}: {finite} blocks compared");
    }
}

fn files(folder: &str, extension: &str) -> Vec<std::path::PathBuf> {
    let entries = path(folder).read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .flat_map(|path| if path.is_dir() { files_of(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn compare(file: &Path, ours: &dyn TensorSource, theirs: &BTreeMap<String, Tensor>, name: &str) {
    let view = ours.tensor(name).unwrap().unwrap();
    let theirs_name = llama_name(name).filter(|name| theirs.contains_key(name));
    let tensor = &theirs[&theirs_name.unwrap_or_else(|| name.to_owned())];
    assert_eq!(view.shape, tensor.dims(), "{} {name}", file.display());
    let found = bits(&view.to_f32().unwrap());
    assert_eq!(found, bits(&values(tensor)), "{} {name}", file.display());
}

#[test]
fn gguf_files_hold_the_tensors_that_candle_reads() {
    let mut files = files("tests/formats/gguf", "gguf");
    files.push(path("tests/formats/weights/blocks.gguf"));
    files.push(path("www/site/public/library/base/model.gguf"));
    assert!(files.len() >= 10);
    for file in files {
        let mut reader = BufReader::new(File::open(&file).unwrap());
        let content = gguf_file::Content::read(&mut reader).unwrap();
        let mut theirs = BTreeMap::new();
        for name in content.tensor_infos.keys() {
            let tensor = content.tensor(&mut reader, name, &Device::Cpu).unwrap();
            theirs.insert(name.clone(), tensor.dequantize(&Device::Cpu).unwrap());
        }
        let ours = GgufFile::parse(read(&file)).unwrap();
        assert_eq!(ours.names().len(), theirs.len(), "{}", file.display());
        for name in ours.names() {
            compare(&file, &ours, &theirs, &name);
        }
    }
}

/// Pickles of protocol 4, and a tensor with steps between its elements.
const REFUSED_BY_CANDLE: [&str; 2] = ["protocol_4.bin", "views.bin stepped"];

#[test]
fn pytorch_files_hold_the_tensors_that_candle_reads() {
    let folders = ["tests/formats/weights", "tests/golden/peft"];
    let mut found: Vec<_> = folders.iter().flat_map(|folder| files(folder, "bin")).collect();
    for model in files_of(&path("tests/golden/models")) {
        for adapter in files_of(&model.join("adapters")) {
            found.push(adapter.join("adapter_model.bin"));
        }
    }
    let (mut compared, mut refused) = (0, Vec::new());
    for file in found.iter().filter(|file| file.exists()) {
        let Ok(ours) = TorchFile::parse(read(file)) else { continue };
        let file_name = file.file_name().unwrap().to_string_lossy();
        let theirs = match pickle::PthTensors::new(file, None) {
            Ok(theirs) => theirs,
            Err(_) => {
                refused.push(file_name.into_owned());
                continue;
            }
        };
        for name in ours.names() {
            // Whole numbers are no weights.
            if ours.tensor(&name).is_err() {
                continue;
            }
            match theirs.get(&name) {
                Err(_) => refused.push(format!("{file_name} {name}")),
                Ok(tensor) => {
                    let tensor = tensor.unwrap_or_else(|| panic!("{file_name} has no {name}"));
                    compare(file, &ours, &[(name.clone(), tensor)].into(), &name);
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(refused, REFUSED_BY_CANDLE);
    assert!(compared > 400, "{compared} tensors compared");
}
