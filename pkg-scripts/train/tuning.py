"""Tuning in PyTorch from the engine's own compositions: the twin of ``loraloom evaluate --methods
composed-tuned``.

Owns the comparison of the two: ``loraloom compose`` finds each run's modules and weights, PyTorch tunes
their ``lora_b`` in f32 with its own Adam and scores the result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from .composition import Row
from .evaluate import Composer, Run, make_runs, prompt_tokens, select_tasks
from .library import Library, read_library
from .model import chunks, make_batch, token_losses
from .modules import Adapters, clip_each, use

METHOD = "composed-tuned-pytorch"
_RUNS_AT_ONCE = 8


@dataclass(frozen=True)
class Effort:
    """Steps, and the learning rate of a step."""

    steps: int
    rate: Callable[[int], float]


# As crate/src/learn/tuning.rs has them for B.
EFFORTS = {
    "quick": Effort(5, lambda _: 2e-3),
    "balanced": Effort(10, lambda step: 2e-3 * (1 - step / 10)),
    "thorough": Effort(20, lambda _: 1e-3),
}

# A weight for each module: one number, or one by group of layers.
Weights = dict[str, float | dict[str, float]]


@dataclass(frozen=True)
class Composition:
    """What ``loraloom compose`` found for a run; no weights stand for the base alone."""

    weights: Weights
    evaluations: float
    seconds: float


def compose(engine: Path, library: Path, run: Run, budget: int) -> Composition:
    """Runs ``loraloom compose`` on a run's examples."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for source, answer in run.examples:
            file.write(json.dumps({"input": source, "output": answer}) + "\n")
        file.flush()
        arguments = [
            *(str(engine), "--threads", "1", "--json", "compose", "--model", str(library / "base")),
            *("--registry", str(library / "registry.json"), "--examples", file.name),
            *("--precision", "int8", "--budget", str(budget), "--seed", str(run.seed)),
        ]
        done = subprocess.run(
            arguments, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    found = json.loads(done.stdout)
    weights = {module["id"]: module["weight"] for module in found["weights"]}
    return Composition(weights, found["evaluations"], found["seconds"])


def weight_of(weight: float | dict[str, float], layer: str) -> float:
    """The weight of a module in a layer, by the layer's Hugging Face name."""
    if not isinstance(weight, dict):
        return weight
    if layer.startswith("encoder."):
        return weight["encoder"]
    if "EncDecAttention" in layer:
        return weight["decoderCrossAttention"]
    return weight["decoderSelfAttention" if "SelfAttention" in layer else "decoderFeedForward"]


def stacked(library: Library, found: Sequence[Weights]) -> Adapters:
    """One adapter for each composition: its modules' ranks side by side, their weights in ``lora_b``,
    padded with zeros to the largest rank."""
    adapters = library.adapters
    lora_a: dict[str, Tensor] = {}
    lora_b: dict[str, Tensor] = {}
    for name in library.layers:
        sides_a, sides_b = [], []
        for weights in found:
            # The first module stands in where the base alone was chosen.
            used = weights or {library.modules[0]: 0.0}
            places = [library.modules.index(module) for module in used]
            scales = [weight_of(weight, name) for weight in used.values()]
            parts = zip(places, scales, strict=True)
            sides_a.append(torch.cat([adapters.lora_a[name][place] for place in places]))
            sides_b.append(
                torch.cat([scale * adapters.lora_b[name][place] for place, scale in parts], 1)
            )
        rank = max(len(side) for side in sides_a)
        lora_a[name] = torch.stack(
            [functional.pad(side, (0, 0, 0, rank - len(side))) for side in sides_a]
        )
        lora_b[name] = torch.stack(
            [functional.pad(side, (0, rank - len(side[0]))) for side in sides_b]
        ).requires_grad_()
    return Adapters(lora_a, lora_b, adapters.scaling)


def tune(
    library: Library, adapters: Adapters, runs: Sequence[Run], effort: Effort
) -> list[float]:
    """Tunes the ``lora_b`` of one adapter for each run, in place, on all examples in each step, and
    returns each run's loss: the mean over its examples of the mean token cross-entropy.
    """
    parameters = list(adapters.lora_b.values())
    optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.99))
    batch = make_batch(library.tokenizer, [example for run in runs for example in run.examples])
    use(library.layers, adapters)

    def run_losses() -> Tensor:
        losses, present = token_losses(library.model, batch)
        return (losses.sum(1) / present.sum(1)).view(len(runs), -1).mean(1)

    for step in range(effort.steps):
        optimizer.param_groups[0]["lr"] = effort.rate(step)
        run_losses().sum().backward()
        clip_each(parameters)
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return run_losses().tolist()


