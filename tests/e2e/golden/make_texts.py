#!/usr/bin/env python3
"""Makes texts.json: what Hugging Face transformers and PEFT answer to texts, with the models and
adapters of tests/golden/models, for the comparison in the browser.

  {MODEL: [{merge, adapters, weights, examples: [{input, output, loss, tokens, text}]}]}

`loss` is the mean cross-entropy of the output's tokens, `text` the greedy answer and `tokens` its
length with the end marker. Examples on whose greedy path two logits nearly tie are left out.

Run with transformers 4.57 and peft 0.17, after tests/golden/make_models.py and make_family.py, with the
names of models to make those alone.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from transformers import AutoModelForSeq2SeqLM, ByT5Tokenizer

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1] / "golden"))
import make_models  # noqa: E402

TEXTS = [text for text in make_models.TEXTS if text]
LONG = " ".join(make_models.TEXTS[1:3] * 6)
PAIRS = [
    (TEXTS[0], "cold river"),
    (TEXTS[1], TEXTS[2]),
    (TEXTS[2], "дом"),
    (TEXTS[3], "a"),
    (TEXTS[4], TEXTS[0]),
    (TEXTS[5], "水"),
    (LONG, TEXTS[1]),
]


def tokenizer_of(folder):
    """Functions from a text to ids, and back without special tokens."""
    if not (folder / "tokenizer.json").exists():
        tokenizer = ByT5Tokenizer.from_pretrained(folder)
        return (lambda text: tokenizer(text).input_ids,
                lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return (lambda text: tokenizer.encode(text).ids,
            lambda ids: tokenizer.decode(ids, skip_special_tokens=True))


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    path = HERE / "texts.json"
    made = json.loads(path.read_text())["models"] if path.exists() else {}
    for name in sys.argv[1:] or sorted(folder.name for folder in make_models.ROOT.iterdir()):
        folder = make_models.ROOT / name
        encode, decode = tokenizer_of(folder)
        base = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
        made[name] = []
        for case in json.loads((folder / "expected.json").read_text())["cases"]:
            folders = [folder / "adapters" / adapter for adapter in case["adapters"]]
            model = {
                None: lambda: base,
                "lorahub": lambda: make_models.with_lorahub_merge(base, folders, case["weights"]),
                "delta": lambda: make_models.with_delta_merge(base, folders, case["weights"]),
            }[case["merge"]]()
            examples = []
            for text_in, text_out in PAIRS:
                ids = [encode(text) for text in (text_in, text_out)]
                try:
                    (answer,) = make_models.answers(model, ids[:1], ids[1:])
                except make_models.NearTie:
                    continue
                examples.append({
                    "input": text_in, "output": text_out, "loss": answer["loss"],
                    "tokens": len(answer["greedy"]),
                    "text": decode(answer["greedy"]),
                })
            made[name].append({key: case[key] for key in ("merge", "adapters", "weights")}
                              | {"examples": examples})
            print(name, case["name"], len(examples), len(encode(LONG)))
    text = json.dumps({"max_new_tokens": make_models.MAX_NEW_TOKENS, "models": made},
                      ensure_ascii=False, indent=1)
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
