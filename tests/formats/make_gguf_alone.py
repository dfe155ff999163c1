"""Makes tests/formats/gguf_alone: a small random T5 in one GGUF file with its sizes and its tokenizer in the
metadata, as llama.cpp's converter writes them (`T5Model` in convert_hf_to_gguf.py), and what transformers computes
with the same weights and tests/formats/tokenizer/spiece.model.

Run with torch, gguf, sentencepiece and transformers 4.57 installed:
    python tests/formats/make_gguf_alone.py
"""

import json
from pathlib import Path

import gguf
import numpy
import torch
from sentencepiece import sentencepiece_model_pb2
from transformers import T5Config, T5ForConditionalGeneration, T5TokenizerFast

OUT = Path(__file__).parent / "gguf_alone"
SPIECE = Path(__file__).parent / "tokenizer" / "spiece.model"
KINDS, TYPES = gguf.GGMLQuantizationType, gguf.TokenType
# 110 pieces, 100 sentinels, and rows of the embedding that no token has.
CONFIG = dict(
    vocab_size=224, d_model=48, d_kv=20, num_heads=3, d_ff=40, num_layers=2, num_decoder_layers=1,
    relative_attention_num_buckets=8, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
)
EXAMPLES = [("the quick cat", "Où est"), ("Straße ist schön, the dog", "dog"), ("a <extra_id_0> b", "<extra_id_0> cat")]


def add_metadata(writer):
    writer.add_context_length(512)
    writer.add_embedding_length(CONFIG["d_model"])
    writer.add_feed_forward_length(CONFIG["d_ff"])
    writer.add_block_count(CONFIG["num_layers"])
    writer.add_decoder_block_count(CONFIG["num_decoder_layers"])
    writer.add_head_count(CONFIG["num_heads"])
    writer.add_key_length(CONFIG["d_kv"])
    writer.add_value_length(CONFIG["d_kv"])
    writer.add_layer_norm_eps(1e-6)
    writer.add_relative_attn_buckets_count(CONFIG["relative_attention_num_buckets"])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_decoder_start_token_id(CONFIG["decoder_start_token_id"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def add_tokenizer(writer):
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(SPIECE.read_bytes())
    size = CONFIG["vocab_size"]
    tokens, scores, types = [f"[PAD{i}]".encode() for i in range(size)], [-10000.0] * size, [TYPES.UNUSED] * size
    kinds = {1: TYPES.NORMAL, 2: TYPES.UNKNOWN, 3: TYPES.CONTROL, 4: TYPES.USER_DEFINED, 5: TYPES.UNUSED, 6: TYPES.BYTE}
    for index, piece in enumerate(model.pieces):
        tokens[index], scores[index], types[index] = piece.piece.encode(), piece.score, kinds[piece.type]
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_add_space_prefix(model.normalizer_spec.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(model.normalizer_spec.remove_extra_whitespaces)
    writer.add_precompiled_charsmap(model.normalizer_spec.precompiled_charsmap)
    writer.add_eos_token_id(CONFIG["eos_token_id"])
    writer.add_unk_token_id(2)
    writer.add_pad_token_id(CONFIG["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(True)


def main():
    OUT.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(T5Config(**CONFIG)).eval()
    with torch.no_grad():
        for value in model.parameters():
            # Matrices go into the file in f16.
            value.copy_((value + 0.1 * torch.randn_like(value)).half().float())
    # GGUFWriter writes what is described in this order.
    writer = gguf.GGUFWriter(OUT / "model.gguf", "t5")
    add_metadata(writer)
    add_tokenizer(writer)
    blocks = max(CONFIG["num_layers"], CONFIG["num_decoder_layers"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5, blocks)
    for name, value in model.state_dict().items():
        if "embed_tokens" in name:
            continue
        data = value.numpy()
        writer.add_tensor(
            names.get_name(name, try_suffixes=(".weight",)),
            data if value.dim() == 1 else data.astype(numpy.float16),
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    tokenizer = T5TokenizerFast(vocab_file=str(SPIECE), add_prefix_space=True)
    examples = []
    for text, answer in EXAMPLES:
        batch = tokenizer(text, return_tensors="pt")
        labels = tokenizer(answer, return_tensors="pt").input_ids
        with torch.no_grad():
            loss = model(**batch, labels=labels).loss.item()
        examples.append({"input": text, "output": answer, "ids": batch.input_ids[0].tolist(), "loss": loss})
    (OUT / "expected.json").write_text(json.dumps({"examples": examples}, ensure_ascii=False, indent=1) + "\n")
    print([example["loss"] for example in examples])


if __name__ == "__main__":
    main()
