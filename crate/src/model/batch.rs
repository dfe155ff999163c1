//! What models are given and what they return: tokenized examples, losses, encoder states.

/// Limit on the tokens of one input or output. T5 itself has none; this one keeps a pasted book from
/// filling the memory.
pub const MAX_TOKENS: usize = 4096;

/// One example as token ids, both ending with `</s>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedExample {
    /// The encoder's input, `[input tokens]`.
    pub input: Vec<u32>,
    /// The expected output without the start token, `[labels]`.
    pub labels: Vec<u32>,
}

impl TokenizedExample {
    /// Tokens of its input and its labels.
    pub fn tokens(&self) -> usize {
        self.input.len() + self.labels.len()
    }
}

/// The loss of one example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExampleLoss {
    /// Mean cross-entropy of the labels, in nats per token.
    pub loss: f32,
    /// Number of labels.
    pub tokens: usize,
}

/// The encoder's output for a batch.
#[derive(Debug)]
pub struct Encoded {
    pub(super) states: Vec<f32>,
    pub(super) bounds: Vec<usize>,
}

impl Encoded {
    /// The hidden states of all examples, one after another, `[tokens, d_model]`.
    pub fn states(&self) -> &[f32] {
        &self.states
    }

    /// Row bounds, `[examples + 1]`: example `i` has the rows from `bounds[i]` to `bounds[i + 1]`.
    pub fn bounds(&self) -> &[usize] {
        &self.bounds
    }
}
