"""Makes tests/formats/gguf: one small random T5 as safetensors and in each kind of GGUF, and what Hugging Face transformers
computes with the weights of each.

Run with torch, gguf, safetensors and transformers 4.57 installed:
    python tests/formats/make_gguf_models.py

`expected.json` gives, for each file, `{"examples": [{"input": […], "labels": […], "loss": …}]}`; the examples are the same
for all. Names are llama.cpp's (gguf's own table of them), and for the files that end with `_hugging_face_names` Hugging
Face's, as candle's quantiser writes. gguf quantises to every type but those with K, which are quantised here: less well than
llama.cpp's search for scales does it, in the same blocks.
"""

import json
from pathlib import Path

import gguf
import numpy
import torch
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

OUT = Path(__file__).parent / "gguf"
KINDS = gguf.GGMLQuantizationType
CONFIG = dict(
    vocab_size=32, d_model=256, d_kv=16, num_heads=2, d_ff=32, num_layers=1, num_decoder_layers=1,
    relative_attention_num_buckets=8, relative_attention_max_distance=20, feed_forward_proj="gated-gelu",
    tie_word_embeddings=False, decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
)
# The type that llama.cpp falls back to where rows are no multiple of 256.
FALLBACK = {KINDS.Q4_K: KINDS.Q5_0, KINDS.Q5_K: KINDS.Q5_1, KINDS.Q6_K: KINDS.Q8_0}
FILES = {
    "f16": (KINDS.F16, True), "q8_0": (KINDS.Q8_0, True), "q8_0_hugging_face_names": (KINDS.Q8_0, False),
    "q4_0": (KINDS.Q4_0, True), "q4_k": (KINDS.Q4_K, True), "q4_k_hugging_face_names": (KINDS.Q4_K, False),
    "q5_k": (KINDS.Q5_K, True), "q6_k": (KINDS.Q6_K, True),
}


def halves(*numbers):
    """Numbers of a block, as the bytes of f16."""
    return numpy.concatenate([number.astype(numpy.float16).reshape(-1, 1).view(numpy.uint8) for number in numbers], axis=1)


def quotient(values, by):
    return numpy.divide(values, by, out=numpy.zeros_like(values), where=by != 0)


def q6_k(blocks):
    """16 sub-blocks of 16 values, each with a scale of 8 bits; values of 6 bits around 0."""
    sub = blocks.reshape(-1, 16, 16)
    scales = numpy.abs(sub).max(axis=2) / 31
    d = (scales.max(axis=1) / 127).astype(numpy.float16).astype(numpy.float32)
    levels = numpy.rint(quotient(scales, d[:, None])).astype(numpy.int8)
    steps = (d[:, None] * levels)[:, :, None] * numpy.ones(16, numpy.float32)
    values = numpy.clip(numpy.rint(quotient(sub, steps)), -32, 31).astype(int).reshape(-1, 2, 4, 32) + 32
    low = [values[:, :, i] & 15 | (values[:, :, i + 2] & 15) << 4 for i in range(2)]
    high = sum(values[:, :, i] >> 4 << 2 * i for i in range(4))
    count = len(blocks)
    parts = [numpy.stack(low, axis=2).reshape(count, 128), high.reshape(count, 64)]
    return numpy.concatenate([*(part.astype(numpy.uint8) for part in parts), levels.view(numpy.uint8), halves(d)], axis=1)


def q4_or_5_k(blocks, bits):
    """8 sub-blocks of 32 values, each with a scale and a minimum of 6 bits; values of 4 or 5 bits from the minimum up."""
    sub = blocks.reshape(-1, 8, 32)
    minima = numpy.maximum(-sub.min(axis=2), 0)
    scales = (sub.max(axis=2) + minima) / (2**bits - 1)
    d, dmin = ((one.max(axis=1) / 63).astype(numpy.float16).astype(numpy.float32) for one in (scales, minima))
    levels = numpy.clip(numpy.rint(quotient(scales, d[:, None])), 0, 63).astype(int)
    floors = numpy.clip(numpy.rint(quotient(minima, dmin[:, None])), 0, 63).astype(int)
    steps = (d[:, None] * levels)[:, :, None] * numpy.ones(32, numpy.float32)
    raised = sub + (dmin[:, None] * floors)[:, :, None]
    values = numpy.clip(numpy.rint(quotient(raised, steps)), 0, 2**bits - 1).astype(int)
    first, last = slice(0, 4), slice(4, 8)
    packed_scales = [
        levels[:, first] | levels[:, last] >> 4 << 6,
        floors[:, first] | floors[:, last] >> 4 << 6,
        levels[:, last] & 15 | (floors[:, last] & 15) << 4,
    ]
    nibbles = values[:, 0::2] & 15 | (values[:, 1::2] & 15) << 4
    fifth = sum((values[:, i] >> 4) << i for i in range(8))
    parts = [*packed_scales, *([fifth] if bits == 5 else []), nibbles.reshape(-1, 128)]
    return numpy.concatenate([halves(d, dmin), *(part.astype(numpy.uint8) for part in parts)], axis=1)


