"""Makes tests/formats/tokenizer/config_cases.json: what transformers encodes and decodes with a small tokenizer and a
tokenizer_config.json beside it.

cases   [{name, file, config, texts: [{text, ids, decoded}]}]   file is a tokenizer of tests/formats/tokenizer

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
    "a  <extra_id_1>  <extra_id_2> b", "the cat",
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
]


def case(name, file, config):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        shutil.copy(OUT / file, folder / ("spiece.model" if file == "spiece.model" else "tokenizer.json"))
        # The prefix is what the SentencePiece file asks for; transformers 4.57 forgets it where it is not given.
        config = config | ({"add_prefix_space": True} if file == "spiece.model" else {})
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        (folder / "config.json").write_text('{"model_type": "t5"}')
        tokenizer = AutoTokenizer.from_pretrained(folder)
        texts = []
        for text in TEXTS:
            ids = tokenizer(text).input_ids
            texts.append({"text": text, "ids": ids, "decoded": tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)})
        return {"name": name, "file": file, "config": config, "texts": texts}


if __name__ == "__main__":
    cases = [case(*one) for one in CASES]
    text = "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in cases) + "\n]\n"
    (OUT / "config_cases.json").write_text(text)
