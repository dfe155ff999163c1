"""Training of the LoRA modules, all of them in one batch.

Owns the adapters' settings, their optimiser and checkpoint, and each module's result on its own
task beside the base's. All modules start from one ``lora_a`` and learn it at a tenth of the rate
of ``lora_b``: modules whose ``lora_a`` stay close compose better.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import T5ForConditionalGeneration

from .model import Batch, Example, GroupedLinear, generate, group_losses, matches, pad, tokenize
from .tasks import MODULES, draw_module

_LORA_A_RATE = 0.1
_CHECKPOINT_SECONDS = 120.0
# Lengths are rounded up, so that the CPU's matrix kernels are compiled for few shapes.
_SOURCE_STEP, _TARGET_STEP = 4, 3


@dataclass(frozen=True)
class AdapterTraining:
    """How adapters learn; ``batch`` is the number of examples of each adapter in a step."""

    steps: int
    batch: int = 16
    rank: int = 8
    alpha: int = 16
    learning_rate: float = 5e-3
    warmup: int = 10
    seed: int = 3


@dataclass
class Adapters:
    """Adapters side by side, for each layer by its Hugging Face name: ``lora_a[name]`` is
    [adapters, rank, d_in] and ``lora_b[name]`` [adapters, d_out, rank]."""

    lora_a: dict[str, Tensor]
    lora_b: dict[str, Tensor]
    scaling: float

    def __len__(self) -> int:
        return len(next(iter(self.lora_a.values())))

    def select(self, indices: list[int]) -> Adapters:
        """Some of the adapters; gradients reach the originals."""
        return Adapters(
            {name: tensor[indices] for name, tensor in self.lora_a.items()},
            {name: tensor[indices] for name, tensor in self.lora_b.items()},
            self.scaling,
        )


@dataclass(frozen=True)
class GroupedBatch:
    """Equal runs of examples, one for each of the adapters named."""

    adapters: list[int]
    batch: Batch


def initial_adapters(
    layers: dict[str, GroupedLinear], count: int, training: AdapterTraining
) -> Adapters:
    """``count`` adapters with the same ``lora_a`` and a ``lora_b`` of zeros."""
    generator = torch.Generator().manual_seed(training.seed)
    lora_a, lora_b = {}, {}
    for name, layer in layers.items():
        d_out, d_in = layer.weight.shape
        shared = (torch.rand(1, training.rank, d_in, generator=generator) * 2 - 1) * d_in**-0.5
        device = layer.weight.device
        lora_a[name] = shared.repeat(count, 1, 1).to(device).requires_grad_()
        lora_b[name] = torch.zeros(count, d_out, training.rank, device=device, requires_grad=True)
    return Adapters(lora_a, lora_b, training.alpha / training.rank)


def use(layers: dict[str, GroupedLinear], adapters: Adapters | None) -> None:
    """Puts the adapters into the layers, or takes them out."""
    for name, layer in layers.items():
        layer.lora_a = None if adapters is None else adapters.lora_a[name]
        layer.lora_b = None if adapters is None else adapters.lora_b[name]
        layer.scaling = 1.0 if adapters is None else adapters.scaling


def grouped_batches(
    tokenizer: Tokenizer, groups: Sequence[Sequence[Example]], *, bands: int, parts: int
) -> list[GroupedBatch]:
    """The examples of group ``i``, for adapter ``i``, in batches with little padding: groups are
    banded by their mean length, and each group's examples are cut in ``parts``, short ones first.
    """
    rows = []
    for group in groups:
        sources = tokenize(tokenizer, [source for source, _ in group])
        targets = tokenize(tokenizer, [target for _, target in group])
        rows.append(sorted(zip(sources, targets, strict=True), key=lambda row: len(row[0])))
    by_length = sorted(range(len(rows)), key=lambda i: sum(len(source) for source, _ in rows[i]))
    batches = []
    for band in range(bands):
        adapters = by_length[band * len(rows) // bands : (band + 1) * len(rows) // bands]
        size = len(groups[0]) // parts
        for start in range(0, size * parts, size):
            part = [row for index in adapters for row in rows[index][start : start + size]]
            width = max(len(source) for source, _ in part)
            height = max(len(target) for _, target in part)
            batch = pad(
                [source for source, _ in part],
                [target for _, target in part],
                -(-width // _SOURCE_STEP) * _SOURCE_STEP,
                -(-height // _TARGET_STEP) * _TARGET_STEP,
            )
            batches.append(GroupedBatch(adapters, batch))
    return batches


def fit(
    model: T5ForConditionalGeneration,
    layers: dict[str, GroupedLinear],
    adapters: Adapters,
    training: AdapterTraining,
    next_batches: Callable[[], list[GroupedBatch]],
    *,
    rng: random.Random | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Trains the adapters in place on ``next_batches``, resuming from ``checkpoint``."""
    lora_a, lora_b = list(adapters.lora_a.values()), list(adapters.lora_b.values())
    optimizer = torch.optim.AdamW(
        [{"params": lora_b, "rate": 1.0}, {"params": lora_a, "rate": _LORA_A_RATE}],
        betas=(0.9, 0.99),
        weight_decay=0.0,
        fused=True,
    )
    step = 0
    if checkpoint is not None and rng is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False, map_location=model.device)
        with torch.no_grad():
            for tensor, saved in zip(lora_a + lora_b, state["adapters"], strict=True):
                tensor.copy_(saved)
        optimizer.load_state_dict(state["optimizer"])
        rng.setstate(state["random"])
        step = state["step"]
        print(f"modules: resumed at step {step}", flush=True)
    first, started = step, time.monotonic()
    saved_at = started
    while step < training.steps:
        decay = min(1.0, (step + 1) / training.warmup) * (1.0 - step / training.steps)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * decay * group["rate"]
        batches = next_batches()
        parts = sum(len(grouped.adapters) for grouped in batches) / len(adapters)
        total = torch.zeros((), device=model.device)
        with torch.autocast(model.device.type, torch.bfloat16):
            for grouped in batches:
                use(layers, adapters.select(grouped.adapters))
                batch = grouped.batch.to(model.device)
                total = total + group_losses(model, batch, len(grouped.adapters)).sum() / parts
        total.backward()
        clip_each(lora_a + lora_b)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if checkpoint is None or rng is None:
            continue
        if step % 10 == 0 or step == training.steps:
            left = (time.monotonic() - started) / (step - first) * (training.steps - step)
            loss = total.item() / len(adapters)
            print(
                f"modules: step {step}/{training.steps} loss {loss:.3f} ETA {left:.0f} s",
                flush=True,
            )
        if time.monotonic() - saved_at > _CHECKPOINT_SECONDS or step == training.steps:
            state = {
                "adapters": [tensor.detach() for tensor in lora_a + lora_b],
                "optimizer": optimizer.state_dict(),
                "random": rng.getstate(),
                "step": step,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            saved_at = time.monotonic()
    use(layers, None)


@torch.no_grad()
def clip_each(parameters: list[Tensor]) -> None:
    """Clips the gradient of each adapter to norm 1."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = sum(gradient.flatten(1).square().sum(1) for gradient in gradients).sqrt()
    factors = (1.0 / norms.clamp_min(1e-8)).clamp(max=1.0)
    for gradient in gradients:
        gradient *= factors.view(-1, 1, 1)


def train(
    training: AdapterTraining,
    model: T5ForConditionalGeneration,
    layers: dict[str, GroupedLinear],
    tokenizer: Tokenizer,
    folder: Path,
) -> Adapters:
    """Trains every module of the library, or returns them if finished."""
    rng = random.Random(training.seed)
    adapters = initial_adapters(layers, len(MODULES), training)

    def next_batches() -> list[GroupedBatch]:
        groups = [[draw_module(rng, module) for _ in range(training.batch)] for module in MODULES]
        return grouped_batches(tokenizer, groups, bands=3, parts=2)

    fit(
        model,
        layers,
        adapters,
        training,
        next_batches,
        rng=rng,
        checkpoint=folder / "modules.pt",
    )
    for tensor in (*adapters.lora_a.values(), *adapters.lora_b.values()):
        tensor.requires_grad_(False)
    return adapters


@dataclass(frozen=True)
class ModuleResult:
    """Exact match (per cent) on fresh data of the module's own task."""

    exact_match: float
    base_exact_match: float


def report(
    model: T5ForConditionalGeneration,
    layers: dict[str, GroupedLinear],
    adapters: Adapters,
    tokenizer: Tokenizer,
    seed: int,
    count: int,
) -> list[ModuleResult]:
    """Each module's result on its own task."""
    rng = random.Random(seed)
    groups = [[draw_module(rng, module) for _ in range(count)] for module in MODULES]
    examples = [example for group in groups for example in group]
    sources = [source for source, _ in examples]
    scores = []
    for chosen in (adapters, None):
        use(layers, chosen)
        right = matches(generate(model, tokenizer, sources), examples)
        scores.append(torch.tensor(right, dtype=torch.float).view(len(groups), count).mean(1) * 100)
    use(layers, None)
    return [
        ModuleResult(own, base) for own, base in zip(*(s.tolist() for s in scores), strict=True)
    ]
