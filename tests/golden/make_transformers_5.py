#!/usr/bin/env python3
"""Makes the fixtures under tests/golden/transformers_5: small random models of T5, mT5 and UMT5 as transformers 5 saves
them, and what it computes with them.

transformers 5 writes `"tie_word_embeddings": true` for all of them; `scale_decoder_outputs` gives the scale, and the file
of weights holds `lm_head.weight` where it is not the embedding.

Each folder holds config.json, model.safetensors and expected.json:

  made_with       {transformers, torch}
  max_new_tokens  limit of the greedy tokens
  examples        [{input, labels, loss, greedy}]   token ids in; mean token cross-entropy and the greedily decoded tokens
                                                    (no start token) out

Run in an environment of its own, with the names of models to make those alone:
pip install torch "transformers==5.24.0".
"""

import json
import random
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from transformers import (
    MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration, UMT5Config,
    UMT5ForConditionalGeneration,
)

OUT = Path(__file__).parent / "transformers_5"
MAX_NEW_TOKENS = 12
SIZES = dict(
    vocab_size=61, d_model=24, d_kv=5, d_ff=19, num_heads=3, num_layers=2, num_decoder_layers=1,
    relative_attention_num_buckets=8, relative_attention_max_distance=20, feed_forward_proj="gated-gelu",
    decoder_start_token_id=0,
)
T5 = (T5Config, T5ForConditionalGeneration)
MT5 = (MT5Config, MT5ForConditionalGeneration)
UMT5 = (UMT5Config, UMT5ForConditionalGeneration)
# By folder: the classes, whether lm_head is the embedding, and the configuration beside or in place of the sizes.
MODELS = {
    "separate_head": (T5, False, {"tie_word_embeddings": False}),
    "tied": (T5, True, {}),
    "tied_unscaled": (T5, True, {"scale_decoder_outputs": False}),
    # google/mt5 and google/umt5 have a head of their own.
    "mt5": (MT5, False, {"tie_word_embeddings": False}),
    "mt5_tied": (MT5, True, {}),
    "umt5": (UMT5, False, {"tie_word_embeddings": False, "num_decoder_layers": 3}),
    "umt5_tied": (UMT5, True, {"num_decoder_layers": 2}),
}


def make(name, classes, tied, config):
    torch.manual_seed(len(name))
    rng = random.Random(name)
    config_class, model_class = classes
    model = model_class(config_class(**{**SIZES, **config})).eval()
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 1.0 if parameter.dim() == 1 else parameter.shape[1] ** -0.25
            parameter.copy_(torch.randn(parameter.shape) * scale)

    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    saved = json.loads((folder / "config.json").read_text())
    assert saved["tie_word_embeddings"] is True
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert ("lm_head.weight" in file.keys()) is not tied, list(file.keys())

    model = model_class.from_pretrained(folder).eval()
    assert (model.lm_head.weight is model.shared.weight) is tied
    examples = []
    for length, labels in [(3, 2), (9, 5), (20, 1)]:
        ids = lambda count: [rng.randrange(3, SIZES["vocab_size"]) for _ in range(count)] + [1]
        example = {"input": ids(length), "labels": ids(labels)}
        inputs = torch.tensor([example["input"]])
        with torch.no_grad():
            loss = model(input_ids=inputs, labels=torch.tensor([example["labels"]]), use_cache=False).loss
            greedy = model.generate(
                input_ids=inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, use_cache=False
            )
        examples.append({**example, "loss": loss.item(), "greedy": greedy[0, 1:].tolist()})
    expected = {
        "made_with": {"transformers": transformers.__version__, "torch": torch.__version__},
        "max_new_tokens": MAX_NEW_TOKENS,
        "examples": examples,
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(name, [round(example["loss"], 3) for example in examples], saved.get("scale_decoder_outputs"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for name in sys.argv[1:] or MODELS:
        make(name, *MODELS[name])
