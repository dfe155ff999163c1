"""LoraHub's experiment on BIG-Bench Hard, in Python: the list of the benchmark's files
(crate/cli/src/evaluate/bbh.json) and what the command line is compared with (bbh.json beside this file).

    python make_bbh.py BIG_BENCH_HARD TOKENIZER LORAHUB

BIG_BENCH_HARD is a folder with the tasks' files and their prompts in ``cot-prompts`` (commit 9ee07bd),
TOKENIZER a ``tokenizer.json`` of T5, LORAHUB a clone of sail-sg/lorahub (commit df73afe). The fixture holds
hashes of prompts, none of the benchmark's text. ``examples_of``, ``modules_of`` and ``accuracy`` follow
``reproduce_bbh.py`` and ``lorahub/algorithm.py`` of the clone line by line; the form of the prompts is that
of ``example.py``, whose prompts are in the fixture too."""

import ast
import hashlib
import json
import random
import sys
from pathlib import Path

from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
CRATE = HERE.parent.parent / "crate/cli/src/evaluate"
LORAHUB = json.loads((CRATE / "lorahub.json").read_text())
MODULE_NAMES = [module["id"] for module in LORAHUB["modules"]]

METRIC = [
    ("(A)", "(A)"), ("(a)", "(A)"), (" (A)\n", "(A)"), ("A", "(A)"), ("(A).", "(A)"), ("yes", "Yes"),
    ("No.", "no"), ("the U.S.", "The US"), ("the us .", "the us"), ("the us", "the us ."), ("", "."),
    ("", ""), ("] }", "] }"), ("]  }", "] }"), ("\u3000ja\u00a0", "JA"), ("STRASSE", "straße"),
    ("ΟΔΟΣ", "οδος"), ("İ", "i̇"), ("1.5", "15"), ("-5", "-5.0"), ("a\tb", "a b"), ("\ufeffyes", "yes"),
]  # fmt: skip


def sha256(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def listed(path: Path, name: str) -> dict:
    contents = path.read_bytes()
    digest = hashlib.sha256(contents).hexdigest()
    return {"path": name, "bytes": len(contents), "sha256": digest}


def examples_of(items: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The five examples of a task, as ``evaluate_lorahub_results_few_shot`` draws them."""
    random.seed(42)
    shuffled = list(items)
    random.shuffle(shuffled)
    return shuffled[:5]


def modules_of(seed: int) -> list[str]:
    """The modules of a draw, as there."""
    random.seed(seed)
    return random.sample(MODULE_NAMES, 20)


def accuracy(outputs: list[str], truths: list[str]) -> float:
    """``accuracy_score`` of ``lorahub_inference``."""
    correct = 0
    for output, truth in zip(outputs, truths, strict=True):
        if output.strip().lower().replace(".", "") == truth.strip().lower().replace(".", ""):
            correct += 1
    return correct / len(outputs) * 100


def published_prompts(lorahub: Path) -> list[str]:
    """Hashes of the prompts and outputs that ``example.py`` spells out, all of date understanding."""
    functions = {
        node.name: node
        for node in ast.parse((lorahub / "example.py").read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    hashes = []
    for name in ("get_examples_for_learning", "get_examples_for_inference"):
        (returned,) = (node for node in functions[name].body if isinstance(node, ast.Return))
        pairs = ast.literal_eval(returned.value)
        hashes += [sha256([pair["input"], pair["output"]]) for pair in pairs]
    return hashes


def main() -> None:
    benchmark, tokenizer, lorahub = (Path(path) for path in sys.argv[1:])
    tokenizer = Tokenizer.from_file(str(tokenizer))
    files, tasks = [], {}
    for path in sorted(benchmark.glob("*.json")):
        name = path.stem
        prompt = benchmark / "cot-prompts" / f"{name}.txt"
        canary, dashes, description = prompt.read_text().split("\n")[:3]
        assert canary.startswith("BENCHMARK DATA") and set(dashes) == {"-"}
        questions = [(one["input"], one["target"]) for one in json.loads(path.read_text())["examples"]]
        places = examples_of(list(enumerate(questions)))
        drawn = [place for place, _ in places]
        shots = "".join(f"Q: {question}\nA: {answer}\n\n" for _, (question, answer) in places)
        prompted = [f"{description}\n\nQ: {question}\nA:" for question, _ in questions]
        tested = [place for place in range(len(questions)) if place not in drawn]
        tasks[name] = {
            "examples": sha256([text for i in drawn for text in (prompted[i], questions[i][1])]),
            "items": sha256([text for i in tested for text in (prompted[i], questions[i][1])]),
            "in_context": sha256(
                [f"{description}\n\n{shots}Q: {questions[i][0]}\nA:" for i in tested]
            ),
        }
        files.append({
            "id": name,
            "items": len(questions),
            "tokens": sum(len(tokenizer.encode(text).ids) for text in prompted),
            "questions": listed(path, f"bbh/{name}.json"),
            "prompt": listed(prompt, f"cot-prompts/{name}.txt"),
        })  # fmt: skip
    # Lists of other lengths are drawn from in other ways.
    samples = []
    for count in (5, 20, 21, 30, 85, 86, 196, 1000):
        random.seed(count)
        samples.append([count, random.sample(range(count), min(count, 20))])
    fixture = {
        "tasks": tasks,
        "draws": [modules_of(seed) for seed in range(1, 6)],
        "samples": samples,
        "metric": [[a, b, accuracy([a], [b]) == 100] for a, b in METRIC],
        "published_prompts": published_prompts(lorahub),
    }
    rows = ",\n".join(json.dumps(file) for file in files)
    (CRATE / "bbh.json").write_text(f"[\n{rows}\n]\n")
    (HERE / "bbh.json").write_text(json.dumps(fixture, indent=1) + "\n")


if __name__ == "__main__":
    main()
