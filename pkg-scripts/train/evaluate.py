"""Composition in PyTorch: the twin of ``loraloom evaluate``, and LoRA tuning, which only it has.

Owns the methods that are compared on the unseen tasks. Many runs (a task and a seed) share each
forward pass; every run's search is its own. Used to choose settings on the ``settings`` set; the
``table`` set is only for reporting.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from .composition import METHODS, Row, table
from .library import Library, Task, read_library
from .model import Example, chunks, generate, make_batch, matches, token_losses, tokenize
from .modules import AdapterTraining, fit, grouped_batches, initial_adapters, use
from .prompts import few_shot_prompt

BOUND = 1.5
REGULARIZATION = 0.05
MODULES = 20
BUDGET = 40
_FIRST_STEP = 0.5
_GROUPS_AT_ONCE = 16
# Searches of the engine alone, and tuning from what they find, which has a module of its own.
_NOT_HERE = {
    *("cma-es", "greedy", "ridge-trust-region", "default", "scales-tuned", "composed-tuned"),
    "composed-tuned-pytorch",
}
TWIN_METHODS = tuple(method for method in METHODS if method not in _NOT_HERE)
_TUNING = AdapterTraining(steps=40, batch=5)

Numbers = NDArray[numpy.float64]
Objective = Callable[[Numbers, Numbers], Numbers]


def paper_objective(losses: Numbers, tokens: Numbers) -> Numbers:
    """Mean over the examples of each one's mean over its tokens; [runs, examples] to [runs]."""
    return losses.mean(1)


def reference_objective(losses: Numbers, tokens: Numbers) -> Numbers:
    """LoraHub's ``default_get_loss``: the mean over all tokens, divided by the examples."""
    return (losses * tokens).sum(1) / tokens.sum(1) / losses.shape[1]


@dataclass(frozen=True)
class Run:
    """One unseen task with one draw of few-shot examples."""

    task: Task
    seed: int
    examples: list[Example]
    items: list[Example]


def make_runs(tasks: Sequence[Task], seeds: int) -> list[Run]:
    """Every task with every seed."""
    return [Run(task, seed, *task.draw(seed)) for task in tasks for seed in range(seeds)]


