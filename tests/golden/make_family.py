#!/usr/bin/env python3
"""Makes the fixtures mt5, umt5 and byt5 under tests/golden/models: small random models of T5's relatives as
Hugging Face lays them out, and what transformers and PEFT compute with them.

The folders are those of make_models.py, with these files for the tokenizer:

  mt5    tokenizer.json, and spiece.model with tokenizer_config.json: sentinels among the pieces, and
         "extra_ids": 0, as google/mt5-small
  umt5   the same: "extra_ids": 9, a control token <s>, pieces for bytes
  byt5   tokenizer_config.json alone

Both texts' ids and decoded ids are those of the tokenizer that AutoTokenizer gives. `undecodable` of byt5
are ids whose bytes are no UTF-8, with their text; `byte_fallback` of umt5 are the texts by its tokenizer.json
with "byte_fallback": true, which transformers does not write.

Run with transformers 4.57, peft 0.17, sentencepiece, before make_gradients.py, with the names of models to
make those alone.
"""

import copy
import io
import json
import random
import shutil
import sys

import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer
from transformers import (
    ByT5Tokenizer, MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration,
    T5TokenizerFast, UMT5Config, UMT5ForConditionalGeneration,
)

import make_models
from make_models import MAX_NEW_TOKENS, ROOT, TEXTS, answers, make_adapter, with_delta_merge

SENTINELS = [f"▁<extra_id_{number}>" for number in reversed(range(6))]
MORE_TEXTS = [
    "a</s>", " </s> b", "<pad><unk>  c", "<s> d <s>", "x <extra_id_5>y", "<extra_id_2>", "<0xE6>水",
]
# Bytes cut within a character, a surrogate, an overlong form, and sentinels between the bytes.
UNDECODABLE = [
    [229, 133, 175, 1], [229, 133, 100], [258, 100], [229, 133, 259, 175], [240, 163, 131, 101],
    [243, 162, 102, 198], [195, 131, 100], [247, 147, 131, 131, 102], [383, 100, 260, 0, 2],
]

MODELS = {
    # Untied, d_attention below d_model, a GELU that gates.
    "mt5": dict(
        seed=11, dtype=torch.bfloat16, model=(MT5Config, MT5ForConditionalGeneration),
        config=dict(d_model=20, d_kv=3, num_heads=5, d_ff=23, num_layers=1, num_decoder_layers=2,
                    relative_attention_num_buckets=8, relative_attention_max_distance=20,
                    tie_word_embeddings=False),
        trained=dict(user_defined_symbols=SENTINELS), extra_ids=0,
        targets=["q", "v", "wi_1", "wo"],
    ),
    # A bias in each of several blocks, tied.
    "umt5": dict(
        seed=12, dtype=torch.float32, model=(UMT5Config, UMT5ForConditionalGeneration),
        config=dict(d_model=18, d_kv=5, num_heads=3, d_ff=21, num_layers=3, num_decoder_layers=2,
                    relative_attention_num_buckets=12, relative_attention_max_distance=30,
                    tie_word_embeddings=True),
        trained=dict(control_symbols=["<s>"], byte_fallback=True), extra_ids=9,
        targets=["q", "k", "o", "wi_0"],
    ),
    # More encoder than decoder blocks, and bytes.
    "byt5": dict(
        seed=13, dtype=torch.float16, model=(T5Config, T5ForConditionalGeneration),
        config=dict(d_model=22, d_kv=4, num_heads=3, d_ff=19, num_layers=3, num_decoder_layers=1,
                    relative_attention_num_buckets=16, relative_attention_max_distance=40,
                    feed_forward_proj="gated-gelu", tie_word_embeddings=False,
                    tokenizer_class="ByT5Tokenizer"),
        targets=["q", "v", "wi_0"],
    ),
}


