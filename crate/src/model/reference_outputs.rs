//! Checks a model against published reference outputs: whether weights, tokenizer and arithmetic are
//! intact.

use serde::Serialize;

use super::{
    Control, LinearId, LinearKind, Model, ModelConfig, ModelError, Precision, Stack,
    TokenizedExample,
};
use crate::formats::Tokenizer;

/// Largest difference of a score in `f32`, as in Hugging Face's own tests.
const TOLERANCE: f64 = 1e-4;
/// Largest relative difference of a score in 8 bits: several times what rounding brings, and far less
/// than other weights do.
const INT8_TOLERANCE: f64 = 0.02;
/// Limit on decoded tokens; every reference text is shorter.
const MAX_NEW_TOKENS: usize = 32;

/// What a reference model is expected to compute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expected {
    /// Minus the number of labels times their mean cross-entropy, in `f32`.
    Score {
        /// The labels' text.
        output: &'static str,
        /// The score.
        score: f64,
    },
    /// The greedy output's text.
    Text(&'static str),
}

/// A published output of a published model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReferenceOutput {
    /// The model's id on Hugging Face's hub.
    pub model: &'static str,
    /// Where the output is published.
    pub source: &'static str,
    /// The input's text.
    pub input: &'static str,
    /// The output.
    pub expected: Expected,
    /// d_model, blocks of the encoder, width of its attention, and whether its feed-forward layer is
    /// gated.
    pub(crate) sizes: (usize, usize, usize, bool),
}

/// The result of checking one [`ReferenceOutput`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Verified {
    /// The published model's id on the hub.
    pub model: String,
    /// Where the output is published.
    pub source: String,
    /// The input's text.
    pub input: String,
    /// The expected text, or score with four digits after the point.
    pub expected: String,
    /// The computed text or score.
    pub found: String,
    /// Whether the two agree; in 8 bits, scores may differ by 2 %.
    pub agrees: bool,
}

/// The reference outputs. The scores are those of transformers' tests/models/t5/test_modeling_t5.py
/// (`test_small_integration_test`, `test_small_v1_1_integration_test`).
pub const REFERENCE_OUTPUTS: [ReferenceOutput; 3] = [
    ReferenceOutput {
        model: "google-t5/t5-small",
        source: "Hugging Face's test of T5",
        input: "Hello there",
        expected: Expected::Score { output: "Hi I am", score: -19.0845 },
        sizes: (512, 6, 512, false),
    },
    ReferenceOutput {
        model: "google/t5-v1_1-small",
        source: "Hugging Face's test of T5 1.1",
        input: "Hello there",
        expected: Expected::Score { output: "Hi I am", score: -59.0293 },
        sizes: (512, 8, 384, true),
    },
    ReferenceOutput {
        model: "google/flan-t5-small",
        source: "the model's card",
        input: "translate English to German: The house is wonderful.",
        expected: Expected::Text("Das Haus ist schön."),
        sizes: (512, 8, 384, true),
    },
];

impl ReferenceOutput {
    /// Selects the outputs of the model with this id or, if there are none, of models with these
    /// sizes.
    pub fn of_model<'a>(
        outputs: &'a [ReferenceOutput],
        id: &str,
        config: &dyn ModelConfig,
    ) -> Vec<&'a ReferenceOutput> {
        let named: Vec<_> = outputs.iter().filter(|output| output.model == id).collect();
        if named.is_empty() { of_sizes(outputs, config).collect() } else { named }
    }

    /// Runs a model on the input and compares.
    ///
    /// # Errors
    /// A [`ModelError`] if the model or its tokenizer cannot take the input, which those of the
    /// model's family can.
    pub fn verify(&self, model: &dyn Model, tokenizer: &Tokenizer) -> Result<Verified, ModelError> {
        let (input, control) = (tokenizer.encode(self.input)?, Control::none());
        let (expected, found, agrees) = match self.expected {
            Expected::Score { output, score } => {
                let batch = [TokenizedExample { input, labels: tokenizer.encode(output)? }];
                let losses = model.losses(&batch, None, &control)?;
                let sum = |l: &super::ExampleLoss| f64::from(l.loss) * l.tokens as f64;
                let found = -losses.iter().map(sum).sum::<f64>();
                let tolerance = match model.precision() {
                    Precision::F32 => TOLERANCE,
                    Precision::Int8 => INT8_TOLERANCE * score.abs(),
                };
                let agrees = (found - score).abs() <= tolerance;
                (format!("{score:.4}"), format!("{found:.4}"), agrees)
            }
            Expected::Text(text) => {
                let outputs =
                    model.generate(&[&input], None, MAX_NEW_TOKENS, &control, &mut |_, _| ())?;
                let found = tokenizer.decode(&outputs.concat());
                let agrees = found == text;
                (text.into(), found, agrees)
            }
        };
        let (model, source) = (self.model.into(), self.source.into());
        Ok(Verified { model, source, input: self.input.into(), expected, found, agrees })
    }
}

fn of_sizes<'a>(
    outputs: &'a [ReferenceOutput],
    config: &dyn ModelConfig,
) -> impl Iterator<Item = &'a ReferenceOutput> {
    let shape = |kind| config.linear_shape(LinearId { stack: Stack::Encoder, block: 0, kind });
    let width = shape(LinearKind::SelfQ).map_or(0, |[d_out, _]| d_out);
    let gated = shape(LinearKind::Wi0).is_some();
    let sizes = (config.d_model(), config.blocks(Stack::Encoder), width, gated);
    outputs.iter().filter(move |output| output.sizes == sizes)
}

