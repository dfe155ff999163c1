"""Makes tests/formats/gguf: one small random T5 in each kind of GGUF, and what Hugging Face transformers computes with
the same weights.

Run with torch, gguf and transformers 4.57 installed:
    python tests/formats/make_gguf_models.py

`expected.json` gives, for each file, `{"examples": [{"input": […], "labels": […], "loss": …}]}`. Names are llama.cpp's
(gguf's own table of them) but for one file with Hugging Face's, as candle's quantiser writes.
"""

import json
from pathlib import Path

import gguf
import numpy
import torch
from transformers import T5Config, T5ForConditionalGeneration

OUT = Path(__file__).parent / "gguf"
KINDS = gguf.GGMLQuantizationType
CONFIG = dict(
    vocab_size=32, d_model=256, d_kv=16, num_heads=2, d_ff=32, num_layers=1, num_decoder_layers=1,
    relative_attention_num_buckets=8, relative_attention_max_distance=20, feed_forward_proj="gated-gelu",
    tie_word_embeddings=False, decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
)
# Where the f16 scales of a block lie, in the types that gguf does not quantise to.
SUPER_BLOCKS = {KINDS.Q4_K: (0, 2), KINDS.Q5_K: (0, 2), KINDS.Q6_K: (208,)}
# The type that llama.cpp falls back to where rows are no multiple of 256.
FALLBACK = {KINDS.Q4_K: KINDS.Q5_0, KINDS.Q5_K: KINDS.Q5_1, KINDS.Q6_K: KINDS.Q8_0}
FILES = {
    "f16": (KINDS.F16, True), "q8_0": (KINDS.Q8_0, True), "q8_0_hugging_face_names": (KINDS.Q8_0, False),
    "q4_0": (KINDS.Q4_0, True), "q4_k": (KINDS.Q4_K, True), "q5_k": (KINDS.Q5_K, True), "q6_k": (KINDS.Q6_K, True),
}


def super_blocks(shape, kind, generator):
    """Random blocks, with scales that make weights of ordinary size."""
    bytes_per_block = gguf.GGML_QUANT_SIZES[kind][1]
    packed = generator.integers(0, 256, (shape[0], shape[1] // 256, bytes_per_block), dtype=numpy.uint8)
    for place in SUPER_BLOCKS[kind]:
        # Scales of 8 bits times values of 6 bits, or of 6 bits times 4 or 5.
        size = 1e-4 if kind == KINDS.Q6_K else 2e-4
        scales = (generator.uniform(0.5, 1, (*packed.shape[:2], 1)) * size).astype(numpy.float16)
        packed[..., place : place + 2] = scales.view(numpy.uint8)
    return packed.reshape(shape[0], -1)


def llama_names():
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5, CONFIG["num_layers"])
    return lambda name: names.get_name(name, try_suffixes=(".weight",))


def main():
    OUT.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    generator = numpy.random.default_rng(0)
    config = T5Config(**CONFIG)
    (OUT / "config.json").write_text(json.dumps({"model_type": "t5", **CONFIG}, indent=1) + "\n")
    to_llama = llama_names()
    expected = {}
    for file, (kind, llama) in FILES.items():
        model = T5ForConditionalGeneration(config).eval()
        state = {name: value for name, value in model.state_dict().items() if "embed_tokens" not in name}
        writer = gguf.GGUFWriter(OUT / f"{file}.gguf", "t5")
        for name, value in state.items():
            data = (generator.standard_normal(value.shape) * 0.08).astype(numpy.float32)
            if value.dim() == 1:
                used, data = KINDS.F32, data + 1
            elif "relative_attention_bias" in name:
                used = KINDS.F16
            elif kind in SUPER_BLOCKS:
                used = kind if value.shape[1] % 256 == 0 else FALLBACK[kind]
            else:
                used = kind
            if used in SUPER_BLOCKS:
                packed = super_blocks(value.shape, used, generator)
            else:
                packed = gguf.quants.quantize(data, used)
            writer.add_tensor(to_llama(name) if llama else name, packed, raw_dtype=used)
            state[name] = torch.from_numpy(gguf.quants.dequantize(packed, used).reshape(value.shape).copy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        state |= {f"{stack}.embed_tokens.weight": state["shared.weight"] for stack in ("encoder", "decoder")}
        model.load_state_dict(state)
        examples = []
        for length in (3, 12):
            ids = [int(token) for token in generator.integers(2, 32, length)] + [1]
            labels = [int(token) for token in generator.integers(2, 32, length // 2)] + [1]
            with torch.no_grad():
                loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss.item()
            examples.append({"input": ids, "labels": labels, "loss": loss})
        expected[file] = {"examples": examples}
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
