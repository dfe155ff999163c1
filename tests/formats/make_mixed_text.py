"""Makes tests/formats/tokenizer/mixed_text.json: what transformers makes of 10,000 lines of mixed text, with each of
several T5 tokenizers.

Run with transformers 4.57, sentencepiece, protobuf and tokenizers installed, after make_tokenizer.py:
    python tests/formats/make_mixed_text.py [FOLDER]

With a folder that holds T5's own `tokenizer.json` and `spiece.model`, their tokenizations are written too, and the
lines are counted on which the reference disagrees with itself: its fast tokenizer with SentencePiece's own (`T5Tokenizer`).
Without it what was written of them before is left as it is.

The lines are put together by a small generator from the texts and ranges of `mixed_text.json`; the test of the crate has
the same generator. Of every 100 lines a SHA-256, cut to 16 digits, is kept: of the lines, each followed by a line break,
and for each tokenizer of `IDS<tab>DECODED<line break>` of each line.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

from transformers import T5Tokenizer, T5TokenizerFast

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OUT = HERE / "tokenizer" / "mixed_text.json"
LINES_PER_DIGEST = 100
# Tokenizers of the tree.
FILES = {
    "demo": "www/site/public/library/base/tokenizer.json",
    "narrow-tied": "tests/golden/models/narrow-tied/tokenizer.json",
    "published": "tests/formats/tokenizer/published.json",
    "converted": "tests/formats/tokenizer/converted.json",
    "first": "tests/formats/tokenizer/first.json",
    "never": "tests/formats/tokenizer/never.json",
}


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        mask = 2**64 - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return (z ^ (z >> 31)) % limit


def part(pool, random):
    if "texts" in pool:
        return pool["texts"][random.below(len(pool["texts"]))]
    if "repeated" in pool:
        text = pool["repeated"][random.below(len(pool["repeated"]))]
        return text * (1 + random.below(pool["most"]))
    low, high = pool["ranges"][random.below(len(pool["ranges"]))]
    return "".join(chr(low + random.below(high - low + 1)) for _ in range(1 + random.below(pool["most"])))


def mixed_lines():
    recipe = json.loads((HERE / "mixed_text.json").read_text(encoding="utf-8"))
    random = Random(recipe["seed"])
    pools = [pool for pool in recipe["pools"] for _ in range(pool["weight"])]
    for _ in range(recipe["lines"]):
        count = 1 + random.below(recipe["most_parts"])
        yield "".join(part(pools[random.below(len(pools))], random) for _ in range(count))


def digests(texts):
    blocks = [texts[start : start + LINES_PER_DIGEST] for start in range(0, len(texts), LINES_PER_DIGEST)]
    return [hashlib.sha256("".join(f"{text}\n" for text in block).encode()).hexdigest()[:16] for block in blocks]


def encodings(tokenizer, lines):
    """Token ids and the text that they decode to, of every line."""
    ids = [tokenizer(line).input_ids for line in lines]
    decoded = [
        tokenizer.decode(one, skip_special_tokens=True, clean_up_tokenization_spaces=False) for one in ids
    ]
    return [" ".join(map(str, one)) + "\t" + text for one, text in zip(ids, decoded)]


def other_forms(file):
    """A tokenizer.json in the other forms in which T5's are published: with whitespace split away before the words are
    marked, as with the first T5, and with runs of spaces made one, as transformers converted them in 2022."""
    mark = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    [charsmap] = [step for step in file["normalizer"]["normalizers"] if step["type"] == "Precompiled"]
    collapse = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    return {
        "split": file | {
            "normalizer": charsmap,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, mark]},
            "decoder": mark,
        },
        "collapsed": file | {
            "normalizer": {"type": "Sequence", "normalizers": [charsmap, collapse]},
            "pre_tokenizer": mark,
            "decoder": mark,
        },
    }


def from_json(file):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        path.write_text(json.dumps(file), encoding="utf-8")
        return T5TokenizerFast(tokenizer_file=str(path))


def converted(spiece):
    """The tokenizer.json that transformers makes of a spiece.model. It holds the scores as texts, which are read back with
    an error in the last bit now and then: enough to decide between two cuts of a text whose scores are the same."""
    fast = T5TokenizerFast(vocab_file=str(spiece), add_prefix_space=True)
    return from_json(json.loads(fast.backend_tokenizer.to_str()))


def tell_disagreements(lines, reference, others):
    """Prints on how many lines other forms of the reference disagree with it, and on which first."""
    expected = [reference(line).input_ids for line in lines]
    for name, tokenizer in others.items():
        different = [number for number, line in enumerate(lines) if tokenizer(line).input_ids != expected[number]]
        print(f"{name}: {len(different)} of {len(lines)} lines differ from tokenizer.json, the first {different[:6]}")


def main():
    lines = list(mixed_lines())
    result = json.loads(OUT.read_text()) if OUT.exists() else {}
    result["lines"] = digests(lines)
    made = result.setdefault("tokenizers", {})
    # Without sentinels but those that the file itself has.
    tokenizers = {
        name: T5TokenizerFast(tokenizer_file=str(ROOT / path), extra_ids=0) for name, path in FILES.items()
    }
    tokenizers["spiece"] = converted(HERE / "tokenizer" / "spiece.model")
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        spiece = str(folder / "spiece.model")
        forms = {f"t5-{name}": from_json(form) for name, form in other_forms(file).items()}
        tokenizers["t5"] = from_json(file)
        others = forms | {
            "spiece.model, fast, never written as JSON": T5TokenizerFast(vocab_file=spiece, add_prefix_space=True),
            "spiece.model, fast, written as JSON": converted(spiece),
            "spiece.model, slow, legacy": T5Tokenizer(spiece, legacy=True),
            "spiece.model, slow, legacy=False": T5Tokenizer(spiece, legacy=False),
        }
        tell_disagreements(lines, tokenizers["t5"], others)
        tokenizers |= forms
    for name, tokenizer in tokenizers.items():
        made[name] = digests(encodings(tokenizer, lines))
    OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