/// Checks a model, of this id, against the reference outputs. A model of another id is compared with
/// those of its sizes, and only one that agrees is returned, as none is expected of it.
pub fn verify(model: &dyn Model, tokenizer: &Tokenizer, id: &str) -> Option<Verified> {
    verify_among(&REFERENCE_OUTPUTS, model, tokenizer, id)
}

fn verify_among(
    outputs: &[ReferenceOutput],
    model: &dyn Model,
    tokenizer: &Tokenizer,
    id: &str,
) -> Option<Verified> {
    ReferenceOutput::of_model(outputs, id, model.config()).into_iter().find_map(|output| {
        // A tokenizer that cannot encode the input belongs to no model of that family.
        let verified = output.verify(model, tokenizer).ok()?;
        (verified.agrees || output.model == id).then_some(verified)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::SafetensorsFile;
    use crate::model::t5::{T5Config, T5Model};

    fn read(file: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/models/narrow-tied/");
        std::fs::read(folder.to_owned() + file).unwrap()
    }

    fn load(precision: Precision) -> (T5Model, Tokenizer) {
        let weights = SafetensorsFile::parse(read("model.safetensors")).unwrap();
        let config = T5Config::parse(&read("config.json")).unwrap();
        let tokenizer = Tokenizer::parse(&read("tokenizer.json")).unwrap();
        (T5Model::load(config, &weights, precision).unwrap(), tokenizer)
    }

    /// An output of a model in the tree, by what transformers computed.
    const OF_A_TEST_MODEL: ReferenceOutput = ReferenceOutput {
        model: "narrow-tied",
        source: "tests/e2e/golden/texts.json",
        input: "Answer the question: is the river green or cold?",
        expected: Expected::Score { output: "cold river", score: -5.629_818_439_483_643 * 11.0 },
        sizes: (24, 2, 15, true),
    };

    #[test]
    fn an_output_agrees_only_with_the_right_weights() {
        let (model, tokenizer) = load(Precision::F32);
        let verified = OF_A_TEST_MODEL.verify(&model, &tokenizer).unwrap();
        assert!(verified.agrees, "{verified:?}");
        let with = |expected| ReferenceOutput { expected, ..OF_A_TEST_MODEL };
        let score = |score| with(Expected::Score { output: "cold river", score });
        let verified = score(-61.0).verify(&model, &tokenizer).unwrap();
        assert!(!verified.agrees && verified.found.starts_with("-61.92"), "{verified:?}");
        let text = with(Expected::Text("Das Haus ist schön."));
        let verified = text.verify(&model, &tokenizer).unwrap();
        assert!(!verified.agrees, "{verified:?}");

        let (packed, _) = load(Precision::Int8);
        let verified = OF_A_TEST_MODEL.verify(&packed, &tokenizer).unwrap();
        assert!(verified.agrees && verified.found != verified.expected, "{verified:?}");
        assert!(!score(-64.0).verify(&packed, &tokenizer).unwrap().agrees);
    }

    #[test]
    fn a_model_of_another_id_is_reported_only_where_it_agrees() {
        let (model, tokenizer) = load(Precision::F32);
        let wrong = Expected::Score { output: "cold river", score: -61.0 };
        let wrong = ReferenceOutput { expected: wrong, ..OF_A_TEST_MODEL };
        let agrees = |output: ReferenceOutput, id: &str| {
            verify_among(&[output], &model, &tokenizer, id).map(|verified| verified.agrees)
        };
        assert_eq!(agrees(OF_A_TEST_MODEL, "narrow-tied"), Some(true));
        assert_eq!(agrees(wrong, "narrow-tied"), Some(false));
        assert_eq!(agrees(OF_A_TEST_MODEL, "another/model"), Some(true));
        assert_eq!(agrees(wrong, "another/model"), None);
        assert_eq!(verify(&model, &tokenizer, "another/model"), None);
    }

    #[test]
    fn an_id_selects_before_sizes_do() {
        let flan = r#"{"num_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu"}"#;
        let config = T5Config::parse(flan.as_bytes()).unwrap();
        let of = |id: &str| ReferenceOutput::of_model(&REFERENCE_OUTPUTS, id, &config);
        assert_eq!(of("google/flan-t5-small"), [&REFERENCE_OUTPUTS[2]]);
        assert_eq!(of("someone/tuned").len(), 2);
    }

    #[test]
    fn published_models_are_selected_by_their_sizes() {
        let models = |json: &str| {
            let config = T5Config::parse(json.as_bytes()).unwrap();
            of_sizes(&REFERENCE_OUTPUTS, &config).map(|output| output.model).collect::<Vec<_>>()
        };
        // The defaults are those of t5-small.
        assert_eq!(models("{}"), ["google-t5/t5-small"]);
        let flan = r#"{"num_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu"}"#;
        assert_eq!(models(flan), ["google/t5-v1_1-small", "google/flan-t5-small"]);
        assert!(models(r#"{"d_model": 768}"#).is_empty());
    }
}
