"""Composition in PyTorch: a fast twin of the project's evaluation.

Owns the methods that are compared on the unseen tasks. Many runs (a task and a seed) share each
forward pass; every run's search is its own. Used to choose settings on the ``settings`` set; the
``table`` set is only for reporting.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from tokenizers import Tokenizer
from torch import Tensor
from transformers import T5ForConditionalGeneration

from .model import (
    Example,
    GroupedLinear,
    chunks,
    generate,
    group_losses,
    make_batch,
    matches,
)
from .modules import Adapters, AdapterTraining, fit, grouped_batches, initial_adapters, use
from .prompts import few_shot_prompt
from .registry import draw_task
from .tasks import UnseenTask

BOUND = 1.5
REGULARIZATION = 0.05
_FIRST_STEP = 0.5
_GROUPS_AT_ONCE = 16
_TUNING = AdapterTraining(steps=40, batch=5)

Weights = NDArray[numpy.float64]  # [runs, modules]


@dataclass(frozen=True)
class Run:
    """One unseen task with one draw of few-shot examples."""

    task: UnseenTask
    seed: int
    examples: list[Example]
    items: list[Example]


def make_runs(tasks: Sequence[UnseenTask], data_seed: int, seeds: int) -> list[Run]:
    """Seed 0 is the shipped examples; others draw theirs afresh."""
    return [
        Run(task, seed, *draw_task(task, data_seed + seed))
        for task in tasks
        for seed in range(seeds)
    ]


class Composer:
    """Applies a different composition of the modules to each run of a batch."""

    def __init__(
        self,
        model: T5ForConditionalGeneration,
        layers: dict[str, GroupedLinear],
        tokenizer: Tokenizer,
        adapters: Adapters,
        runs: Sequence[Run],
    ) -> None:
        self.model, self.layers, self.tokenizer = model, layers, tokenizer
        self.adapters, self.runs = adapters, list(runs)

    def _apply_delta(self, weights: Tensor) -> None:
        """Σ w_i B_i A_i, as one adapter whose rank is the sum of the ranks."""
        used = weights.abs().sum(0).nonzero().flatten()
        for name, layer in self.layers.items():
            lora_a, lora_b = self.adapters.lora_a[name][used], self.adapters.lora_b[name][used]
            layer.delta = torch.einsum("gn,noi->goi", weights[:, used], torch.bmm(lora_b, lora_a))
            layer.scaling = self.adapters.scaling

    def _apply_lorahub(self, weights: Tensor) -> None:
        """(Σ w_i B_i)(Σ w_i A_i), LoraHub's merge."""
        for name, layer in self.layers.items():
            layer.lora_a = torch.einsum("gn,nri->gri", weights, self.adapters.lora_a[name])
            layer.lora_b = torch.einsum("gn,nor->gor", weights, self.adapters.lora_b[name])
            layer.scaling = self.adapters.scaling

    def _clear(self) -> None:
        use(self.layers, None)
        for layer in self.layers.values():
            layer.delta = None

    def _with(self, weights: Weights | None, merge: str, part: slice) -> None:
        self._clear()
        if weights is not None:
            chosen = torch.tensor(weights[part], dtype=torch.float32)
            (self._apply_delta if merge == "delta" else self._apply_lorahub)(chosen)

    @torch.no_grad()
    def losses(self, weights: Weights | None, merge: str) -> NDArray[numpy.float64]:
        """Few-shot loss of every run."""
        result = []
        for part in chunks(len(self.runs), _GROUPS_AT_ONCE):
            self._with(weights, merge, part)
            runs = self.runs[part]
            batch = make_batch(
                self.tokenizer, [example for run in runs for example in run.examples]
            )
            result.append(group_losses(self.model, batch, len(runs)).double().numpy())
        self._clear()
        return numpy.concatenate(result)

    def score(
        self, weights: Weights | None, merge: str, in_context: bool = False
    ) -> NDArray[numpy.float64]:
        """Exact match (per cent) of every run."""
        result = []
        for part in chunks(len(self.runs), _GROUPS_AT_ONCE // 2):
            self._with(weights, merge, part)
            result.append(self.answer(self.runs[part], in_context))
        self._clear()
        return numpy.concatenate(result)

    def answer(self, runs: Sequence[Run], in_context: bool = False) -> NDArray[numpy.float64]:
        """Exact match of the runs with whatever the layers hold."""
        sources = [
            few_shot_prompt(run.examples, source) if in_context else source
            for run in runs
            for source, _ in run.items
        ]
        items = [item for run in runs for item in run.items]
        right = matches(generate(self.model, self.tokenizer, sources), items)
        return 100.0 * numpy.array(right, dtype=float).reshape(len(runs), -1).mean(1)

    def single_losses(self) -> NDArray[numpy.float64]:
        """Few-shot loss of every run with each module alone, [runs, modules]."""
        columns = []
        for index in range(len(self.adapters)):
            weights = numpy.zeros((len(self.runs), len(self.adapters)))
            weights[:, index] = 1.0
            columns.append(self.losses(weights, "delta"))
        return numpy.stack(columns, 1)

    def tune(self) -> NDArray[numpy.float64]:
        """LoRA tuning on the five examples: one fresh adapter for each run."""
        scores = []
        for part in chunks(len(self.runs), _GROUPS_AT_ONCE // 2):
            runs = self.runs[part]
            self._clear()
            tuned = initial_adapters(self.layers, len(runs), _TUNING)
            examples = [run.examples for run in runs]
            batches = grouped_batches(self.tokenizer, examples, bands=1, parts=1)
            fit(self.model, self.layers, tuned, _TUNING, lambda batches=batches: batches)
            use(self.layers, tuned)
            scores.append(self.answer(runs))
        self._clear()
        return numpy.concatenate(scores)


def search(
    objective: Callable[[Weights], NDArray[numpy.float64]],
    chosen: NDArray[numpy.int64],
    modules: int,
    budget: int,
) -> Weights:
    """COBYLA for every run in lock step; returns the best weights evaluated.

    ``chosen`` [runs, n] names each run's modules; ``objective`` maps weights [runs, modules] to
    few-shot losses.
    """
    runs, count = chosen.shape
    asked: queue.Queue[tuple[int, Weights | None]] = queue.Queue()
    answers: list[queue.Queue[float]] = [queue.Queue() for _ in range(runs)]

    def ask(run: int, weights: Weights) -> float:
        asked.put((run, weights))
        return answers[run].get()

    def run_search(run: int) -> None:
        minimize(
            lambda weights: ask(run, weights),
            numpy.zeros(count),
            method="COBYLA",
            options={"rhobeg": _FIRST_STEP, "maxiter": budget, "tol": 1e-3},
        )
        asked.put((run, None))

    threads = [threading.Thread(target=run_search, args=(run,), daemon=True) for run in range(runs)]
    for thread in threads:
        thread.start()
    best = numpy.full(runs, numpy.inf)
    best_weights, current = numpy.zeros((runs, modules)), numpy.zeros((runs, modules))
    active, waiting = set(range(runs)), set()
    while active:
        run, weights = asked.get()
        if weights is None:
            active.discard(run)
        else:
            current[run] = 0.0
            current[run, chosen[run]] = numpy.clip(weights, -BOUND, BOUND)
            waiting.add(run)
        if not waiting or waiting != active:
            continue
        sparsity = REGULARIZATION * numpy.abs(current).sum(1) / count
        values = objective(current) + sparsity
        for run in list(waiting):
            waiting.discard(run)
            if values[run] < best[run]:
                best[run], best_weights[run] = values[run], current[run]
            answers[run].put(float(values[run]))
    return best_weights


METHODS = ("zero-shot", "in-context", "best-single", "uniform", "lorahub", "default", "lora-tuning")


def evaluate(
    composer: Composer, methods: Sequence[str] = METHODS, modules: int = 20, budget: int = 40
) -> dict[str, NDArray[numpy.float64]]:
    """Exact match of each method on every run."""
    runs, count = len(composer.runs), len(composer.adapters)
    modules = min(modules, count)
    single = composer.single_losses()

    def of(method: str) -> NDArray[numpy.float64]:
        if method in ("zero-shot", "in-context"):
            return composer.score(None, "delta", in_context=method == "in-context")
        if method == "best-single":
            weights = numpy.zeros((runs, count))
            weights[numpy.arange(runs), single.argmin(1)] = 1.0
            return composer.score(weights, "delta")
        if method == "uniform":
            return composer.score(numpy.full((runs, count), 1.0 / count), "delta")
        if method == "lora-tuning":
            return composer.tune()
        if method == "lorahub":
            merge = "lorahub"
            draws = [random.Random(run.seed).sample(range(count), modules) for run in composer.runs]
            chosen = numpy.array(draws)
        else:
            merge = "delta"
            chosen = numpy.argsort(single, 1)[:, :modules]
        weights = search(lambda w: composer.losses(w, merge), chosen, count, budget)
        if method == "default":
            _show_weights(composer.runs, weights)
        return composer.score(weights, merge)

    result = {}
    for method in methods:
        started = time.monotonic()
        result[method] = of(method)
        seconds = time.monotonic() - started
        print(f"evaluate: {method} {result[method].mean():.1f} ({seconds:.0f} s)", flush=True)
    return result


def _show_weights(runs: Sequence[Run], weights: Weights) -> None:
    from .tasks import MODULES

    for run, row in zip(runs, weights, strict=True):
        if run.seed == 0:
            order = numpy.argsort(-numpy.abs(row))[:5]
            text = " ".join(f"{MODULES[index].id} {row[index]:+.1f}" for index in order)
            print(f"  {run.task.id}: {text}", flush=True)


def table(runs: Sequence[Run], result: dict[str, NDArray[numpy.float64]]) -> str:
    """Markdown: exact match by task, then means over tasks with standard errors."""
    tasks = list(dict.fromkeys(run.task for run in runs))
    means = {
        method: {
            task: numpy.mean([v for run, v in zip(runs, values, strict=True) if run.task == task])
            for task in tasks
        }
        for method, values in result.items()
    }
    lines = ["| task | shown | " + " | ".join(result) + " |", "|---" * (len(result) + 2) + "|"]
    for task in tasks:
        cells = " | ".join(f"{means[method][task]:.0f}" for method in result)
        lines.append(f"| {task.id} | {'yes' if task.instruction_shown else 'no'} | {cells} |")
    for label, kept in (
        ("mean", tasks),
        ("mean, shown", [task for task in tasks if task.instruction_shown]),
        ("mean, hidden", [task for task in tasks if not task.instruction_shown]),
    ):
        cells = []
        for method in result:
            values = numpy.array([means[method][task] for task in kept])
            error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
            cells.append(f"{values.mean():.1f} ± {error:.1f}")
        lines.append(f"| {label} | | " + " | ".join(cells) + " |")
    return "\n".join(lines)
