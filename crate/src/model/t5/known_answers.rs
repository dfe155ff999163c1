//! Published answers of published models: a check that weights, tokenizer and engine are whole.

use serde::Serialize;

use super::{Control, FeedForward, ModelError, Precision, T5Config, T5Model, TokenizedExample};
use crate::formats::{FormatError, Tokenizer};

/// Largest difference of a score in `f32`, as in Hugging Face's own tests.
const TOLERANCE: f64 = 1e-4;
/// Largest difference of a score in 8 bits, as a share of it: several times what rounding brings, and
/// far less than other weights do.
const INT8_TOLERANCE: f64 = 0.02;
/// More tokens than any known text has.
const MAX_NEW_TOKENS: usize = 32;

/// What a model answers to an input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Known {
    /// Minus the number of labels times their mean cross-entropy, in `f32`.
    Score {
        /// The labels' text.
        output: &'static str,
        /// The score.
        score: f64,
    },
    /// The greedy answer.
    Answer {
        /// Its text.
        text: &'static str,
    },
}

/// A published model with a value that is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownAnswer {
    /// Id on Hugging Face's hub.
    pub model: &'static str,
    /// Where the value is published.
    pub source: &'static str,
    /// The input's text.
    pub input: &'static str,
    /// What is known.
    pub known: Known,
    /// d_model, blocks of the encoder, heads, and the feed-forward layer of that model.
    pub(crate) sizes: (usize, usize, usize, FeedForward),
}

/// What came out of a [`KnownAnswer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Verified {
    /// The published model's id on the hub.
    pub model: String,
    /// Where the value is published.
    pub source: String,
    /// The input's text.
    pub input: String,
    /// What should come out: an answer, or a score with four digits after the point.
    pub expected: String,
    /// What came out.
    pub found: String,
    /// Whether the two agree; scores of a model in 8 bits within 2 %.
    pub agrees: bool,
}

/// The known answers. The scores are those of transformers' tests/models/t5/test_modeling_t5.py
/// (`test_small_integration_test`, `test_small_v1_1_integration_test`).
pub const KNOWN_ANSWERS: [KnownAnswer; 3] = [
    KnownAnswer {
        model: "google-t5/t5-small",
        source: "Hugging Face's test of T5",
        input: "Hello there",
        known: Known::Score { output: "Hi I am", score: -19.0845 },
        sizes: (512, 6, 8, FeedForward::Relu),
    },
    KnownAnswer {
        model: "google/t5-v1_1-small",
        source: "Hugging Face's test of T5 1.1",
        input: "Hello there",
        known: Known::Score { output: "Hi I am", score: -59.0293 },
        sizes: (512, 8, 6, FeedForward::GatedGelu),
    },
    KnownAnswer {
        model: "google/flan-t5-small",
        source: "the model's card",
        input: "translate English to German: The house is wonderful.",
        known: Known::Answer { text: "Das Haus ist schön." },
        sizes: (512, 8, 6, FeedForward::GatedGelu),
    },
];

impl KnownAnswer {
    /// What is known of the model with this id, or else of those with these sizes.
    pub fn of_model<'a>(
        known: &'a [KnownAnswer],
        id: &str,
        config: &T5Config,
    ) -> Vec<&'a KnownAnswer> {
        let named: Vec<_> = known.iter().filter(|known| known.model == id).collect();
        if named.is_empty() { of_sizes(known, config).collect() } else { named }
    }

    /// Asks a model.
    ///
    /// # Errors
    /// A [`ModelError`] if the model cannot read the input, which a model of the right family can.
    pub fn verify(&self, model: &T5Model, tokenizer: &Tokenizer) -> Result<Verified, ModelError> {
        let encode = |text: &str| -> Result<Vec<u32>, FormatError> { tokenizer.encode(text) };
        let (input, control) = (encode(self.input)?, Control::none());
        let (expected, found, agrees) = match self.known {
            Known::Score { output, score } => {
                let batch = [TokenizedExample { input, labels: encode(output)? }];
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
            Known::Answer { text } => {
                let answers =
                    model.generate(&[&input], None, MAX_NEW_TOKENS, &control, &mut |_, _| ())?;
                let found = tokenizer.decode(&answers.concat());
                let agrees = found == text;
                (text.into(), found, agrees)
            }
        };
        let (model, source) = (self.model.into(), self.source.into());
        Ok(Verified { model, source, input: self.input.into(), expected, found, agrees })
    }
}

