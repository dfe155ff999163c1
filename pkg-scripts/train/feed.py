"""Training batches of a few fixed shapes.

Owns the buckets by length. Fixed shapes matter twice: short prompts are not padded to the length
of k-shot prompts, and the CPU's matrix kernels, which are compiled for each new shape, are
compiled once.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tokenizers import Tokenizer

from .model import Batch, Example, pad, tokenize

# (source tokens, target tokens), tried in this order.
_BUCKETS = ((12, 3), (24, 9), (64, 9), (128, 9))
_CALIBRATION_DRAWS = 8192


class Feed:
    """Draws batches whose numbers of rows in each bucket follow the data's own lengths."""

    def __init__(
        self, tokenizer: Tokenizer, draw: Callable[[random.Random], Example], rows: int
    ) -> None:
        self._tokenizer = tokenizer
        self._draw = draw
        counts = [0] * len(_BUCKETS)
        for bucket, _, _ in self._tokenized(random.Random(0), _CALIBRATION_DRAWS):
            counts[bucket] += 1
        total = sum(counts)
        self._rows = [max(1, round(rows * count / total)) for count in counts]

    def _tokenized(self, rng: random.Random, count: int) -> list[tuple[int, list[int], list[int]]]:
        examples = [self._draw(rng) for _ in range(count)]
        sources = tokenize(self._tokenizer, [source for source, _ in examples])
        targets = tokenize(self._tokenizer, [target for _, target in examples])
        rows = []
        for source, target in zip(sources, targets, strict=True):
            for bucket, (width, height) in enumerate(_BUCKETS):
                if len(source) <= width and len(target) <= height:
                    rows.append((bucket, source, target))
                    break
        return rows

    def draw(self, rng: random.Random) -> list[Batch]:
        """One step's batches, one for each bucket. Rows too many for a bucket are dropped."""
        filled: list[list[tuple[list[int], list[int]]]] = [[] for _ in _BUCKETS]
        while any(len(rows) < wanted for rows, wanted in zip(filled, self._rows, strict=True)):
            for bucket, source, target in self._tokenized(rng, 256):
                if len(filled[bucket]) < self._rows[bucket]:
                    filled[bucket].append((source, target))
        return [
            pad([source for source, _ in rows], [target for _, target in rows], *shape)
            for rows, shape in zip(filled, _BUCKETS, strict=True)
        ]