class Composer:
    """Applies a different composition of the modules to each run of a batch."""

    def __init__(self, library: Library, runs: Sequence[Run]) -> None:
        self.model, self.layers, self.tokenizer = library.model, library.layers, library.tokenizer
        self.adapters, self.runs = library.adapters, list(runs)

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

    @contextmanager
    def applied(self, weights: Numbers | None, merge: str) -> Iterator[None]:
        """Puts the compositions [groups, modules] into the layers while the context lasts."""
        self._clear()
        if weights is not None:
            chosen = torch.tensor(weights, dtype=torch.float32)
            (self._apply_delta if merge == "delta" else self._apply_lorahub)(chosen)
        yield
        self._clear()

    @torch.no_grad()
    def example_losses(self, weights: Numbers | None, merge: str) -> tuple[Numbers, Numbers]:
        """Mean token cross-entropy of every few-shot example, and its target tokens; both
        [runs, examples]. ``weights`` are [runs, modules]."""
        losses, tokens = [], []
        for part in chunks(len(self.runs), _GROUPS_AT_ONCE):
            runs = self.runs[part]
            examples = [example for run in runs for example in run.examples]
            with self.applied(None if weights is None else weights[part], merge):
                by_token, present = token_losses(self.model, make_batch(self.tokenizer, examples))
            counts = present.sum(1)
            losses.append((by_token.sum(1) / counts).view(len(runs), -1).double().numpy())
            tokens.append(counts.view(len(runs), -1).double().numpy())
        return numpy.concatenate(losses), numpy.concatenate(tokens)

    def score(self, weights: Numbers | None, merge: str, in_context: bool = False) -> Numbers:
        """Exact match (per cent) of every run."""
        result: list[float] = []
        for part in chunks(len(self.runs), _GROUPS_AT_ONCE // 2):
            with self.applied(None if weights is None else weights[part], merge):
                result += self.answer(self.runs[part], in_context)
        return numpy.array(result)

    def answer(self, runs: Sequence[Run], in_context: bool = False) -> list[float]:
        """Exact match of the runs with whatever the layers hold."""
        # A batch needs equal runs of rows: the last item stands in for those that are missing.
        most = max(len(run.items) for run in runs)
        rows = [
            (run, item)
            for run in runs
            for item in run.items + run.items[-1:] * (most - len(run.items))
        ]
        prompts = [prompt_of(run, item, in_context) for run, item in rows]
        answers = generate(self.model, self.tokenizer, prompts)
        right = matches(answers, [item for _, item in rows])
        return [
            100.0 * sum(right[index * most :][: len(run.items)]) / len(run.items)
            for index, run in enumerate(runs)
        ]

    def single_objectives(self, objective: Objective) -> Numbers:
        """The objective of every run with each module alone at 1, [runs, modules]."""
        columns = []
        for index in range(len(self.adapters)):
            weights = numpy.zeros((len(self.runs), len(self.adapters)))
            weights[:, index] = 1.0
            columns.append(objective(*self.example_losses(weights, "delta")))
        return numpy.stack(columns, 1)

    def tune(self) -> Numbers:
        """LoRA tuning on the five examples: one fresh adapter for each run."""
        scores: list[float] = []
        for part in chunks(len(self.runs), _GROUPS_AT_ONCE // 2):
            runs = self.runs[part]
            self._clear()
            tuned = initial_adapters(self.layers, len(runs), _TUNING)
            examples = [run.examples for run in runs]
            batches = grouped_batches(self.tokenizer, examples, bands=1, parts=1)
            fit(self.model, self.layers, tuned, _TUNING, lambda batches=batches: batches)
            use(self.layers, tuned)
            scores += self.answer(runs)
        self._clear()
        return numpy.array(scores)


def prompt_of(run: Run, item: Example, in_context: bool) -> str:
    """What the model reads for an item."""
    return few_shot_prompt(run.examples, item[0]) if in_context else item[0]


def search(
    objective: Callable[[Numbers], Numbers], chosen: NDArray[numpy.int64], modules: int, budget: int
) -> tuple[Numbers, Numbers]:
    """COBYLA for every run in lock step; returns the best weights evaluated and their objectives.

    ``chosen`` [runs, n] names each run's modules; ``objective`` maps weights [runs, modules] to
    few-shot losses.
    """
    runs, count = chosen.shape
    asked: queue.Queue[tuple[int, Numbers | None]] = queue.Queue()
    answers: list[queue.Queue[float]] = [queue.Queue() for _ in range(runs)]

    def ask(run: int, weights: Numbers) -> float:
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
        values = objective(current) + REGULARIZATION * numpy.abs(current).sum(1) / count
        for run in list(waiting):
            waiting.discard(run)
            if values[run] < best[run]:
                best[run], best_weights[run] = values[run], current[run]
            answers[run].put(float(values[run]))
    return best_weights, best


def _weights_of(
    method: str, composer: Composer, single: Numbers, budget: int
) -> tuple[Numbers | None, str, int]:
    """The weights that a method finds for every run, how they are merged, and evaluations."""
    runs, count = single.shape
    modules = min(MODULES, count)
    if method in ("zero-shot", "in-context"):
        return None, "delta", 0
    alone = numpy.zeros((runs, count))
    alone[numpy.arange(runs), single.argmin(1)] = 1.0
    if method == "best-single":
        return alone, "delta", count
    if method == "uniform":
        return numpy.full((runs, count), 1.0 / count), "delta", 0
    if method == "lorahub":
        draws = [random.Random(run.seed).sample(range(count), modules) for run in composer.runs]

        def reference(weights: Numbers) -> Numbers:
            return reference_objective(*composer.example_losses(weights, "lorahub"))

        weights, _ = search(reference, numpy.array(draws), count, budget)
        return weights, "lorahub", budget

    def paper(weights: Numbers) -> Numbers:
        return paper_objective(*composer.example_losses(weights, "delta"))

    chosen = numpy.argsort(single, 1, kind="stable")[:, :modules]
    weights, values = search(paper, chosen, count, budget)
    better_alone = single.min(1) + REGULARIZATION / modules < values
    weights[better_alone] = alone[better_alone]
    return weights, "delta", count + budget


def evaluate(
    library: Library, runs: Sequence[Run], methods: Sequence[str] = TWIN_METHODS, budget: int = BUDGET
) -> list[Row]:
    """One row for each task and method."""
    composer = Composer(library, runs)
    single = numpy.zeros((len(runs), len(library.modules)))
    if set(methods) & {"best-single", "cobyla"}:
        single = composer.single_objectives(paper_objective)
    rows = []
    for method in methods:
        started = time.monotonic()
        if method == "lora-tuning":
            scores, evaluations = composer.tune(), _TUNING.steps
        else:
            weights, merge, evaluations = _weights_of(method, composer, single, budget)
            scores = composer.score(weights, merge, in_context=method == "in-context")
            if method == "cobyla" and weights is not None:
                _show_weights(library.modules, runs, weights)
        # Runs share their passes, so each is given its share of the time.
        seconds = (time.monotonic() - started) / len(runs)
        print(f"evaluate: {method} {scores.mean():.1f} ({seconds:.2f} s a run)", flush=True)
        for task in dict.fromkeys(run.task.id for run in runs):
            places = [place for place, run in enumerate(runs) if run.task.id == task]
            rows.append(
                Row(
                    task,
                    runs[places[0]].task.set,
                    method,
                    [round(float(scores[place]), 4) for place in places],
                    [round(seconds, 3) for _ in places],
                    evaluations,
                    prompt_tokens(library, [runs[place] for place in places], method),
                )
            )
    return rows


def prompt_tokens(library: Library, runs: Sequence[Run], method: str) -> float:
    """Mean number of tokens of a prompt, with ``</s>``."""
    prompts = [prompt_of(run, item, method == "in-context") for run in runs for item in run.items]
    lengths = [len(ids) for ids in tokenize(library.tokenizer, prompts)]
    return round(sum(lengths) / len(lengths), 2)


def _show_weights(modules: Sequence[str], runs: Sequence[Run], weights: Numbers) -> None:
    for run, row in zip(runs, weights, strict=True):
        if run.seed == 0:
            order = numpy.argsort(-numpy.abs(row))[:5]
            text = " ".join(f"{modules[index]} {row[index]:+.1f}" for index in order)
            print(f"  {run.task.id}: {text}", flush=True)


def select_tasks(tasks: Sequence[Task], wanted: str) -> list[Task]:
    """``all``, a set's name, or ids separated by commas."""
    if wanted == "all":
        return list(tasks)
    names = wanted.split(",")
    chosen = [task for task in tasks if task.id in names or task.set in names]
    unknown = set(names) - {task.id for task in tasks} - {task.set for task in tasks}
    if unknown:
        raise SystemExit(f"error: there is no task {', '.join(sorted(unknown))} in the registry")
    return chosen


def main() -> None:
    """``python -m train.evaluate``."""
    parser = argparse.ArgumentParser(description="Evaluates a library in PyTorch.")
    parser.add_argument("--library", type=Path, required=True, help="folder with registry.json")
    parser.add_argument("--tasks", default="all", help="all, settings, table, or ids")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", default=",".join(TWIN_METHODS))
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--out", type=Path, help="the rows as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    library = read_library(arguments.library)
    tasks = select_tasks(library.tasks, arguments.tasks)
    runs = make_runs(tasks, arguments.seeds)
    rows = evaluate(library, runs, arguments.methods.split(","), arguments.budget)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"rows": [vars(row) for row in rows]}) + "\n")
    shown = {task.id for task in tasks if task.instruction_shown}
    print(table(rows, shown), flush=True)


if __name__ == "__main__":
    main()