fn of_sizes<'a>(
    known: &'a [KnownAnswer],
    config: &T5Config,
) -> impl Iterator<Item = &'a KnownAnswer> {
    let T5Config { d_model, num_layers, num_heads, feed_forward, .. } = *config;
    let sizes = (d_model, num_layers, num_heads, feed_forward);
    known.iter().filter(move |known| known.sizes == sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::SafetensorsFile;
    use crate::model::t5::Precision;

    fn read(file: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/models/narrow-tied/");
        std::fs::read(folder.to_owned() + file).unwrap()
    }

    /// A known answer of a model in the tree, by what transformers computed.
    const OF_A_TEST_MODEL: KnownAnswer = KnownAnswer {
        model: "narrow-tied",
        source: "tests/e2e/golden/texts.json",
        input: "Answer the question: is the river green or cold?",
        known: Known::Score { output: "cold river", score: -5.629_818_439_483_643 * 11.0 },
        sizes: (24, 2, 3, FeedForward::GatedGelu),
    };

    #[test]
    fn an_answer_agrees_only_with_the_right_weights() {
        let tokenizer = Tokenizer::from_json(&read("tokenizer.json")).unwrap();
        let weights = SafetensorsFile::parse(read("model.safetensors")).unwrap();
        let config = T5Config::parse(&read("config.json")).unwrap();
        let model = T5Model::load(config, &weights, Precision::F32).unwrap();
        let verified = OF_A_TEST_MODEL.verify(&model, &tokenizer).unwrap();
        assert!(verified.agrees, "{verified:?}");
        let known = Known::Score { output: "cold river", score: -61.0 };
        let verified = KnownAnswer { known, ..OF_A_TEST_MODEL }.verify(&model, &tokenizer).unwrap();
        assert!(!verified.agrees && verified.found.starts_with("-61.92"), "{verified:?}");
        let known = Known::Answer { text: "Das Haus ist schön." };
        let verified = KnownAnswer { known, ..OF_A_TEST_MODEL }.verify(&model, &tokenizer).unwrap();
        assert!(!verified.agrees, "{verified:?}");

        let config = model.config().clone();
        let packed = T5Model::load(config, &weights, Precision::Int8).unwrap();
        let verified = OF_A_TEST_MODEL.verify(&packed, &tokenizer).unwrap();
        assert!(verified.agrees && verified.found != verified.expected, "{verified:?}");
        let known = Known::Score { output: "cold river", score: -64.0 };
        let verified = KnownAnswer { known, ..OF_A_TEST_MODEL }.verify(&packed, &tokenizer);
        assert!(!verified.unwrap().agrees);
    }

    #[test]
    fn an_id_tells_a_model_better_than_its_sizes() {
        let flan = r#"{"num_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu"}"#;
        let config = T5Config::parse(flan.as_bytes()).unwrap();
        let of = |id: &str| KnownAnswer::of_model(&KNOWN_ANSWERS, id, &config);
        assert_eq!(of("google/flan-t5-small"), [&KNOWN_ANSWERS[2]]);
        assert_eq!(of("someone/tuned").len(), 2);
    }

    #[test]
    fn published_models_are_told_by_their_sizes() {
        let models = |json: &str| {
            let config = T5Config::parse(json.as_bytes()).unwrap();
            of_sizes(&KNOWN_ANSWERS, &config).map(|known| known.model).collect::<Vec<_>>()
        };
        // The defaults are those of t5-small.
        assert_eq!(models("{}"), ["google-t5/t5-small"]);
        let flan = r#"{"num_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu"}"#;
        assert_eq!(models(flan), ["google/t5-v1_1-small", "google/flan-t5-small"]);
        assert!(models(r#"{"d_model": 768}"#).is_empty());
    }
}
