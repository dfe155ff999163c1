"""The merges that are compared in docs/composing.md against PEFT's own ``add_weighted_adapter``."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "pkg-scripts"))

from train.merges import DENSITY, NAMES, merged  # noqa: E402

RANK = 3
ADAPTERS = ("first", "second")
WEIGHTS = [0.7, 1.5]


class MergesEqualPeft(unittest.TestCase):
    """On a layer with two random adapters."""

    def test_every_kind_without_random_pruning(self) -> None:
        torch.manual_seed(7)
        # PEFT counts the scaling twice where it merges updates, so it is 1 here.
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["0"])
        model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(11, 13, bias=False)), config, "first")
        model.add_adapter("second", config)
        layer = model.base_model.model[0]
        for name in ADAPTERS:
            for side in (layer.lora_A, layer.lora_B):
                torch.nn.init.normal_(side[name].weight)
        sides = [[side[name].weight.data for name in ADAPTERS] for side in (layer.lora_A, layer.lora_B)]
        for kind in NAMES:
            if "dare" in kind:
                continue
            with self.subTest(kind):
                density = None if kind in ("cat", "linear", "svd") else DENSITY
                model.add_weighted_adapter(list(ADAPTERS), WEIGHTS, kind, kind, density=density)
                expected = layer.get_delta_weight(kind)
                found = merged(*sides, WEIGHTS, kind)
                self.assertLess((found - expected).norm() / expected.norm(), 1e-5)


if __name__ == "__main__":
    unittest.main()
