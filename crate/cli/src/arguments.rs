//! Options that several commands share.

use std::io::{Read, stdin};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use loraloom::formats::{
    Example, ExamplesFormat, ExamplesLayout, ReadExamples, read_examples_file,
};
use loraloom::learn::Choices;
use loraloom::lora::{ModuleWeight, WeightedModule};
use loraloom::model::{LayerGroup, Precision};
use loraloom::recipe::{Recipe, decode};

use crate::error::{CliError, read};
use crate::output::note;
use crate::settings::{MergeOnly, SettingArguments, choice};

/// Limit on the characters of an example in a note.
const MAX_EXCERPT_CHARS: usize = 40;

/// The base model.
#[derive(Args)]
pub struct ModelArguments {
    /// The base model: its id on the hub, such as google/flan-t5-small, or its folder as Hugging Face
    /// lays it out: config.json, tokenizer.json or spiece.model, and model.safetensors (or its shards),
    /// pytorch_model.bin or a GGUF file. The path of one of these files of weights chooses it.
    #[arg(long, value_name = "ID|DIR")]
    pub model: PathBuf,
    #[command(flatten)]
    pub precision: PrecisionArgument,
}

/// What the base's products are computed in.
#[derive(Args)]
pub struct PrecisionArgument {
    /// Precision of the base's weights.
    #[arg(long, value_name = "NAME", value_parser = choice::<Precision>(),
          default_value = Precision::default().name())]
    pub precision: Precision,
}

/// Modules with given weights.
#[derive(Args)]
pub struct AdapterArguments {
    /// PEFT folder of a module, or its id on the hub, with its weight (default 1), or with four weights
    /// separated by commas: of the encoder, and of the decoder's self-attention, cross-attention and
    /// feed-forward layers. Repeat it for more modules.
    #[arg(long = "adapter", value_name = "DIR|ID[=WEIGHT]", value_parser = parse_adapter)]
    pub adapters: Vec<(PathBuf, ModuleWeight)>,
    #[command(flatten)]
    pub settings: SettingArguments<MergeOnly>,
}

/// The rank of an adapter that is written.
#[derive(Args)]
pub struct RankArgument {
    /// Rank of the adapter: each layer of a higher one is replaced by its best approximation of this rank,
    /// and the share of the update that is kept is printed.
    #[arg(long, value_name = "N")]
    pub rank: Option<NonZeroUsize>,
}

fn parse_adapter(text: &str) -> Result<(PathBuf, ModuleWeight), String> {
    // A folder's own name may hold an equals sign.
    match text.rsplit_once('=') {
        Some((folder, weight)) if !Path::new(text).exists() => {
            Ok((folder.trim_end().into(), parse_weight(weight)?))
        }
        _ => Ok((text.into(), 1.0.into())),
    }
}

/// Parses a module's id with its weight.
pub fn parse_held(text: &str) -> Result<WeightedModule, String> {
    let (id, weight) = text.rsplit_once('=').ok_or("it should be MODULE=WEIGHT")?;
    Ok(WeightedModule { id: id.trim().into(), weight: parse_weight(weight)? })
}

fn parse_weight(text: &str) -> Result<ModuleWeight, String> {
    let number = |text: &str| match text.trim().parse::<f32>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err(format!("the weight {text} is not a finite number")),
        Err(_) => Err(format!("the weight {text:?} is not a number")),
    };
    let weights: Vec<f32> = text.split(',').map(number).collect::<Result<_, _>>()?;
    if let [weight] = weights[..] {
        return Ok(weight.into());
    }
    let groups = <[f32; LayerGroup::COUNT]>::try_from(weights).map_err(|weights| {
        let (count, found) = (LayerGroup::COUNT, weights.len());
        format!("a module has one weight or {count}, one for each group of layers; found {found}")
    })?;
    Ok(groups.into())
}

/// Reads a recipe from its file, or from the fragment of a link.
pub fn read_recipe(text: &str) -> Result<Recipe, CliError> {
    let path = PathBuf::from(text);
    if !path.exists() {
        return Ok(decode(text)?);
    }
    let recipe: Recipe = serde_json::from_slice(&read(&path)?).map_err(CliError::in_file(&path))?;
    recipe.validate().map_err(CliError::in_file(&path))?;
    Ok(recipe)
}

/// Reads a file of examples, or stdin for `-`: JSON, JSON lines, or a table.
pub fn read_examples(path: &Path) -> Result<Vec<Example>, CliError> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = stdin().lock().read_to_end(&mut bytes);
        read.map_err(|source| CliError::Read { path: "stdin".into(), source })?;
        bytes
    } else {
        read(path)?
    };
    let read = read_examples_file(&bytes, ExamplesFormat::Auto);
    let read = read.map_err(CliError::in_file(path))?;
    note_layout(path, &read);
    read.complete().map_err(CliError::in_file(path))
}

/// Notes what the examples were read as, where that is not what their names say alone.
fn note_layout(path: &Path, ReadExamples { examples, layout }: &ReadExamples) {
    let ExamplesLayout { delimiter, instruction, input, output, unused, trimmed, .. } = layout;
    let list = |names: &[String]| names.join(", ");
    let is_named =
        |names: &[String], name: &str| names.iter().all(|n| n.eq_ignore_ascii_case(name));
    let mut parts = Vec::new();
    match (delimiter, &examples[..]) {
        (Some(_), [Example { input, output }, ..]) if layout.output.is_empty() => {
            let [input, output] = [input, output].map(|text| excerpt(text));
            parts.push(format!("no header, so the first example is {input:?} → {output:?}"));
        }
        _ if is_named(input, "input") && is_named(output, "output") => {}
        _ => {
            let inputs = list(&[&instruction[..], &input[..]].concat());
            parts.push(format!("{inputs} is the input, {} the output", list(output)));
        }
    }
    if !unused.is_empty() {
        parts.push(format!("not used: {}", list(unused)));
    }
    if *trimmed > 0 {
        parts.push(format!(
            "blanks around the cells removed in {trimmed} of {} rows",
            examples.len()
        ));
    }
    if !parts.is_empty() {
        note(format!("{}: {}", path.display(), parts.join("; ")));
    }
}

/// The start of a text, for a note.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(MAX_EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
