//! A model's weights: one file of any format, or shards with Hugging Face's index.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{FormatError, GgufFile, SafetensorsFile, TensorSource, TensorView, TorchFile, excerpt};

const INDEX: &str = "model.safetensors.index.json";
/// Limit on the index; Flan-T5-XXL's has 50 kB.
const MAX_INDEX_BYTES: usize = 16 << 20;
/// Limit on the files in an index.
const MAX_SHARDS: usize = 1024;

/// Reads a file of weights in GGUF, PyTorch or safetensors, by its content.
///
/// # Errors
/// The [`FormatError`] of the format's reader.
pub fn parse_weights(bytes: Vec<u8>) -> Result<Box<dyn TensorSource>, FormatError> {
    Ok(if GgufFile::recognises(&bytes) {
        Box::new(GgufFile::parse(bytes)?)
    } else if TorchFile::recognises(&bytes) {
        Box::new(TorchFile::parse(bytes)?)
    } else {
        Box::new(SafetensorsFile::parse(bytes)?)
    })
}

/// The names of the files in `model.safetensors.index.json`, each once.
///
/// # Errors
/// [`FormatError::Invalid`] if it is no index, or a name is outside its folder.
pub fn shard_names(index: &[u8]) -> Result<Vec<String>, FormatError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let invalid = |what: &str, expected: String, found: String| FormatError::Invalid {
        format: INDEX,
        what: what.into(),
        expected,
        found,
    };
    if index.len() > MAX_INDEX_BYTES {
        let found = format!("{} bytes", index.len());
        return Err(invalid("its length", format!("at most {MAX_INDEX_BYTES} bytes"), found));
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| {
        let expected = "a JSON object with a weight_map from tensors to files";
        invalid("its text", expected.into(), excerpt(&error.to_string()))
    })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if names.is_empty() || names.len() > MAX_SHARDS {
        let expected = format!("from 1 to {MAX_SHARDS} files");
        return Err(invalid("its weight_map", expected, names.len().to_string()));
    }
    let plain = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    match names.iter().find(|name| !plain(name)) {
        Some(name) => Err(invalid("each file name", "beside the index".into(), excerpt(name))),
        None => Ok(names.into_iter().collect()),
    }
}

/// The weights of a model in several files.
pub struct ShardedWeights {
    shards: Vec<Box<dyn TensorSource>>,
    /// Index of each tensor's shard.
    shard_of: BTreeMap<String, usize>,
}

impl ShardedWeights {
    /// The weights of these files.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] naming a tensor that is in two files.
    pub fn new(shards: Vec<Box<dyn TensorSource>>) -> Result<Self, FormatError> {
        let mut shard_of = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for name in shard.names() {
                if let Some(other) = shard_of.insert(name.clone(), index) {
                    return Err(FormatError::Invalid {
                        format: "safetensors",
                        what: format!("the place of tensor {}", excerpt(&name)),
                        expected: "one file".into(),
                        found: format!("files {} and {}", other + 1, index + 1),
                    });
                }
            }
        }
        Ok(Self { shards, shard_of })
    }
}

impl TensorSource for ShardedWeights {
    fn names(&self) -> Vec<String> {
        self.shard_of.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shards[*self.shard_of.get(name)?].shape(name)
    }

    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>, FormatError> {
        match self.shard_of.get(name) {
            Some(&index) => self.shards[index].tensor(name),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(name: &str, value: f32) -> Vec<u8> {
        let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        let length = (header.len() as u64).to_le_bytes();
        [&length[..], header.as_bytes(), &value.to_le_bytes()].concat()
    }

    #[test]
    fn tensors_are_found_in_each_shard() {
        let index = br#"{"metadata": {"total_size": 8}, "weight_map": {
            "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors",
            "c": "model-00001-of-00002.safetensors"}}"#;
        let names = shard_names(index).unwrap();
        assert_eq!(names, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
        let files = [shard("a", 1.0), shard("b", 2.0)];
        let shards = files.map(|bytes| parse_weights(bytes).unwrap());
        let weights = ShardedWeights::new(shards.into()).unwrap();
        assert_eq!(weights.names(), ["a", "b"]);
        assert_eq!(weights.tensor("b").unwrap().unwrap().to_f32().unwrap(), [2.0]);
        assert!(weights.tensor("c").unwrap().is_none());
    }

    #[test]
    fn an_index_outside_its_folder_and_a_tensor_in_two_files_are_rejected() {
        for index in [
            r#"{"weight_map": {"a": "../secret"}}"#,
            r#"{"weight_map": {"a": ""}}"#,
            r#"{"weight_map": {}}"#,
            r#"{"a": 1}"#,
            "[",
        ] {
            assert!(shard_names(index.as_bytes()).is_err(), "{index}");
        }
        let twice = [shard("a", 1.0), shard("a", 2.0)].map(|bytes| parse_weights(bytes).unwrap());
        let error = ShardedWeights::new(twice.into()).err().unwrap().to_string();
        assert!(error.contains("tensor a should be one file, found files 1 and 2"), "{error}");
    }
}
