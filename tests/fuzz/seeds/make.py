"""Makes the small files of this folder: a T5 of one block each side, an adapter of it and a tokenizer of 12 pieces.
A fuzzer runs several times as many inputs a second on them as on the golden models, whose files are 30 times as long.

Run with Python alone:
    python tests/fuzz/seeds/make.py
"""

import json
import struct
from pathlib import Path

OUT = Path(__file__).parent
# No size is a multiple of another, nor of a kernel's.
CONFIG = dict(
    model_type="t5", vocab_size=12, d_model=5, d_kv=3, num_heads=2, d_ff=7, num_layers=1, num_decoder_layers=1,
    relative_attention_num_buckets=4, relative_attention_max_distance=8, layer_norm_epsilon=1e-6,
    decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
)
RANK = 2
ADAPTER_CONFIG = dict(peft_type="LORA", r=RANK, lora_alpha=4, target_modules=["q", "v"])
# Text, score and SentencePiece's type: with a sentinel among them, no others are added.
PIECES = [
    ("<pad>", 0.0, 3), ("</s>", 0.0, 3), ("<unk>", 0.0, 2), ("▁", -2.0, 1), ("a", -3.0, 1), ("▁a", -2.5, 1),
    ("b", -4.0, 1), ("ab", -5.0, 1), ("s", -3.5, 1), ("is", -4.5, 1), ("<extra_id_1>", 0.0, 4),
    ("<extra_id_0>", 0.0, 4),
]


def tensors():
    """Hugging Face's and llama.cpp's names of all tensors, with their shapes."""
    width, attention, hidden = CONFIG["d_model"], CONFIG["d_kv"] * CONFIG["num_heads"], CONFIG["d_ff"]
    buckets, heads = CONFIG["relative_attention_num_buckets"], CONFIG["num_heads"]
    yield "shared", "token_embd", [CONFIG["vocab_size"], width]
    for stack, short in [("encoder", "enc"), ("decoder", "dec")]:
        layers = [("SelfAttention", "attn")] + [("EncDecAttention", "cross_attn")] * (stack == "decoder")
        for index, (layer, prefix) in enumerate(layers):
            path, block = f"{stack}.block.0.layer.{index}", f"{short}.blk.0.{prefix}"
            for name in "qkv":
                yield f"{path}.{layer}.{name}", f"{block}_{name}", [attention, width]
            yield f"{path}.{layer}.o", f"{block}_o", [width, attention]
            if index == 0:
                yield f"{path}.{layer}.relative_attention_bias", f"{block}_rel_b", [buckets, heads]
            yield f"{path}.layer_norm", f"{block}_norm", [width]
        path, block = f"{stack}.block.0.layer.{len(layers)}", f"{short}.blk.0.ffn"
        yield f"{path}.DenseReluDense.wi", f"{block}_up", [hidden, width]
        yield f"{path}.DenseReluDense.wo", f"{block}_down", [width, hidden]
        yield f"{path}.layer_norm", f"{block}_norm", [width]
        yield f"{stack}.final_layer_norm", f"{short}.output_norm", [width]


def elements(shape):
    count = 1
    for length in shape:
        count *= length
    return count


def values(shape):
    """Numbers between -1 and 1, the same on every run; those of a norm around 1."""
    numbers = [(index * 37 % 64) / 32 - 1 for index in range(elements(shape))]
    return [1 + number / 8 for number in numbers] if len(shape) == 1 else numbers


def safetensors(named):
    header, data = {}, b""
    for name, shape in named:
        start = len(data)
        data += struct.pack(f"<{elements(shape)}f", *values(shape))
        header[name] = dict(dtype="F32", shape=shape, data_offsets=[start, len(data)])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def adapter():
    width, attention = CONFIG["d_model"], CONFIG["d_kv"] * CONFIG["num_heads"]
    layers = ["encoder.block.0.layer.0.SelfAttention.q", "encoder.block.0.layer.0.SelfAttention.v",
              "decoder.block.0.layer.0.SelfAttention.q", "decoder.block.0.layer.1.EncDecAttention.v"]
    for layer in layers:
        yield f"base_model.model.{layer}.lora_A.weight", [RANK, width]
        yield f"base_model.model.{layer}.lora_B.weight", [attention, RANK]


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def message(number, contents):
    return varint(number << 3 | 2) + varint(len(contents)) + contents


def spiece():
    pieces = [message(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(kind)
              for text, score, kind in PIECES]
    # A Unigram model, and no character map.
    return b"".join(message(1, piece) for piece in pieces) + message(2, b"\x18\x01")


def gguf():
    def string(text):
        return struct.pack("<Q", len(text.encode())) + text.encode()

    def array(kind, items):
        return 9, struct.pack("<IQ", kind, len(items)) + b"".join(items)

    def number(count):
        return 4, struct.pack("<I", count)

    metadata = {
        "general.architecture": (8, string("t5")),
        "tokenizer.ggml.model": (8, string("t5")),
        "tokenizer.ggml.tokens": array(8, [string(text) for text, _, _ in PIECES]),
        "tokenizer.ggml.scores": array(6, [struct.pack("<f", score) for _, score, _ in PIECES]),
        "tokenizer.ggml.token_type": array(5, [struct.pack("<i", kind) for _, _, kind in PIECES]),
        "tokenizer.ggml.eos_token_id": number(CONFIG["eos_token_id"]),
        "tokenizer.ggml.padding_token_id": number(CONFIG["pad_token_id"]),
        "t5.embedding_length": number(CONFIG["d_model"]),
        "t5.feed_forward_length": number(CONFIG["d_ff"]),
        "t5.attention.key_length": number(CONFIG["d_kv"]),
        "t5.attention.head_count": number(CONFIG["num_heads"]),
        "t5.block_count": number(CONFIG["num_layers"]),
        "t5.decoder_block_count": number(CONFIG["num_decoder_layers"]),
        "t5.attention.relative_buckets_count": number(CONFIG["relative_attention_num_buckets"]),
        "t5.decoder_start_token_id": number(CONFIG["decoder_start_token_id"]),
        "t5.attention.layer_norm_rms_epsilon": (6, struct.pack("<f", CONFIG["layer_norm_epsilon"])),
    }
    named = list(tensors())
    file = b"GGUF" + struct.pack("<IQQ", 3, len(named), len(metadata))
    for key, (kind, contents) in metadata.items():
        file += string(key) + struct.pack("<I", kind) + contents
    data = b""
    for _, name, shape in named:
        # Matrices in f16, as converters write them.
        kind, code = (0, "f") if len(shape) == 1 else (1, "e")
        file += string(f"{name}.weight") + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        file += struct.pack("<IQ", kind, len(data))
        data += struct.pack(f"<{elements(shape)}{code}", *values(shape))
        data += bytes(-len(data) % 32)
    return file + bytes(-len(file) % 32) + data


def main():
    (OUT / "config.json").write_text(json.dumps(CONFIG) + "\n")
    (OUT / "model.safetensors").write_bytes(safetensors([(f"{name}.weight", shape) for name, _, shape in tensors()]))
    (OUT / "model.gguf").write_bytes(gguf())
    (OUT / "adapter_config.json").write_text(json.dumps(ADAPTER_CONFIG) + "\n")
    (OUT / "adapter_model.safetensors").write_bytes(safetensors(list(adapter())))
    (OUT / "spiece.model").write_bytes(spiece())


if __name__ == "__main__":
    main()
