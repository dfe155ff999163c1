"""The whole training pipeline at its smallest scale, and what comes out of it.

Run with ``python -m unittest discover tests/train`` in an environment with
``pkg-scripts/train/requirements.txt``. Nothing of the pipeline is mocked.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy
import torch
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "pkg-scripts"))

from train.evaluate import Composer, make_runs  # noqa: E402
from train.export import read_base  # noqa: E402
from train.library import read_library  # noqa: E402
from train.prompts import FACTORS, wordings_of  # noqa: E402
from train.registry import draw_task  # noqa: E402
from train.tasks import (  # noqa: E402
    BASE_SKILLS,
    MODULE_SKILLS,
    MODULES,
    UNSEEN_TASKS,
    draw_base,
    draw_module,
    may_train,
)


class TinyLibrary(unittest.TestCase):
    """One run of ``train-library --scale tiny`` and what it left."""

    folder: tempfile.TemporaryDirectory[str]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.library = Path(cls.folder.name) / "library"
        command = [
            *(sys.executable, "-m", "train", "--scale", "tiny", "--threads", "1"),
            *("--work", cls.folder.name, "--evaluate", "none"),
        ]
        subprocess.run(command, check=True, cwd=ROOT / "pkg-scripts", stdout=subprocess.DEVNULL)
        cls.registry = json.loads((cls.library / "registry.json").read_text(encoding="utf-8"))
        cls.tokenizer = Tokenizer.from_file(str(cls.library / "base" / "tokenizer.json"))

    def _loss(self, model: torch.nn.Module, example: dict[str, str]) -> float:
        ids = torch.tensor([self.tokenizer.encode(example["input"]).ids])
        labels = torch.tensor([self.tokenizer.encode(example["output"]).ids])
        with torch.no_grad():
            return model(input_ids=ids, labels=labels).loss.item()

    def test_files_have_the_registry_s_sizes_and_hashes(self) -> None:
        files = [*self.registry["bases"][0]["files"].values()]
        files += [file for module in self.registry["modules"] for file in module["files"].values()]
        files += [task["test"] for task in self.registry["tasks"]]
        self.assertGreater(len(files), 70)
        for file in files:
            data = (self.library / file["path"]).read_bytes()
            self.assertEqual(len(data), file["bytes"], file["path"])
            self.assertEqual(hashlib.sha256(data).hexdigest(), file["sha256"], file["path"])

    def test_tokenizer_loads_in_transformers_and_keeps_latin_text(self) -> None:
        loaded = AutoTokenizer.from_pretrained(self.library / "base")
        for text in ("Find the animal: dog, chair", "naïve {x} ÿ~", "", "a\n\tb  c", "世界 🦊"):
            ids = self.tokenizer.encode(text).ids
            self.assertEqual(loaded(text).input_ids, ids)
            self.assertEqual(ids[-1], 1)
            if text.isascii() or "ÿ" in text:
                self.assertNotIn(2, ids)
                self.assertEqual(self.tokenizer.decode(ids), " ".join(text.split()))

    def test_a_module_changes_the_loss_in_peft_and_zero_weights_do_not(self) -> None:
        example = self.registry["tasks"][0]["examples"][0]
        base = read_base(self.library / "base")
        before = self._loss(base, example)
        self.assertTrue(math.isfinite(before))
        module = self.library / "modules" / MODULES[0].id
        with_module = PeftModel.from_pretrained(base, module)
        after = self._loss(with_module, example)
        self.assertGreater(abs(after - before), 1e-4)
        with with_module.disable_adapter():
            self.assertAlmostEqual(self._loss(with_module, example), before, places=5)

    def test_composition_equals_peft_s_concatenated_modules(self) -> None:
        names = [MODULES[0].id, MODULES[-1].id]
        folders = [self.library / "modules" / name for name in names]
        base = read_base(self.library / "base")
        peft = PeftModel.from_pretrained(base, folders[0], adapter_name="first")
        peft.load_adapter(folders[1], adapter_name="second")
        peft.add_weighted_adapter(["first", "second"], [0.7, 0.4], "both", combination_type="cat")
        peft.set_adapter("both")

        library = read_library(self.library)
        run = make_runs(library.tasks[:1], 1)[0]
        weights = numpy.zeros((1, len(library.modules)))
        weights[0, [library.modules.index(name) for name in names]] = 0.7, 0.4
        losses, tokens = Composer(library, [run]).example_losses(weights, "delta")
        for example, loss, count in zip(run.examples, losses[0], tokens[0], strict=True):
            source, answer = example
            self.assertEqual(count, len(self.tokenizer.encode(answer).ids))
            expected = self._loss(peft, {"input": source, "output": answer})
            self.assertAlmostEqual(loss, expected, places=4)

    def test_tasks_have_distinct_items_and_five_examples(self) -> None:
        for task in self.registry["tasks"]:
            lines = (self.library / task["test"]["path"]).read_text(encoding="utf-8").splitlines()
            inputs = {json.loads(line)["input"] for line in lines}
            self.assertEqual(len(inputs), len(lines))
            self.assertGreaterEqual(len(inputs), 100)
            self.assertEqual(len(task["examples"]), 5)
            self.assertFalse(inputs & {example["input"] for example in task["examples"]})

    def test_a_seed_s_examples_are_not_scored(self) -> None:
        task = read_library(self.library).tasks[0]
        for seed in range(4):
            examples, items = task.draw(seed)
            self.assertEqual(len(examples), 5)
            self.assertGreaterEqual(len(items), 100)
            self.assertFalse(set(examples) & set(items))
        self.assertEqual(task.draw(0), (task.examples, task.items))


class HeldOut(unittest.TestCase):
    """What makes the unseen tasks unseen."""

    def test_no_unseen_combination_may_be_trained_on(self) -> None:
        for task in UNSEEN_TASKS:
            self.assertFalse(may_train(task.combination), task.id)

    def test_unseen_wordings_are_not_training_wordings(self) -> None:
        for task in UNSEEN_TASKS:
            for factor in FACTORS:
                wordings = wordings_of(factor, getattr(task.combination, factor))
                self.assertFalse((set(wordings.training) & set(wordings.unseen)) - {""}, task.id)

    def test_training_never_draws_an_unseen_question_with_its_answer(self) -> None:
        rng = random.Random(5)
        trained = {draw_base(rng) for _ in range(5_000)}
        trained |= {draw_module(rng, module) for module in MODULES for _ in range(200)}
        for task in UNSEEN_TASKS:
            examples, items = draw_task(task, 1)
            shared = trained & set(items + examples)
            self.assertFalse(shared, f"{task.id}: {sorted(shared)[:3]}")

    def test_some_skills_are_known_to_modules_only(self) -> None:
        self.assertFalse(set(BASE_SKILLS) & set(MODULE_SKILLS))


if __name__ == "__main__":
    unittest.main()
