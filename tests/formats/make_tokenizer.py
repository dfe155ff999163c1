"""Makes tests/formats/tokenizer: small T5 tokenizers, and what transformers encodes and decodes.

Run with transformers 4.57, sentencepiece and tokenizers installed:
    python tests/formats/make_tokenizer.py [T5_TOKENIZER_JSON]

With the path of T5's own tokenizer.json, its encodings are written too (`t5_cases.json`); the file
itself is not kept in the tree.
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import sentencepiece
from transformers import T5TokenizerFast

OUT = Path(__file__).parent / "tokenizer"

# A character map of a few rules keeps the fixture small; T5's own has the whole of NFKC.
RULES = {
    "\u00a0": " ", "\t": " ", "\n": " ", "\r": " ", "\u3000": " ", "\u200b": "",
    "\uff21": "A", "\uff22": "B", "\ufb01": "fi", "e\u0301": "\u00e9", "\u00bd": "1\u20442",
    "\u2460": "1", "\ufdfa": "\u0635\u0644\u0649",
}

CORPUS = """The quick brown fox jumps over the lazy dog and looks for another dog to jump over.
Pick the animal from the list: cat, table, lamp. The answer is the cat, not the lamp.
Où est la bibliothèque? Elle est près de la gare, à côté du café.
Die Straße ist schön, und das Wetter auch. Übermorgen wird es regnen.
Сколько стоит этот билет до города? Билет стоит сто рублей.
translate English to German: The house is wonderful. summarize: numbers 1 2 3 10 200.
"""

TEXTS = [
    "", " ", "   ", "\t\n", "a", "the cat", "  the   cat  ", "The\u00a0cat", "the\tcat\nthe dog\r\n",
    "Où est le café?", "cafe\u0301", "e\u0301e\u0301", "Straße schön Übermorgen", "Сколько стоит билет",
    "日本語のテキスト", "한국어", "नमस्ते दुनिया", "مرحبا بالعالم", "\ufdfa", "😀😃 👩‍👩‍👧‍👦 🇩🇪", "\ufb01nd \uff21\uff22 \u00bd \u2460",
    "zero\u200bwidth", "\u3000ideographic\u3000space", "▁", "▁▁the", "a▁b", "</s>", "the </s> cat", "</s></s>",
    "<extra_id_0>", "the <extra_id_0> cat <extra_id_1>.", "<extra_id_0><extra_id_1>", "<extra_id_", "<pad><unk>",
    "  <extra_id_0>  the", "the<extra_id_0>the", "Q: 1 + 2 = ?\nA:", "x" * 300, "the " * 100, "\x00", "\x01\x7f",
    "\ufeffthe", "a\u0300\u0301\u0302\u0303", "...", "!!??", "10,000.00 €", "\U0010ffff", "ſ ﬀ ﷺ", " the", "the ",
]


def random_texts(count, seed):
    """Strings of mixed scripts, spaces and special tokens."""
    generator = random.Random(seed)
    ranges = [(0x20, 0x7E)] * 6 + [(0xA0, 0x24F), (0x300, 0x36F), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F)]
    ranges += [(0x1100, 0x11FF), (0x2000, 0x206F), (0x3040, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xAFFF)]
    ranges += [(0xFB00, 0xFFEF), (0x1F300, 0x1F64F)]
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(generator.randint(1, 12)):
            kind = generator.random()
            if kind < 0.1:
                parts.append(generator.choice(["</s>", "<extra_id_0>", "<pad>", "<unk>", "▁"]))
            elif kind < 0.4:
                parts.append(generator.choice([" ", "  ", "    ", "\u00a0", "\t", "\n"]))
            elif kind < 0.6:
                parts.append(generator.choice(CORPUS.split()))
            else:
                low, high = generator.choice(ranges)
                parts.append("".join(chr(generator.randint(low, high)) for _ in range(generator.randint(1, 5))))
        texts.append("".join(parts))
    return texts


def cases(tokenizer, texts):
    result = []
    for text in texts:
        ids = tokenizer(text).input_ids
        result.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    # Ids that no encoding gives: specials inside, out of the vocabulary, an unfinished word first.
    generator = random.Random(5)
    for _ in range(20):
        ids = [generator.randrange(len(tokenizer) + 5) for _ in range(generator.randint(0, 12))]
        result.append({"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    return result


def write(name, value):
    (OUT / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main():
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        rules = "".join(
            " ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n"
            for source, target in RULES.items()
        )
        (folder / "rules.tsv").write_text(rules)
        (folder / "corpus.txt").write_text(CORPUS, encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "corpus.txt"), model_prefix=str(folder / "spiece"), model_type="unigram",
            vocab_size=110, character_coverage=0.98, normalization_rule_tsv=str(folder / "rules.tsv"),
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1, minloglevel=2,
        )
        fast = T5TokenizerFast(vocab_file=str(folder / "spiece.model"), extra_ids=4)
        converted = json.loads(fast.backend_tokenizer.to_str())
        # The file itself, with the 100 sentinels that T5 adds. The prefix is what the file asks for
        # (`add_dummy_prefix`); transformers 4.57 forgets it where it is not given.
        shutil.copy(folder / "spiece.model", OUT / "spiece.model")
        fast = T5TokenizerFast(vocab_file=str(folder / "spiece.model"), add_prefix_space=True)
        write("spiece_cases.json", cases(fast, TEXTS + random_texts(60, 3)))

    charsmap = converted["normalizer"]["normalizers"][0]
    assert charsmap["type"] == "Precompiled"
    mark = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    variants = {
        # As published with google's models: the normaliser alone, whitespace split away first.
        "published": {
            "normalizer": charsmap,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
            ]},
            "decoder": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
        },
        # As transformers 4 converts spiece.model.
        "converted": {"pre_tokenizer": mark, "decoder": mark},
        # `legacy=False`: only the start of the text is marked; tokens that swallow the space around them, and
        # one that is looked for after normalisation and is not special.
        "first": {
            "pre_tokenizer": mark | {"prepend_scheme": "first"},
            "decoder": mark | {"prepend_scheme": "first"},
            "strip": True,
        },
        "never": {"pre_tokenizer": mark | {"prepend_scheme": "never"}, "decoder": mark | {"prepend_scheme": "never"}},
    }
    for name, changes in variants.items():
        file = json.loads(json.dumps(converted))
        strip = changes.pop("strip", False)
        file.update(changes)
        if strip:
            for token in file["added_tokens"]:
                token["lstrip"] = token["rstrip"] = token["content"].startswith("<extra_id_")
            file["added_tokens"].append({
                "id": len(file["model"]["vocab"]), "content": "\uff21\uff21 b", "single_word": False,
                "lstrip": False, "rstrip": False, "normalized": True, "special": False,
            })
        path = OUT / f"{name}.json"
        path.write_text(json.dumps(file, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")
        tokenizer = T5TokenizerFast(tokenizer_file=str(path), extra_ids=4)
        texts = TEXTS + random_texts(60, 1) + ["x AA b y", "\uff21\uff21 b<extra_id_0> the"]
        write(f"{name}_cases.json", cases(tokenizer, texts))

    if len(sys.argv) > 1:
        tokenizer = T5TokenizerFast(tokenizer_file=sys.argv[1])
        write("t5_cases.json", cases(tokenizer, TEXTS + random_texts(200, 2)))


if __name__ == "__main__":
    main()