def make_pieces(folder, spec):
    """tokenizer.json, and spiece.model with its configuration."""
    rng = random.Random(spec["seed"])
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(make_models.sentences(rng, 3000)), model_writer=trained,
        model_type="unigram", vocab_size=480 if "byte_fallback" in spec["trained"] else 240,
        character_coverage=0.995, pad_id=0, eos_id=1, unk_id=3 if "control_symbols" in spec["trained"]
        else 2, bos_id=-1, normalization_rule_name="identity", num_threads=1, minloglevel=2,
        **spec["trained"])
    (folder / "spiece.model").write_bytes(trained.getvalue())
    # Without add_prefix_space, 4.57 writes another tokenizer.json than those that are published.
    tokenizer = T5TokenizerFast(
        vocab_file=str(folder / "spiece.model"), extra_ids=spec["extra_ids"], legacy=True,
        add_prefix_space=True)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": spec["extra_ids"],
              "additional_special_tokens": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
    return tokenizer


def with_byte_fallback(folder, texts):
    file = json.loads((folder / "tokenizer.json").read_text())
    file["model"]["byte_fallback"] = True
    tokenizer = Tokenizer.from_str(json.dumps(file))
    encoded = {text: tokenizer.encode(text).ids for text in texts}
    return [{"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)}
            for text, ids in encoded.items()]


def make_bytes(folder):
    tokenizer = ByT5Tokenizer()
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    for path in folder.iterdir():
        path.unlink()
    # Without its 128 added tokens, which are ByT5's: as google/byt5-small was published.
    config.pop("added_tokens_decoder")
    (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
    return ByT5Tokenizer.from_pretrained(folder)


def make_model(spec, vocab_size):
    kind, model = spec["model"]
    config = kind(vocab_size=vocab_size, decoder_start_token_id=0, **spec["config"])
    return make_models.randomize(model(config).eval(), spec)


def make(name, spec):
    folder = ROOT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = random.Random(spec["seed"])
    tokenizer = make_bytes(folder) if name == "byt5" else make_pieces(folder, spec)
    vocab_size = len(tokenizer) + (0 if name == "byt5" else 5)
    base = make_model(spec, vocab_size)
    copy.deepcopy(base).to(spec["dtype"]).save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)

    adapters = folder / "adapters"
    make_adapter(base, adapters / "first", spec["seed"], ["q", "v"], r=2, lora_alpha=4)
    make_adapter(base, adapters / "mixed", spec["seed"] + 1, spec["targets"], r=3, lora_alpha=5)

    lengths = [1, 17, 40, 71, 5]
    inputs = [[rng.randrange(3, vocab_size) for _ in range(n)] + [1] for n in lengths]
    inputs.append(tokenizer(TEXTS[1]).input_ids)
    labels = [[rng.randrange(3, vocab_size) for _ in range(n)] + [1] for n in (2, 9, 0, 21, 5)]
    labels.append(tokenizer(TEXTS[2]).input_ids)
    cases = [{"name": "base", "merge": None, "adapters": [], "weights": []},
             {"name": "delta 0", "merge": "delta", "adapters": ["first", "mixed"],
              "weights": [0.6, -0.8]}]
    for case in cases:
        folders = [adapters / adapter for adapter in case["adapters"]]
        model = with_delta_merge(base, folders, case["weights"]) if folders else base
        case["examples"] = answers(model, inputs, labels)

    decode = lambda ids: tokenizer.decode(
        ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    texts = [{"text": text, "ids": tokenizer(text).input_ids} for text in TEXTS + MORE_TEXTS]
    expected = {
        "made_with": {"transformers": transformers.__version__, "torch": torch.__version__},
        "max_new_tokens": MAX_NEW_TOKENS,
        "texts": [text | {"decoded": decode(text["ids"])} for text in texts],
        "cases": cases,
    }
    if name == "umt5":
        expected["byte_fallback"] = with_byte_fallback(folder, TEXTS + MORE_TEXTS)
    if name == "byt5":
        expected["undecodable"] = [{"ids": ids, "decoded": decode(ids)} for ids in UNDECODABLE]
    else:
        # The two files agree.
        saved = Tokenizer.from_file(str(folder / "tokenizer.json"))
        assert all(saved.encode(text["text"]).ids == text["ids"] for text in texts)
    make_models.write_expected(folder, expected)


if __name__ == "__main__":
    chosen = sys.argv[1:] or MODELS
    make_models.make_each({name: MODELS[name] for name in chosen}, make)
