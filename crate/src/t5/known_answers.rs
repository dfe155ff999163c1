//! Published answers of published models: a check that weights, tokenizer and engine are whole.

use super::{Control, FeedForward, ModelError, T5Config, T5Model, TokenizedExample};
use crate::formats::{FormatError, Tokenizer};

/// Largest difference of a score, as in Hugging Face's own tests.
const TOLERANCE: f64 = 1e-4;
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
    sizes: (usize, usize, usize, FeedForward),
}

/// What came out of a [`KnownAnswer`].
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// What should come out, printed.
    pub expected: String,
    /// What came out, printed.
    pub found: String,
    /// Whether the two agree.
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
    /// The known answers of models with these sizes; models of one family may share them.
    pub fn of_sizes(config: &T5Config) -> impl Iterator<Item = &'static KnownAnswer> {
        let T5Config { d_model, num_layers, num_heads, feed_forward, .. } = *config;
        let sizes = (d_model, num_layers, num_heads, feed_forward);
        KNOWN_ANSWERS.iter().filter(move |known| known.sizes == sizes)
    }

    /// Asks a model. Scores are of models loaded in `f32`.
    ///
    /// # Errors
    /// A [`ModelError`] if the model cannot read the input, which a model of the right family can.
    pub fn verify(&self, model: &T5Model, tokenizer: &Tokenizer) -> Result<Verified, ModelError> {
        let encode = |text: &str| -> Result<Vec<u32>, FormatError> { tokenizer.encode(text) };
        let (input, control) = (encode(self.input)?, Control::none());
        match self.known {
            Known::Score { output, score } => {
                let batch = [TokenizedExample { input, labels: encode(output)? }];
                let losses = model.losses(&batch, None, &control)?;
                let sum = |l: &super::ExampleLoss| f64::from(l.loss) * l.tokens as f64;
                let found = -losses.iter().map(sum).sum::<f64>();
                Ok(Verified {
                    expected: format!("{score:.4}"),
                    found: format!("{found:.4}"),
                    agrees: (found - score).abs() <= TOLERANCE,
                })
            }
            Known::Answer { text } => {
                let answers =
                    model.generate(&[&input], None, MAX_NEW_TOKENS, &control, &mut |_, _| ())?;
                let found = tokenizer.decode(&answers.concat());
                Ok(Verified { expected: text.into(), agrees: found == text, found })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::SafetensorsFile;
    use crate::t5::Precision;

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
    }

    #[test]
    fn published_models_are_told_by_their_sizes() {
        let models = |json: &str| {
            let config = T5Config::parse(json.as_bytes()).unwrap();
            KnownAnswer::of_sizes(&config).map(|known| known.model).collect::<Vec<_>>()
        };
        // The defaults are those of t5-small.
        assert_eq!(models("{}"), ["google-t5/t5-small"]);
        let flan = r#"{"num_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu"}"#;
        assert_eq!(models(flan), ["google/t5-v1_1-small", "google/flan-t5-small"]);
        assert!(models(r#"{"d_model": 768}"#).is_empty());
    }
}
