"""PEFT's other ways to merge adapters, measured on the engine's own compositions.

Owns the comparison in docs/composing.md: ``loraloom compose`` finds each run's modules and weights, and
every kind of merge that ``add_weighted_adapter`` has makes one update of them, in f32, by the functions of
``peft.utils.merge_utils``. Each layer is merged with the weights that the modules have in it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence

import torch
from peft.utils import merge_utils
from torch import Tensor

from .evaluate import Composer, Run
from .library import Library
from .model import chunks
from .modules import use
from .tuning import Composition, Weights, arguments_of_runs, composed_runs, weight_of

_RUNS_AT_ONCE = 8
DENSITY = 0.5

# One tensor from the modules' tensors and their weights.
Merge = Callable[[list[Tensor], Tensor], Tensor]
KINDS: dict[str, Merge] = {
    "linear": merge_utils.task_arithmetic,
    "ties": lambda parts, weights: merge_utils.ties(parts, weights, DENSITY),
    "dare_linear": lambda parts, weights: merge_utils.dare_linear(parts, weights, DENSITY),
    "dare_ties": lambda parts, weights: merge_utils.dare_ties(parts, weights, DENSITY),
    "magnitude_prune": lambda parts, weights: merge_utils.magnitude_prune(parts, weights, DENSITY),
}
REFERENCE = "cat"
# The product of A and B merged apart; the sum of the updates cut to one module's rank; the same where
# the updates are merged by the kind first.
NAMES = (REFERENCE, *KINDS, "svd", *(f"{kind}_svd" for kind in KINDS if kind != "linear"))


def merged(lora_a: list[Tensor], lora_b: list[Tensor], weights: list[float], kind: str) -> Tensor:
    """One layer's update [d_out, d_in] of modules with these weights, their scaling included; ``cat`` is
    the sum of their updates."""
    factors = torch.tensor(weights)
    if kind in KINDS:
        # As in PEFT, half of the weight goes to either side.
        merge = KINDS[kind]
        return merge(lora_b, factors.sqrt()) @ merge(lora_a, factors.sqrt())
    updates = [b @ a for a, b in zip(lora_a, lora_b, strict=True)]
    if kind == REFERENCE:
        return merge_utils.task_arithmetic(updates, factors)
    update = KINDS["linear" if kind == "svd" else kind.removesuffix("_svd")](updates, factors)
    u, s, vh = torch.linalg.svd(update, full_matrices=False)
    rank = max(len(a) for a in lora_a)
    return (u[:, :rank] * s[:rank]) @ vh[:rank]


def apply(library: Library, found: Sequence[Weights], kind: str) -> None:
    """Puts one composition for each run into the layers, merged by the kind."""
    use(library.layers, None)
    adapters = library.adapters
    for name, layer in library.layers.items():
        updates = []
        for weights in found:
            used = {
                library.modules.index(module): weight_of(weight, name) * adapters.scaling
                for module, weight in weights.items()
                if weight_of(weight, name) != 0.0
            }
            if not used:
                shape = len(adapters.lora_b[name][0]), len(adapters.lora_a[name][0][0])
                updates.append(torch.zeros(shape))
                continue
            sides = [[side[name][place] for place in used] for side in (adapters.lora_a, adapters.lora_b)]
            updates.append(merged(*sides, list(used.values()), kind))
        layer.delta, layer.scaling = torch.stack(updates), 1.0


@torch.no_grad()
def scores(library: Library, runs: Sequence[Run], found: Sequence[Composition], kind: str) -> list[float]:
    """The exact match of every run."""
    composer = Composer(library, runs)
    exact: list[float] = []
    for part in chunks(len(runs), _RUNS_AT_ONCE):
        apply(library, [composition.weights for composition in found[part]], kind)
        exact += composer.answer(runs[part])
    use(library.layers, None)
    for layer in library.layers.values():
        layer.delta = None
    return exact


def main() -> None:
    """``python -m train.merges``."""
    parser = arguments_of_runs("Merges the engine's compositions in PEFT's ways.", "table", 65)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    library, runs, found = composed_runs(arguments)
    # Of one module, or none, there is nothing to merge.
    merging = [place for place, run in enumerate(found) if len(run.weights) > 1]
    print(f"{len(merging)} of {len(runs)} runs have more than one module", flush=True)
    results: dict[str, list[float]] = {}
    print("| merge | exact match | difference from cat |\n|---|--:|--:|", flush=True)
    for kind in NAMES:
        results[kind] = scores(
            library, [runs[place] for place in merging], [found[place] for place in merging], kind
        )
        by_task: dict[str, list[float]] = {}
        for place, exact, reference in zip(merging, results[kind], results[REFERENCE], strict=True):
            by_task.setdefault(runs[place].task.id, []).append(exact - reference)
        differences = [statistics.mean(of_task) for of_task in by_task.values()]
        error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
        mean = statistics.mean(results[kind])
        print(f"| {kind} | {mean:.1f} | {statistics.mean(differences):+.1f} ± {error:.1f} |", flush=True)
    if arguments.out:
        tasks = [runs[place].task.id for place in merging]
        arguments.out.write_text(json.dumps({"tasks": tasks, "scores": results}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
