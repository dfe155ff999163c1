"""The engine against PyTorch on the shipped weights: the same losses, answers and tuning.

Needs the ``loraloom`` command, named by LORALOOM; ``pkg-scripts/test`` builds it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy
import torch

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "www" / "site" / "public" / "library"
sys.path.insert(0, str(ROOT / "pkg-scripts"))

from train.evaluate import Composer, Run  # noqa: E402
from train.library import read_library  # noqa: E402
from train.model import MAX_NEW_TOKENS, Example, chunks, generate, matches  # noqa: E402
from train.modules import use  # noqa: E402
from train.tuning import EFFORTS, Effort, stacked, tune  # noqa: E402

# The base alone, and two compositions: modules with their weights, and the merge.
COMPOSITIONS: tuple[tuple[dict[str, float], str], ...] = (
    ({}, "delta"),
    ({"pick-job": 0.9, "french": 0.8, "brackets": -0.2}, "delta"),
    ({"previous-month": 1.0, "arrow": 0.7}, "lorahub"),
)
ITEM_STEP = 4
BATCH = 200


@unittest.skipUnless(os.environ.get("LORALOOM"), "LORALOOM does not name the loraloom command")
class EngineEqualsPyTorch(unittest.TestCase):
    """In f32, on the library that the site shows."""

    @classmethod
    def setUpClass(cls) -> None:
        torch.set_num_threads(1)
        cls.library = read_library(LIBRARY)
        cls.examples = [example for task in cls.library.tasks for example in task.examples]
        cls.items = [item for task in cls.library.tasks for item in task.items[::ITEM_STEP]]

    def _engine(
        self,
        command: str,
        examples: list[Example],
        composition: tuple[dict[str, float | str], str | None],
        *options: str,
    ) -> dict:
        weights, merge = composition
        adapters = [f"--adapter={LIBRARY / 'modules' / m}={w}" for m, w in weights.items()]
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            for source, answer in examples:
                file.write(json.dumps({"input": source, "output": answer}) + "\n")
            file.flush()
            arguments = [
                *(os.environ["LORALOOM"], "--json", command, "--model", str(LIBRARY / "base")),
                *("--precision", "f32", "--examples", file.name),
                *(() if merge is None else ("--merge", merge)),
                *adapters,
                *options,
            ]
            done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)

    def _composer(
        self, composition: tuple[dict[str, float], str], examples: list[Example]
    ) -> tuple[Composer, numpy.ndarray]:
        weights = numpy.zeros((1, len(self.library.modules)))
        for module, weight in composition[0].items():
            weights[0, self.library.modules.index(module)] = weight
        run = Run(self.library.tasks[0], 0, examples, [])
        return Composer(self.library, [run]), weights

    def test_losses_are_within_a_ten_thousandth(self) -> None:
        for composition in COMPOSITIONS:
            with self.subTest(composition=composition):
                composer, weights = self._composer(composition, self.examples)
                expected, tokens = composer.example_losses(weights, composition[1])
                scored = self._engine("score", self.examples, composition)["examples"]
                self.assertEqual([row["tokens"] for row in scored], tokens[0].tolist())
                for row, loss, example in zip(scored, expected[0], self.examples, strict=True):
                    # Of a loss above 1 it is the part, as of any number in f32.
                    self.assertLess(abs(row["loss"] - loss), 1e-4 * max(1.0, loss), example)

    def test_answers_and_exact_match_counts_are_the_same(self) -> None:
        for composition in COMPOSITIONS:
            with self.subTest(composition=composition):
                composer, weights = self._composer(composition, [])
                expected: list[str] = []
                with composer.applied(weights, composition[1]):
                    for part in chunks(len(self.items), BATCH):
                        sources = [source for source, _ in self.items[part]]
                        expected += generate(self.library.model, self.library.tokenizer, sources)
                limit = ("--max-new-tokens", str(MAX_NEW_TOKENS))
                outputs = self._engine("generate", self.items, composition, *limit)["outputs"]
                found = [output["text"] for output in outputs]
                self.assertEqual(found, expected)
                right = sum(matches(found, self.items))
                self.assertEqual(right, sum(matches(expected, self.items)))

    def test_tuning_ends_at_the_loss_that_pytorch_ends_at(self) -> None:
        groups = ("encoder", "decoderSelfAttention", "decoderCrossAttention", "decoderFeedForward")
        weights = {"pick-job": (1.5, 1.0, 1.25, 0.5), "french": (1.0, 1.0, 1.0, 1.0)}
        task = self.library.tasks[0]
        run = Run(task, 0, task.examples, [])
        by_group = {
            module: dict(zip(groups, values, strict=True)) for module, values in weights.items()
        }
        texts = {module: ",".join(map(str, values)) for module, values in weights.items()}
        with tempfile.TemporaryDirectory() as out:
            options = ("--effort", "quick", "--out", out)
            found = self._engine("tune", task.examples, (texts, None), *options)
        quick = EFFORTS["quick"]
        for effort, field in ((Effort(0, quick.rate), "loss_start"), (quick, "loss")):
            adapters = stacked(self.library, [by_group])
            [expected] = tune(self.library, adapters, [run], effort)
            use(self.library.layers, None)
            self.assertLess(abs(found[field] - expected), 1e-3 * expected, field)


if __name__ == "__main__":
    unittest.main()