def rows_of(
    library: Library, runs: Sequence[Run], found: Sequence[Composition], budget: int, name: str
) -> list[Row]:
    """One row for each task, tuned with the effort of this name. Compositions of nothing are the base
    alone, and stay as they are."""
    composer = Composer(library, runs)
    scores: list[float] = []
    losses: list[float] = []
    seconds: list[tuple[float, float]] = []
    for part in chunks(len(runs), _RUNS_AT_ONCE):
        started = time.monotonic()
        adapters = stacked(library, [composition.weights for composition in found[part]])
        losses += tune(library, adapters, runs[part], EFFORTS[name])
        learned = time.monotonic()
        with torch.no_grad():
            for index, composition in enumerate(found[part]):
                if not composition.weights:
                    for side in adapters.lora_b.values():
                        side[index] = 0.0
        scores += composer.answer(runs[part])
        ended = time.monotonic()
        # Runs share their passes, so each is given its share of the time.
        for composition in found[part]:
            of_learning = composition.seconds + (learned - started) / len(found[part])
            seconds.append((of_learning, of_learning + (ended - learned) / len(found[part])))
    use(library.layers, None)
    print(f"tuning: {name} {sum(scores) / len(scores):.1f}", flush=True)
    rows = []
    for task in dict.fromkeys(run.task.id for run in runs):
        places = [place for place, run in enumerate(runs) if run.task.id == task]
        rows.append(
            Row(
                task=task,
                set=runs[places[0]].task.set,
                method=METHOD,
                budget=budget,
                effort=name,
                exact_match=[round(scores[place], 4) for place in places],
                seconds=[round(seconds[place][1], 3) for place in places],
                learn_seconds=[round(seconds[place][0], 3) for place in places],
                loss=[round(losses[place], 6) for place in places],
                evaluations=sum(found[place].evaluations for place in places) / len(places),
                prompt_tokens=prompt_tokens(library, [runs[place] for place in places], METHOD),
                modules=[len(found[place].weights) for place in places],
            )
        )
    return rows


def arguments_of_runs(description: str, tasks: str, budget: int) -> argparse.ArgumentParser:
    """The options of a program that takes the engine's compositions further, with these defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--library", type=Path, required=True, help="folder with registry.json")
    parser.add_argument("--engine", type=Path, required=True, help="the loraloom command")
    parser.add_argument("--tasks", default=tasks, help="all, settings, table, or ids")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=budget)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--out", type=Path, help="the results as JSON")
    return parser


def composed_runs(arguments: argparse.Namespace) -> tuple[Library, list[Run], list[Composition]]:
    """The library, the runs, and what the engine composes for each."""
    torch.set_num_threads(arguments.threads)
    library = read_library(arguments.library)
    runs = make_runs(select_tasks(library.tasks, arguments.tasks), arguments.seeds)
    found = [compose(arguments.engine, arguments.library, run, arguments.budget) for run in runs]
    return library, runs, found


def main() -> None:
    """``python -m train.tuning``."""
    parser = arguments_of_runs("Tunes the engine's compositions in PyTorch.", "all", 35)
    parser.add_argument("--efforts", default=",".join(EFFORTS))
    arguments = parser.parse_args()
    library, runs, found = composed_runs(arguments)
    rows = []
    for name in arguments.efforts.split(","):
        rows += rows_of(library, runs, found, arguments.budget, name)
    for group in ("settings", "table"):
        for name in arguments.efforts.split(","):
            means = [
                sum(row.exact_match) / len(row.exact_match)
                for row in rows
                if row.set == group and row.effort == name
            ]
            if means:
                print(f"{group} {name}: {sum(means) / len(means):.1f} mean of {len(means)} tasks")
    if arguments.out:
        text = json.dumps({"rows": [vars(row) for row in rows]}, indent=1)
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
