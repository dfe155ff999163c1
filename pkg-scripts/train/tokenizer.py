"""The tokenizer: SentencePiece unigram with T5's conventions, exported as ``tokenizer.json``.

Owns the ids: ``<pad>`` 0, ``</s>`` 1, ``<unk>`` 2, then the pieces learned, among them every
printable character of ASCII and Latin-1; others are ``<unk>``, as in T5. Encoding appends
``</s>``. The vocabulary is trained once from the data of base, modules and unseen wordings and is
frozen with the base.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.processors import TemplateProcessing

from . import lexicon
from .tasks import MODULES, UNSEEN_TASKS, draw_base, draw_module, draw_unseen

PAD, END, UNKNOWN = 0, 1, 2
_REQUIRED_CHARACTERS = "".join(
    chr(code)
    for code in range(33, 256)
    if chr(code).isprintable() and chr(code) != "\N{SOFT HYPHEN}"
)
# A word, a number, or the letter of an option.
_WORD = r"[^\W\d_]+|\d+|\([A-E]\)"
_SPECIALS = ("<pad>", "</s>", "<unk>")


def _corpus(seed: int, lines: int) -> Iterator[str]:
    rng = random.Random(seed)
    for index in range(lines):
        source = rng.random()
        if source < 0.5:
            pair = draw_base(rng)
        elif source < 0.9:
            pair = draw_module(rng, MODULES[index % len(MODULES)])
        else:
            pair = draw_unseen(rng, UNSEEN_TASKS[index % len(UNSEEN_TASKS)])
        yield " ".join(pair)
    for spellings in lexicon.TRANSLATIONS.values():
        yield from spellings.values()


def train(seed: int, vocabulary: int, lines: int, folder: Path) -> Path:
    """Trains on ``lines`` generated lines and writes ``folder/tokenizer.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / "sentencepiece"
    corpus = list(_corpus(seed, lines))
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(corpus),
        model_prefix=str(prefix),
        model_type="unigram",
        vocab_size=vocabulary,
        hard_vocab_limit=False,
        required_chars=_REQUIRED_CHARACTERS,
        character_coverage=1.0,
        normalization_rule_name="identity",
        pad_id=PAD,
        eos_id=END,
        unk_id=UNKNOWN,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    pieces = [
        (processor.IdToPiece(index), processor.GetScore(index))
        for index in range(processor.GetPieceSize())
    ]
    pieces += _missing_words(corpus, {piece for piece, _ in pieces})
    path = folder / "tokenizer.json"
    _huggingface(pieces).save(str(path))
    return path


def _missing_words(corpus: list[str], known: set[str]) -> list[tuple[str, float]]:
    """Whole words with their log frequency: SentencePiece seeds its search with substrings that
    are found in two different words, so that a frequent word without a cousin is never a piece."""
    counts = Counter(word for line in corpus for word in re.findall(_WORD, line))
    total = sum(counts.values())
    words = ((f"▁{word}", count) for word, count in counts.items())
    return [(word, math.log(count / total)) for word, count in words if word not in known]


def _huggingface(pieces: list[tuple[str, float]]) -> Tokenizer:
    tokenizer = Tokenizer(Unigram(pieces, unk_id=UNKNOWN, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", END)]
    )
    tokenizer.add_special_tokens(
        [AddedToken(piece, special=True, normalized=False) for piece in _SPECIALS]
    )
    return tokenizer
