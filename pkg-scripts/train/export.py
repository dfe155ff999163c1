"""The shipped files of base and modules.

Owns the GGUF file of the base (Q8_0, Hugging Face tensor names; norms and
``relative_attention_bias`` in F32), its way back into PyTorch, and the PEFT folders. Modules are
trained and everything is measured on the weights as shipped: the base dequantised, the modules
rounded to float16.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import numpy
import torch
from gguf.quants import dequantize, quantize
from peft import LoraConfig, TaskType
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration, T5TokenizerFast

from .model import TARGETS
from .modules import Adapters, AdapterTraining

BASE_ID = "loraloom-demo"
LICENCE = "MIT OR Apache-2.0"
_ALIASES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def _stays_float(name: str) -> bool:
    return "layer_norm" in name or "relative_attention_bias" in name


def write_base(model: T5ForConditionalGeneration, tokenizer: Path, folder: Path) -> None:
    """Writes config.json, tokenizer.json, tokenizer_config.json and model.gguf."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_diff_dict()
    config.pop("dtype", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    settings = {
        "tokenizer_class": T5TokenizerFast.__name__,
        "extra_ids": 0,
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": 512,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    writer = gguf.GGUFWriter(folder / "model.gguf", "t5")
    writer.add_name("LoraLoom demo base")
    writer.add_license(LICENCE)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    for name, tensor in model.state_dict().items():
        if name in _ALIASES:
            continue
        values = tensor.detach().float().cpu().numpy()
        if _stays_float(name):
            writer.add_tensor(name, values)
        else:
            packed = quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_base(folder: Path) -> T5ForConditionalGeneration:
    """The shipped base in PyTorch: ``model.gguf`` dequantised to float32."""
    model = T5ForConditionalGeneration(T5Config.from_json_file(folder / "config.json"))
    state = {}
    for tensor in gguf.GGUFReader(folder / "model.gguf").tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        state[tensor.name] = torch.from_numpy(values.copy())
    for alias in _ALIASES:
        state[alias] = state["shared.weight"]
    model.load_state_dict(state)
    return model.eval()


def round_adapters(adapters: Adapters) -> None:
    """Rounds the adapters in place to what float16 can hold."""
    for tensor in (*adapters.lora_a.values(), *adapters.lora_b.values()):
        tensor.copy_(tensor.half().float())


def write_adapter(adapters: Adapters, index: int, training: AdapterTraining, folder: Path) -> None:
    """Writes one module as PEFT does."""
    folder.mkdir(parents=True, exist_ok=True)
    config = LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha,
        target_modules=list(TARGETS),
        task_type=TaskType.SEQ_2_SEQ_LM,
        base_model_name_or_path=BASE_ID,
        inference_mode=True,
    ).to_dict()
    config["target_modules"] = sorted(config["target_modules"])
    text = json.dumps(config, indent=2, sort_keys=True, default=str)
    (folder / "adapter_config.json").write_text(text + "\n")
    tensors = {}
    for name in adapters.lora_a:
        prefix = f"base_model.model.{name}"
        tensors[f"{prefix}.lora_A.weight"] = adapters.lora_a[name][index].half().contiguous().cpu()
        tensors[f"{prefix}.lora_B.weight"] = adapters.lora_b[name][index].half().contiguous().cpu()
    weights = folder / "adapter_model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors makes it readable by its owner only
