"""A library as it ships, read back into PyTorch.

Owns the way from ``registry.json`` to a base, its adapters side by side and its unseen tasks. Any
library in the project's format can be read, not only the demo.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import T5ForConditionalGeneration

from .export import read_base
from .model import Example, GroupedLinear, group_linears
from .modules import Adapters


@dataclass(frozen=True)
class Task:
    """An unseen task with its few-shot examples and its test items."""

    id: str
    set: str
    instruction_shown: bool
    examples: list[Example]
    items: list[Example]

    def draw(self, seed: int) -> tuple[list[Example], list[Example]]:
        """Few-shot examples and the items to score. Seed 0 has the shipped examples; seed ``s``
        takes the ``s``-th handful of the test items instead and does not score those."""
        if seed == 0:
            return self.examples, self.items
        count = len(self.examples)
        start = (seed - 1) * count
        if start + count > len(self.items):
            raise ValueError(f"{self.id} has too few test items for seed {seed}")
        chosen = self.items[start : start + count]
        return chosen, self.items[:start] + self.items[start + count :]


@dataclass(frozen=True)
class Library:
    """A base whose linear layers can hold adapters, the modules, and the tasks."""

    model: T5ForConditionalGeneration
    layers: dict[str, GroupedLinear]
    tokenizer: Tokenizer
    modules: list[str]
    adapters: Adapters
    tasks: list[Task]


def read_library(folder: Path) -> Library:
    """Reads everything that ``registry.json`` in ``folder`` names, for its first base."""
    registry = json.loads((folder / "registry.json").read_text(encoding="utf-8"))
    base = registry["bases"][0]
    model = read_base((folder / base["files"]["weights"]["path"]).parent)
    layers = group_linears(model)
    modules = [module for module in registry["modules"] if module["base"] == base["id"]]
    return Library(
        model,
        layers,
        Tokenizer.from_file(str(folder / base["files"]["tokenizer"]["path"])),
        [module["id"] for module in modules],
        _read_adapters(folder, [module["files"] for module in modules], layers),
        [_read_task(folder, task) for task in registry["tasks"]],
    )


def _read_adapters(
    folder: Path, modules: list[dict[str, dict[str, str]]], layers: dict[str, GroupedLinear]
) -> Adapters:
    """The modules side by side. Ranks are padded with zeros to the largest, and each module's
    scaling is moved into its ``lora_b``."""
    configs = [json.loads((folder / files["config"]["path"]).read_text()) for files in modules]
    weights = [load_file(folder / files["weights"]["path"]) for files in modules]
    rank = max(config["r"] for config in configs)
    lora_a: dict[str, Tensor] = {}
    lora_b: dict[str, Tensor] = {}
    for name, layer in layers.items():
        d_out, d_in = layer.weight.shape
        sides_a, sides_b = [], []
        for config, tensors in zip(configs, weights, strict=True):
            prefix = f"base_model.model.{name}"
            if f"{prefix}.lora_A.weight" not in tensors:
                sides_a.append(torch.zeros(rank, d_in))
                sides_b.append(torch.zeros(d_out, rank))
                continue
            missing = rank - config["r"]
            side_a = tensors[f"{prefix}.lora_A.weight"].float()
            side_b = tensors[f"{prefix}.lora_B.weight"].float() * (
                config["lora_alpha"] / config["r"]
            )
            sides_a.append(functional.pad(side_a, (0, 0, 0, missing)))
            sides_b.append(functional.pad(side_b, (0, missing)))
        lora_a[name], lora_b[name] = torch.stack(sides_a), torch.stack(sides_b)
    return Adapters(lora_a, lora_b, scaling=1.0)


def _read_task(folder: Path, task: dict) -> Task:
    lines = (folder / task["test"]["path"]).read_text(encoding="utf-8").splitlines()
    return Task(
        task["id"],
        task["set"],
        task["instruction_shown"],
        [(example["input"], example["output"]) for example in task["examples"]],
        [(item["input"], item["output"]) for item in map(json.loads, lines)],
    )
