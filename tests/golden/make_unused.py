#!/usr/bin/env python3
"""Makes the files under tests/golden/unused. expected.json: which tensors of a file transformers warns of as not used by
the model, and which it passes over in silence.

cases   [{model, added, unused}]   a folder of tests/golden/models; names and shapes of the tensors that its file holds
                                   beside its own; those of `output_loading_info`'s unexpected keys, which are what the
                                   warning "Some weights of the model checkpoint were not used" lists

A copy of the embedding, or of a tied model's head, has its values; all other added tensors are zeros.
pytorch_model.bin has the names and shapes of the first case, all of them views of the same zeros but for two unused
ones, which are int64 and bool.

Run with transformers 4.57.
"""

import json
import math
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig, MT5ForConditionalGeneration, T5ForConditionalGeneration, UMT5ForConditionalGeneration,
)

ROOT = Path(__file__).parent
CLASSES = {
    "t5": T5ForConditionalGeneration, "mt5": MT5ForConditionalGeneration, "umt5": UMT5ForConditionalGeneration,
}
COPIES = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
CROSS_BIAS = "decoder.block.{}.layer.1.EncDecAttention.relative_attention_bias.weight"


def case(model):
    folder = ROOT / "models" / model
    config = AutoConfig.from_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    bias = [config.relative_attention_num_buckets, config.num_heads]
    added = {
        "foo.weight": [3],
        "classification_head.dense.weight": [config.d_model, config.d_model],
        "classification_head.out_proj.bias": [2],
        "encoder.block.0.layer.0.SelfAttention.q.bias": [config.num_heads * config.d_kv],
        "decoder.final_layer_norm.bias": [config.d_model],
        CROSS_BIAS.format(0): bias,
        CROSS_BIAS.format(config.num_decoder_layers - 1): bias,
    }
    added |= {name: list(tensors["shared.weight"].shape) for name in COPIES}
    if "lm_head.weight" not in tensors:
        added["lm_head.weight"] = list(tensors["shared.weight"].shape)
    for name, shape in added.items():
        copied = name in COPIES or name == "lm_head.weight"
        tensors[name] = tensors["shared.weight"].clone() if copied else torch.zeros(shape)
    with tempfile.TemporaryDirectory() as made:
        config.save_pretrained(made)
        save_file(tensors, Path(made) / "model.safetensors", metadata={"format": "pt"})
        _, info = CLASSES[config.model_type].from_pretrained(made, output_loading_info=True)
    return {"model": model, "added": added, "unused": sorted(info["unexpected_keys"])}


if __name__ == "__main__":
    made_with = {"transformers": transformers.__version__, "torch": torch.__version__}
    cases = [case(model) for model in ("narrow-tied", "deep-untied", "mt5", "umt5")]
    text = json.dumps({"made_with": made_with, "cases": cases}, indent=1)
    first = load_file(ROOT / "models" / cases[0]["model"] / "model.safetensors")
    shapes = {name: list(tensor.shape) for name, tensor in first.items()} | cases[0]["added"]
    elements = {name: math.prod(shape) for name, shape in shapes.items()}
    zeros = torch.zeros(max(elements.values()), dtype=torch.float16)
    views = {name: zeros[:elements[name]].view(shape) for name, shape in shapes.items()}
    views["foo.weight"] = torch.zeros(shapes["foo.weight"], dtype=torch.int64)
    views["classification_head.out_proj.bias"] = torch.zeros(2, dtype=torch.bool)
    torch.save(views, ROOT / "unused" / "pytorch_model.bin")
    (ROOT / "unused" / "expected.json").write_text(text + "\n")
