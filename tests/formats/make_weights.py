"""Makes tests/formats/weights: small files of each weight format, and what they hold.

Run with torch, safetensors, gguf, transformers 4.57 and peft 0.17 installed:
    python tests/formats/make_weights.py

`expected.json` gives each file's tensors as `{name: {"shape": […], "values": […]}}`; `peft.json` what PEFT makes
of adapter configurations: the layers it targets, their ranks and scalings.
"""

import io
import json
import os
import zipfile
from collections import OrderedDict
from pathlib import Path

import gguf
import numpy
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

OUT = Path(__file__).parent / "weights"


class Command:
    """What a hostile pickle holds: unpickling it would run a command."""

    def __reduce__(self):
        return (os.system, ("echo this must never run",))


def expected(tensors):
    return {
        name: {"shape": list(tensor.shape), "values": tensor.to(torch.float32).flatten().tolist()}
        for name, tensor in tensors.items()
    }


def torch_files():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8 - 1
    ordered = OrderedDict(a=base.clone(), b=torch.arange(3, dtype=torch.float32))
    ordered._metadata = OrderedDict(version=1)
    files = {
        "plain.bin": {"f32": base.clone(), "f16": base.half(), "bf16": base.bfloat16(), "scalar": torch.tensor(2.5)},
        "ordered.bin": ordered,
        # Views of one storage: transposed, sliced with a step, shifted.
        "views.bin": {"whole": base, "transposed": base.t(), "stepped": base[:, ::2], "shifted": base[1:3]},
        "parameter.bin": {"p": torch.nn.Parameter(base.clone())},
        "double.bin": {"f64": base.double() / 3},
        "empty.bin": {"none": torch.zeros(0, 3), "one": torch.ones(1, 1)},
    }
    for name, tensors in files.items():
        torch.save(tensors, OUT / name)
    torch.save({"i": torch.arange(4)}, OUT / "integers.bin")
    torch.save(files["plain.bin"], OUT / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"a": Command()}, OUT / "command.bin")
    torch.save({"a": torch.ones(2), "epoch": 3}, OUT / "checkpoint.bin")
    torch.save({"a": torch.ones(2).expand(3, 2)}, OUT / "expanded.bin")
    torch.save(files["plain.bin"], OUT / "protocol_4.bin", pickle_protocol=4)
    # The same archive, compressed.
    with zipfile.ZipFile(OUT / "plain.bin") as source, zipfile.ZipFile(
        OUT / "deflated.bin", "w", zipfile.ZIP_DEFLATED
    ) as target:
        for entry in source.infolist():
            target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry), zipfile.ZIP_DEFLATED)
    result = {name: expected(tensors) for name, tensors in files.items()}
    result["protocol_4.bin"] = result["plain.bin"]
    return result


def safetensors_files():
    base = torch.arange(6, dtype=torch.float32).reshape(2, 3) / 4
    tensors = {"f32": base, "f16": base.half(), "bf16": base.bfloat16(), "f64": base.double() / 3}
    save_file(tensors, OUT / "plain.safetensors", metadata={"format": "pt"})
    return {"plain.safetensors": expected(tensors)}


def gguf_files():
    generator = numpy.random.default_rng(0)
    kinds = gguf.GGMLQuantizationType
    tensors = {
        "token_embd.weight": ("shared.weight", (3, 32), kinds.Q8_0),
        "output.weight": ("lm_head.weight", (3, 32), kinds.Q8_0),
        "enc.blk.0.attn_q.weight": ("encoder.block.0.layer.0.SelfAttention.q.weight", (2, 64), kinds.Q8_0),
        "enc.blk.0.attn_rel_b.weight":
            ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", (4, 2), kinds.F16),
        "enc.blk.0.attn_norm.weight": ("encoder.block.0.layer.0.layer_norm.weight", (5,), kinds.F32),
        "enc.blk.0.ffn_gate.weight": ("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", (3, 2), kinds.F32),
        "enc.blk.0.ffn_up.weight": ("encoder.block.0.layer.1.DenseReluDense.wi_1.weight", (3, 2), kinds.F32),
        "enc.output_norm.weight": ("encoder.final_layer_norm.weight", (5,), kinds.F32),
        "dec.blk.1.attn_o.weight": ("decoder.block.1.layer.0.SelfAttention.o.weight", (2, 3), kinds.F32),
        "dec.blk.1.cross_attn_k.weight": ("decoder.block.1.layer.1.EncDecAttention.k.weight", (2, 3), kinds.BF16),
        "dec.blk.1.cross_attn_norm.weight": ("decoder.block.1.layer.1.layer_norm.weight", (5,), kinds.F32),
        # Without a gate, as in T5 1.0.
        "dec.blk.1.ffn_up.weight": ("decoder.block.1.layer.2.DenseReluDense.wi.weight", (3, 2), kinds.F32),
        "dec.blk.1.ffn_down.weight": ("decoder.block.1.layer.2.DenseReluDense.wo.weight", (2, 3), kinds.F32),
        "dec.blk.1.ffn_norm.weight": ("decoder.block.1.layer.2.layer_norm.weight", (5,), kinds.F32),
        "dec.output_norm.weight": ("decoder.final_layer_norm.weight", (5,), kinds.F32),
    }
    result = {}
    for file, llama_names in [("llama.gguf", True), ("hugging_face.gguf", False)]:
        writer = gguf.GGUFWriter(OUT / file, "t5")
        writer.add_array("tokenizer.ggml.tokens", ["<pad>", "</s>", "é"])
        writer.add_array("tokenizer.ggml.scores", [0.0, -1.5])
        writer.add_bool("t5.flag", True)
        writer.add_custom_alignment(64)
        values = {}
        for llama_name, (name, shape, kind) in tensors.items():
            data = generator.standard_normal(shape).astype(numpy.float32)
            packed = gguf.quants.quantize(data, kind)
            writer.add_tensor(llama_name if llama_names else name, packed, raw_dtype=kind)
            values[name] = {
                "shape": list(shape),
                "values": gguf.quants.dequantize(packed, kind).flatten().astype(float).tolist(),
            }
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        result[file] = values
    return result


