//! Names of linear layers, which LoRA modules attach to.

use std::fmt;
use std::str::FromStr;

use crate::formats::FormatError;

/// The half of the model that a layer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stack {
    /// The bidirectional half, over the input.
    Encoder,
    /// The causal half, over the output.
    Decoder,
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stack::Encoder => "encoder",
            Stack::Decoder => "decoder",
        })
    }
}

/// A linear layer within a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinearKind {
    /// Query of the self-attention.
    SelfQ,
    /// Key of the self-attention.
    SelfK,
    /// Value of the self-attention.
    SelfV,
    /// Output of the self-attention.
    SelfO,
    /// Query of the decoder's attention over the encoder.
    CrossQ,
    /// Key of the decoder's attention over the encoder.
    CrossK,
    /// Value of the decoder's attention over the encoder.
    CrossV,
    /// Output of the decoder's attention over the encoder.
    CrossO,
    /// Input of the ungated feed-forward layer (T5 1.0).
    Wi,
    /// Input of the feed-forward layer that goes through the activation.
    Wi0,
    /// Input of the feed-forward layer that is multiplied with the activation's result.
    Wi1,
    /// Output of the feed-forward layer.
    Wo,
}

impl LinearKind {
    /// All kinds, in the order of a block's computation.
    pub const ALL: [LinearKind; 12] = [
        LinearKind::SelfQ,
        LinearKind::SelfK,
        LinearKind::SelfV,
        LinearKind::SelfO,
        LinearKind::CrossQ,
        LinearKind::CrossK,
        LinearKind::CrossV,
        LinearKind::CrossO,
        LinearKind::Wi,
        LinearKind::Wi0,
        LinearKind::Wi1,
        LinearKind::Wo,
    ];

    /// PEFT's name of the layer in `target_modules`, such as `q` or `wi_0`.
    pub fn target(self) -> &'static str {
        match self {
            LinearKind::SelfQ | LinearKind::CrossQ => "q",
            LinearKind::SelfK | LinearKind::CrossK => "k",
            LinearKind::SelfV | LinearKind::CrossV => "v",
            LinearKind::SelfO | LinearKind::CrossO => "o",
            LinearKind::Wi => "wi",
            LinearKind::Wi0 => "wi_0",
            LinearKind::Wi1 => "wi_1",
            LinearKind::Wo => "wo",
        }
    }

    /// Hugging Face's name of the module that holds the layer.
    fn parent(self) -> &'static str {
        match self {
            LinearKind::SelfQ | LinearKind::SelfK | LinearKind::SelfV | LinearKind::SelfO => {
                "SelfAttention"
            }
            LinearKind::CrossQ | LinearKind::CrossK | LinearKind::CrossV | LinearKind::CrossO => {
                "EncDecAttention"
            }
            LinearKind::Wi | LinearKind::Wi0 | LinearKind::Wi1 | LinearKind::Wo => "DenseReluDense",
        }
    }

    /// Index of the sub-layer within its block, as Hugging Face numbers `layer`.
    fn layer(self, stack: Stack) -> usize {
        match (self.parent(), stack) {
            ("SelfAttention", _) => 0,
            ("EncDecAttention", _) | (_, Stack::Encoder) => 1,
            _ => 2,
        }
    }
}

/// A part of the model whose layers take one coefficient of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerGroup {
    /// All layers of the encoder.
    Encoder,
    /// The decoder's attention over the output.
    DecoderSelfAttention,
    /// The decoder's attention over the encoder.
    DecoderCrossAttention,
    /// The decoder's feed-forward layers.
    DecoderFeedForward,
}

impl LayerGroup {
    /// Number of groups.
    pub const COUNT: usize = Self::ALL.len();

    /// All groups, in the order of the model's computation.
    pub const ALL: [Self; 4] = [
        Self::Encoder,
        Self::DecoderSelfAttention,
        Self::DecoderCrossAttention,
        Self::DecoderFeedForward,
    ];
}

/// A module's coefficients, in the order of [`LayerGroup::ALL`].
pub type GroupCoefficients = [f32; LayerGroup::COUNT];

/// One linear layer of the model. Displays and parses as Hugging Face's module path, such as
/// `decoder.block.2.layer.1.EncDecAttention.q`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinearId {
    /// Encoder or decoder.
    pub stack: Stack,
    /// Index of the block within its stack.
    pub block: usize,
    /// The layer within the block.
    pub kind: LinearKind,
}

impl fmt::Display for LinearId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.block.{}.layer.{}.{}.{}",
            self.stack,
            self.block,
            self.kind.layer(self.stack),
            self.kind.parent(),
            self.kind.target()
        )
    }
}

impl FromStr for LinearId {
    type Err = FormatError;

    fn from_str(path: &str) -> Result<Self, FormatError> {
        let invalid = || FormatError::Invalid {
            format: "adapter",
            what: "a layer's name".into(),
            expected: "a T5 linear layer such as encoder.block.0.layer.0.SelfAttention.q".into(),
            found: path.into(),
        };
        let mut parts = path.split('.');
        let stack = match parts.next() {
            Some("encoder") => Stack::Encoder,
            Some("decoder") => Stack::Decoder,
            _ => return Err(invalid()),
        };
        if parts.next() != Some("block") {
            return Err(invalid());
        }
        let block = parts.next().and_then(|n| n.parse().ok()).ok_or_else(invalid)?;
        LinearKind::ALL
            .into_iter()
            .map(|kind| LinearId { stack, block, kind })
            .find(|id| id.is_possible() && id.to_string() == path)
            .ok_or_else(invalid)
    }
}

impl LinearId {
    /// Whether a stack can have the layer: the encoder has no cross-attention.
    pub fn is_possible(self) -> bool {
        self.stack == Stack::Decoder || self.kind.parent() != "EncDecAttention"
    }

    /// The group that the layer belongs to.
    pub fn group(self) -> LayerGroup {
        match (self.stack, self.kind.parent()) {
            (Stack::Encoder, _) => LayerGroup::Encoder,
            (Stack::Decoder, "SelfAttention") => LayerGroup::DecoderSelfAttention,
            (Stack::Decoder, "EncDecAttention") => LayerGroup::DecoderCrossAttention,
            (Stack::Decoder, _) => LayerGroup::DecoderFeedForward,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_survives_printing_and_parsing() {
        for stack in [Stack::Encoder, Stack::Decoder] {
            for kind in LinearKind::ALL {
                let id = LinearId { stack, block: 11, kind };
                if id.is_possible() {
                    assert_eq!(id.to_string().parse::<LinearId>().unwrap(), id);
                }
            }
        }
    }

    #[test]
    fn names_are_hugging_faces() {
        let id = LinearId { stack: Stack::Decoder, block: 2, kind: LinearKind::Wi0 };
        assert_eq!(id.to_string(), "decoder.block.2.layer.2.DenseReluDense.wi_0");
        let id = LinearId { stack: Stack::Encoder, block: 0, kind: LinearKind::Wo };
        assert_eq!(id.to_string(), "encoder.block.0.layer.1.DenseReluDense.wo");
    }

    #[test]
    fn layers_that_t5_does_not_have_are_refused() {
        for path in [
            "encoder.block.0.layer.1.EncDecAttention.q",
            "encoder.block.0.layer.1.SelfAttention.q",
            "encoder.block.x.layer.0.SelfAttention.q",
            "lm_head",
            "encoder.block.00.layer.0.SelfAttention.q",
        ] {
            assert!(path.parse::<LinearId>().is_err(), "{path}");
        }
    }
}
