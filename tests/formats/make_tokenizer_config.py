"""Makes tests/formats/tokenizer/config_cases.json: what transformers encodes and decodes with a small tokenizer and a
tokenizer_config.json, and perhaps other files, beside it.

cases   [{name, file, config, special_tokens_map, added_tokens, texts: [{text, ids, decoded}]}]
        file is a tokenizer of tests/formats/tokenizer; the two files beside it are null where there are none

Run with transformers 4.57, sentencepiece and tokenizers installed:
    python tests/formats/make_tokenizer_config.py
"""

import json
import shutil
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

OUT = Path(__file__).parent / "tokenizer"
TEXTS = [
    "the cat <extra_id_0> the dog.", "the cat<extra_id_0>the", " sea  <sea> the sea", "the <item> cat", "the </s> cat",
    "a  <extra_id_1>  <extra_id_2> b", "the cat", "the , cat . a ' b do n't the 's cat ?", "<sea>the <item>cat",
]


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False,
            "special": False} | flags


def decoder(**flags):
    """The added tokens of converted.json, its sentinels with these flags."""
    file = json.loads((OUT / "converted.json").read_text())
    tokens = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in file["added_tokens"]}
    return {id: t | (flags if "extra_id" in t["content"] else {}) for id, t in tokens.items()}


FAST, SLOW = {"tokenizer_class": "T5TokenizerFast", "extra_ids": 4}, {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
SENTINELS = [f"<extra_id_{number}>" for number in range(4)]
NAMED = {"additional_special_tokens": SENTINELS}
CASES = [
    ("lstrip in the config", "converted.json", FAST | NAMED | {"added_tokens_decoder": decoder(lstrip=True)}),
    ("rstrip in the config", "converted.json", FAST | NAMED | {"added_tokens_decoder": decoder(rstrip=True)}),
    ("normalized in the config", "converted.json", FAST | NAMED | {"added_tokens_decoder": decoder(normalized=True)}),
    ("not special in the config", "converted.json", FAST | {"additional_special_tokens": [],
     "added_tokens_decoder": decoder(special=False)}),
    ("no flag in the config", "first.json", FAST | NAMED | {"added_tokens_decoder": decoder()}),
    ("a special token", "converted.json", FAST | {"additional_special_tokens": SENTINELS + ["<sea>"]}),
    ("special tokens, one twice", "converted.json",
     FAST | {"additional_special_tokens": SENTINELS + ["<sea>", "<item>", "<sea>"], "sep_token": "<item>"}),
    ("a special token with flags", "converted.json",
     FAST | {"additional_special_tokens": SENTINELS + [token("<sea>", lstrip=True) | {"__type": "AddedToken"}]}),
    ("a piece as a special token", "converted.json", FAST | {"additional_special_tokens": SENTINELS + ["the"]}),
    ("special tokens by name", "converted.json", FAST | {"extra_special_tokens": {"sea_token": "<sea>"}}),
    ("another end in the config", "converted.json", FAST | NAMED | {"eos_token": "<extra_id_0>"}),
    ("spiece and a special token", "spiece.model", SLOW | {"additional_special_tokens": ["<sea>"]}),
    ("spiece and another end", "spiece.model", SLOW | {"eos_token": "<extra_id_0>"}),
    ("spiece of the new behaviour", "spiece.model", SLOW | NAMED | {"extra_ids": 4, "legacy": False}),
    ("spiece without a prefix", "spiece.model", SLOW | NAMED | {"extra_ids": 4, "add_prefix_space": False}),
    ("spaces that are cleaned up", "converted.json", FAST | NAMED | {"clean_up_tokenization_spaces": True}),
    ("special tokens that are split", "converted.json", FAST | NAMED | {"split_special_tokens": True}),
    ("a special token in the map", "converted.json", FAST, {"additional_special_tokens": SENTINELS + ["<sea>"],
     "sep_token": token("<item>", lstrip=True)}),
    ("special tokens in both", "converted.json", FAST | {"additional_special_tokens": SENTINELS + ["<sea>"],
     "sep_token": "the"}, {"additional_special_tokens": ["<item>"], "sep_token": "cat"}),
    ("a map beside a decoder", "converted.json", FAST | NAMED | {"added_tokens_decoder": decoder()},
     {"additional_special_tokens": SENTINELS + ["<sea>"]}),
    ("spiece and a map", "spiece.model", SLOW, {"additional_special_tokens": ["<sea>"]}),
    ("spiece, a map and an added token", "spiece.model", SLOW, {"additional_special_tokens": ["<sea>"]},
     {"<sea>": 111, "<item>": 110}),
    ("bytes and special tokens", None, {"tokenizer_class": "ByT5Tokenizer", "sep_token": "<sea>"}),
    ("bytes and a map", None, {"tokenizer_class": "ByT5Tokenizer", "clean_up_tokenization_spaces": True},
     {"sep_token": "<sea>", "mask_token": token("<item>", rstrip=True)}),
    ("bytes that are split", None, {"tokenizer_class": "ByT5Tokenizer", "split_special_tokens": True}),
]


def case(name, file, config, special_tokens_map=None, added_tokens=None):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if file:
            shutil.copy(OUT / file, folder / ("spiece.model" if file == "spiece.model" else "tokenizer.json"))
        # The prefix is what the SentencePiece file asks for; transformers 4.57 forgets it where it is not given.
        config = ({"add_prefix_space": True} if file == "spiece.model" else {}) | config
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        beside = {"special_tokens_map": special_tokens_map, "added_tokens": added_tokens}
        for other, contents in beside.items():
            if contents is not None:
                (folder / f"{other}.json").write_text(json.dumps(contents))
        (folder / "config.json").write_text('{"model_type": "t5"}')
        tokenizer = AutoTokenizer.from_pretrained(folder)
        texts = []
        for text in TEXTS:
            ids = tokenizer(text).input_ids
            texts.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
        return {"name": name, "file": file, "config": config} | beside | {"texts": texts}


if __name__ == "__main__":
    cases = [case(*one) for one in CASES]
    text = "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in cases) + "\n]\n"
    (OUT / "config_cases.json").write_text(text)
