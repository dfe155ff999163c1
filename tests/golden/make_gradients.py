#!/usr/bin/env python3
"""Makes tests/golden/gradients/NAME.safetensors: for each model under models, or those named, the gradient of the
mean of its examples' losses with respect to A, B and the scales of a composition's LoRA branches, by
PyTorch's autograd in f64.

The composition is that of the case "delta 0" of expected.json, on its first five examples. A layer's branch
is `y += B · (scales ⊙ (A · x))` with the modules' matrices stacked, in the adapters' order. Tensors are
named LAYER.lora_a `[rank, d_in]`, LAYER.lora_b `[d_out, rank]` and LAYER.scales `[rank]`; `losses` holds
the examples' losses.

Run with transformers 4.57, peft 0.17.
"""

import copy
import json
import sys
from pathlib import Path

import torch
import transformers
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForSeq2SeqLM

HERE = Path(__file__).parent
EXAMPLES = 5


class Branch(torch.nn.Module):
    """A linear layer with its LoRA branch."""

    def __init__(self, base, lora_a, lora_b, scales):
        super().__init__()
        self.base = base
        self.lora_a = torch.nn.Parameter(lora_a)
        self.lora_b = torch.nn.Parameter(lora_b)
        self.scales = torch.nn.Parameter(scales)

    @property
    def weight(self):
        return self.base.weight

    def forward(self, x):
        return self.base(x) + (self.scales * (x @ self.lora_a.T)) @ self.lora_b.T


def branches(base, folders, weights):
    """Each layer's stacked A, stacked B and scales."""
    parts = {}
    for folder, weight in zip(folders, weights):
        adapted = PeftModel.from_pretrained(copy.deepcopy(base), folder)
        for name, layer in adapted.base_model.model.named_modules():
            if hasattr(layer, "get_delta_weight"):
                a = layer.lora_A["default"].weight.detach().double()
                b = layer.lora_B["default"].weight.detach().double()
                scale = weight * layer.scaling["default"]
                parts.setdefault(name, []).append((a, b, torch.full((a.shape[0],), scale).double()))
    return {
        name: (torch.cat([a for a, _, _ in layers]), torch.cat([b for _, b, _ in layers], dim=1),
               torch.cat([s for _, _, s in layers]))
        for name, layers in parts.items()
    }


def make(folder):
    expected = json.loads((folder / "expected.json").read_text())
    case = next(case for case in expected["cases"] if case["name"] == "delta 0")
    base = AutoModelForSeq2SeqLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    found = branches(base, [folder / "adapters" / name for name in case["adapters"]], case["weights"])
    model = base.double()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    layers = {}
    for name, (a, b, scales) in found.items():
        parent, _, child = name.rpartition(".")
        parent = model.get_submodule(parent)
        layers[name] = Branch(getattr(parent, child), a, b, scales)
        setattr(parent, child, layers[name])
    losses = [
        model(input_ids=torch.tensor([example["input"]]),
              labels=torch.tensor([example["labels"]]), use_cache=False).loss
        for example in case["examples"][:EXAMPLES]
    ]
    for loss, example in zip(losses, case["examples"]):
        assert abs(loss.item() - example["loss"]) < 1e-4 * example["loss"]
    torch.stack(losses).mean().backward()
    tensors = {"losses": torch.stack(losses).detach().float()}
    for name, layer in layers.items():
        for part in ("lora_a", "lora_b", "scales"):
            tensors[f"{name}.{part}"] = getattr(layer, part).grad.float().contiguous()
    path = HERE / "gradients" / f"{folder.name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path, metadata={"torch": torch.__version__,
                                       "transformers": transformers.__version__})
    print(f"{path.stat().st_size:8} {path.name}: {len(layers)} layers, mean loss "
          f"{sum(loss.item() for loss in losses) / EXAMPLES:.4f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    names = sys.argv[1:] or sorted(folder.name for folder in (HERE / "models").iterdir())
    for name in names:
        make(HERE / "models" / name)