def block_file():
    """Every quantised type, two rows each. gguf quantises to the types without K itself; for the others the blocks
    are random bytes with ordinary scales, which is all that a reader can be asked to undo."""
    generator = numpy.random.default_rng(1)
    kinds = gguf.GGMLQuantizationType
    # Where each block's f16 scales lie.
    super_blocks = {kinds.Q4_K: (0, 2), kinds.Q5_K: (0, 2), kinds.Q6_K: (208,)}
    writer = gguf.GGUFWriter(OUT / "blocks.gguf", "t5")
    values = {}
    for kind in (kinds.Q4_0, kinds.Q4_1, kinds.Q5_0, kinds.Q5_1, kinds.Q8_0, *super_blocks):
        if kind in super_blocks:
            packed = generator.integers(0, 256, (2, 2, gguf.GGML_QUANT_SIZES[kind][1]), dtype=numpy.uint8)
            for place in super_blocks[kind]:
                scales = generator.standard_normal((2, 2, 1)).astype(numpy.float16)
                packed[..., place : place + 2] = scales.view(numpy.uint8)
            packed = packed.reshape(2, -1)
        else:
            packed = gguf.quants.quantize(generator.standard_normal((2, 96)).astype(numpy.float32), kind)
        writer.add_tensor(kind.name, packed, raw_dtype=kind)
        numbers = gguf.quants.dequantize(packed, kind)
        values[kind.name] = {"shape": list(numbers.shape), "values": numbers.flatten().astype(float).tolist()}
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {"blocks.gguf": values}


def peft_cases():
    configs = [
        {},
        {"target_modules": ["q", "v"], "use_rslora": True},
        {"target_modules": ["q", "k", "v", "o", "wi_0", "wi_1", "wo"], "lora_alpha": 5},
        {"target_modules": ["SelfAttention.o", "decoder.block.1.layer.1.EncDecAttention.k"]},
        {"target_modules": r".*decoder.*\.(q|wi_\d)$"},
        {"target_modules": "all-linear", "exclude_modules": ["wo"]},
        {"target_modules": "all-linear", "exclude_modules": r"encoder\..*"},
        {"target_modules": ["q", "wi_1"], "rank_pattern": {"block.0.layer.0.SelfAttention.q": 3, "q": 5, ".*wi_[01]": 2}},
        {"target_modules": ["q", "wi_1"], "alpha_pattern": {"decoder.*": 7, "^encoder.*q": 1, "wi_1": 9}},
        {"target_modules": ["q"], "rank_pattern": {"q": 16}, "alpha_pattern": {"q": 4}, "use_rslora": True},
        {"target_modules": ["q", "wo"], "layers_to_transform": [0], "layers_pattern": "block"},
        {"target_modules": ["q", "wo"], "layers_to_transform": 1, "layers_pattern": ["block"]},
        {"target_modules": ["q", "wo"], "layers_to_transform": [1]},
        {"target_modules": ["k"], "layers_to_transform": []},
        {"target_modules": ["v"], "fan_in_fan_out": True},
    ]
    base = T5Config(
        vocab_size=8, d_model=4, d_kv=2, d_ff=6, num_layers=2, num_decoder_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )
    cases = []
    for fields in configs:
        config = LoraConfig(task_type="SEQ_2_SEQ_LM", **({"r": 4, "lora_alpha": 8} | fields))
        model = get_peft_model(T5ForConditionalGeneration(base), config)
        layers = {
            name.removeprefix("base_model.model."): {"rank": module.r["default"], "scaling": module.scaling["default"]}
            for name, module in model.named_modules()
            if isinstance(module, LoraLayer) and "lm_head" not in name
        }
        written = model.peft_config["default"].to_dict()
        # As `save_pretrained` writes it: enumerations and sets become texts and lists.
        written = json.loads(json.dumps(written, default=lambda value: sorted(value) if isinstance(value, set) else str(value.value)))
        cases.append({"config": written, "layers": layers})
    return cases


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    contents = torch_files() | safetensors_files() | gguf_files() | block_file()
    (OUT / "expected.json").write_text(json.dumps(contents) + "\n")
    (OUT / "peft.json").write_text(json.dumps(peft_cases(), indent=1) + "\n")


if __name__ == "__main__":
    main()
