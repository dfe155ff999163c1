"""The network: T5 1.1 (gated GELU, relative attention, untied lm_head) and its batches.

Owns the shape of each scale, batching and padding, the loss of a batch in groups, greedy
decoding, and the grouped linear layers with which many LoRA modules share one forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from .tokenizer import END, PAD

Example = tuple[str, str]
TARGETS = ("q", "k", "v", "o", "wi_0", "wi_1", "wo")
MAX_NEW_TOKENS = 16


@dataclass(frozen=True)
class Shape:
    """The sizes of one base."""

    d_model: int
    d_kv: int
    num_heads: int
    d_ff: int
    num_layers: int


def config_of(shape: Shape, vocabulary: int) -> T5Config:
    """Flan-T5's configuration in the given sizes; the vocabulary is rounded up to 64."""
    return T5Config(
        architectures=["T5ForConditionalGeneration"],
        vocab_size=-(-vocabulary // 64) * 64,
        d_model=shape.d_model,
        d_kv=shape.d_kv,
        num_heads=shape.num_heads,
        d_ff=shape.d_ff,
        num_layers=shape.num_layers,
        num_decoder_layers=shape.num_layers,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        dropout_rate=0.0,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=PAD,
    )


@dataclass(frozen=True)
class Batch:
    """Padded token ids; ``labels`` are -100 where there is no token."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(
            *(part.to(device) for part in (self.input_ids, self.attention_mask, self.labels))
        )


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, with ``</s>``."""
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def make_batch(tokenizer: Tokenizer, examples: Sequence[Example]) -> Batch:
    """Tokenizes and pads the examples."""
    sources = tokenize(tokenizer, [source for source, _ in examples])
    targets = tokenize(tokenizer, [target for _, target in examples])
    return pad(sources, targets, max(map(len, sources)), max(map(len, targets)))


def pad(sources: list[list[int]], targets: list[list[int]], width: int, height: int) -> Batch:
    """Token ids as a batch of ``width`` source and ``height`` target tokens."""
    input_ids = torch.tensor([ids + [PAD] * (width - len(ids)) for ids in sources])
    labels = torch.tensor([ids + [-100] * (height - len(ids)) for ids in targets])
    return Batch(input_ids, (input_ids != PAD).long(), labels)


def token_losses(model: T5ForConditionalGeneration, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every target token and where there is one, both [examples, tokens]."""
    logits = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        decoder_input_ids=model._shift_right(batch.labels),
        use_cache=False,
    ).logits.float()
    losses = functional.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-100, reduction="none"
    )
    return losses.view_as(batch.labels), batch.labels != -100


def group_losses(model: T5ForConditionalGeneration, batch: Batch, groups: int) -> Tensor:
    """Mean token loss of each of ``groups`` equal runs of examples, [groups]."""
    losses, present = token_losses(model, batch)
    sums = losses.view(groups, -1).sum(1)
    return sums / present.view(groups, -1).sum(1)


@torch.no_grad()
def generate(
    model: T5ForConditionalGeneration, tokenizer: Tokenizer, sources: Sequence[str]
) -> list[str]:
    """Greedy answers."""
    device = model.device
    batch = make_batch(tokenizer, [(source, "") for source in sources])
    mask = batch.attention_mask.to(device)
    encoded = model.encoder(input_ids=batch.input_ids.to(device), attention_mask=mask)
    ids = torch.full((len(sources), 1), PAD, device=device)
    ended = torch.zeros(len(sources), dtype=torch.bool, device=device)
    cache = None
    for _ in range(MAX_NEW_TOKENS):
        step = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded.last_hidden_state),
            attention_mask=mask,
            decoder_input_ids=ids[:, -1:],
            past_key_values=cache,
            use_cache=True,
        )
        cache = step.past_key_values
        token = step.logits[:, -1].argmax(-1).masked_fill(ended, PAD)
        ids = torch.cat([ids, token[:, None]], 1)
        ended |= token == END
        if bool(ended.all()):
            break
    return tokenizer.decode_batch(ids.tolist(), skip_special_tokens=True)


def normalise(text: str) -> str:
    """LoraHub's normalisation before two answers are compared."""
    return text.strip().lower().replace(".", "")


def matches(answers: Sequence[str], examples: Sequence[Example]) -> list[bool]:
    """Which answers are exact matches."""
    return [
        normalise(answer) == normalise(expected)
        for answer, (_, expected) in zip(answers, examples, strict=True)
    ]


class GroupedLinear(nn.Module):
    """A frozen linear layer with one low-rank update for each group of rows.

    The batch holds ``groups`` equal runs of examples. ``lora_a`` is [groups, rank, d_in] and
    ``lora_b`` [groups, d_out, rank], or ``delta``, their product, is [groups, d_out, d_in]. One
    group serves all rows, and with None the layer is the base's own.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.lora_a: Tensor | None = None
        self.lora_b: Tensor | None = None
        self.delta: Tensor | None = None
        self.scaling = 1.0

    @property
    def weight(self) -> Tensor:
        """The base's weight, whose type T5 reads."""
        return self.linear.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        if self.delta is not None:
            update = torch.bmm(self._by_group(x, self.delta), self.delta.mT)
        elif self.lora_a is not None and self.lora_b is not None:
            low = torch.bmm(self._by_group(x, self.lora_a), self.lora_a.mT)
            update = torch.bmm(low, self.lora_b.mT)
        else:
            return y
        return y + self.scaling * update.view_as(y).to(y.dtype)

    @staticmethod
    def _by_group(x: Tensor, weights: Tensor) -> Tensor:
        return x.reshape(weights.shape[0], -1, x.shape[-1])


def group_linears(model: T5ForConditionalGeneration) -> dict[str, GroupedLinear]:
    """Freezes the model and puts a ``GroupedLinear`` in place of every target layer."""
    model.requires_grad_(False)
    layers = {}
    for name, layer in list(model.named_modules()):
        parent, _, child = name.rpartition(".")
        if child in TARGETS and isinstance(layer, nn.Linear):
            layers[name] = GroupedLinear(layer)
            setattr(model.get_submodule(parent), child, layers[name])
    return layers


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover ``count``."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