SUPER_BLOCKS = {
    KINDS.Q4_K: lambda blocks: q4_or_5_k(blocks, 4),
    KINDS.Q5_K: lambda blocks: q4_or_5_k(blocks, 5),
    KINDS.Q6_K: q6_k,
}


def quantise(data, kind):
    """The type that a matrix takes in a file of this kind, and its bytes."""
    if kind in SUPER_BLOCKS and data.shape[1] % 256 == 0:
        return kind, SUPER_BLOCKS[kind](data.reshape(-1, 256)).reshape(data.shape[0], -1)
    kind = FALLBACK.get(kind, kind)
    return kind, gguf.quants.quantize(data, kind)


def llama_names():
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5, CONFIG["num_layers"])
    return lambda name: names.get_name(name, try_suffixes=(".weight",))


def random_weights(model, generator):
    """Weights that F16 holds exactly, of the sizes that T5 starts with."""
    state = {}
    for name, value in model.state_dict().items():
        if "embed_tokens" not in name:
            size = 0.1 if value.dim() == 1 else value.shape[1] ** -0.5
            if name.endswith(".q.weight"):
                size *= CONFIG["d_kv"] ** -0.5
            data = generator.standard_normal(value.shape) * size + (value.dim() == 1)
            state[name] = torch.from_numpy(data).half()
    return state


def losses(model, state, examples):
    state = state | {f"{stack}.embed_tokens.weight": state["shared.weight"] for stack in ("encoder", "decoder")}
    model.load_state_dict(state)
    with torch.no_grad():
        for input_ids, labels in examples:
            loss = model(input_ids=torch.tensor([input_ids]), labels=torch.tensor([labels])).loss.item()
            yield {"input": input_ids, "labels": labels, "loss": loss}


def main():
    OUT.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    generator = numpy.random.default_rng(0)
    (OUT / "config.json").write_text(json.dumps({"model_type": "t5", **CONFIG}, indent=1) + "\n")
    to_llama = llama_names()
    model = T5ForConditionalGeneration(T5Config(**CONFIG)).eval()
    weights = random_weights(model, generator)
    save_file(weights, OUT / "model.safetensors", metadata={"format": "pt"})
    ids = lambda count: [int(token) for token in generator.integers(2, 32, count)] + [1]
    examples = [(ids(length), ids(length // 2)) for length in (3, 12)]
    expected = {"safetensors": {"examples": list(losses(model, weights, examples))}}
    for file, (kind, llama) in FILES.items():
        writer = gguf.GGUFWriter(OUT / f"{file}.gguf", "t5")
        state = {}
        for name, value in weights.items():
            data = value.float().numpy()
            if value.dim() == 1:
                used, packed = KINDS.F32, data
            elif "relative_attention_bias" in name:
                used, packed = KINDS.F16, gguf.quants.quantize(data, KINDS.F16)
            else:
                used, packed = quantise(data, kind)
            writer.add_tensor(to_llama(name) if llama else name, packed, raw_dtype=used)
            found = gguf.quants.dequantize(packed, used).reshape(value.shape)
            # Less than a step of the coarsest type.
            assert numpy.abs(found - data).max() < 0.13 * numpy.abs(data).max(), (file, name)
            state[name] = torch.from_numpy(found.copy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        expected[file] = {"examples": list(losses(model, state, examples))}
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for file, one in expected.items():
        print(file, [example["loss"] for example in one["examples"]])


if __name__ == "__main__":
    main()
