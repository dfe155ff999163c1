"""``train-library``: the whole pipeline, one command.

Owns the scales and the order of the steps: tokenizer, base, modules, library, evaluation. Every
step leaves its result in the work folder and goes on from it, so an interrupted run resumes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from . import base, composition, evaluate, export, library, modules, registry, tokenizer
from .base import BaseTraining
from .model import Shape, group_linears
from .modules import AdapterTraining
from .tasks import MODULES

_ROOT = Path(__file__).resolve().parents[2]
_SEED = 1


@dataclass(frozen=True)
class Scale:
    """Everything that differs between a test, a CPU and a GPU."""

    base: BaseTraining
    modules: AdapterTraining
    vocabulary: int = 2048
    corpus_lines: int = 40_000
    report_items: int = 100
    evaluation_seeds: int = 3


SCALES = {
    "tiny": Scale(
        BaseTraining(Shape(64, 32, 2, 128, 1), steps=60, batch=64, warmup=10, decay=30),
        AdapterTraining(steps=10, batch=4, rank=2, alpha=4),
        vocabulary=1024,
        corpus_lines=4_000,
        report_items=4,
        evaluation_seeds=1,
    ),
    "cpu": Scale(
        BaseTraining(Shape(256, 48, 4, 448, 3), steps=2600, batch=128),
        AdapterTraining(steps=200, batch=12),
    ),
    "gpu": Scale(
        BaseTraining(
            Shape(384, 64, 6, 1024, 6), steps=20_000, batch=1024, learning_rate=1e-3, decay=5000
        ),
        AdapterTraining(steps=1000, batch=32, rank=4, alpha=8),
    ),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train-library", description="Trains the demo library.")
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--work", type=Path, help="checkpoints (default: target/train-SCALE)")
    parser.add_argument("--out", type=Path, help="the library (default: WORK/library)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument(
        "--evaluate",
        choices=("none", "settings", "table"),
        default="settings",
        help="unseen tasks to report on at the end (default: settings)",
    )
    return parser.parse_args()


def main() -> None:
    """Runs the pipeline."""
    arguments = _arguments()
    scale = SCALES[arguments.scale]
    work = arguments.work or _ROOT / "target" / f"train-{arguments.scale}"
    out = arguments.out or work / "library"
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"train-library: scale {arguments.scale}, {device}, checkpoints in {work}", flush=True)

    tokenizer_path = work / "tokenizer.json"
    if not tokenizer_path.exists():
        tokenizer.train(_SEED, scale.vocabulary, scale.corpus_lines, work)
    vocabulary = Tokenizer.from_file(str(tokenizer_path))
    trained = base.train(scale.base, vocabulary, work, device)
    export.write_base(trained, tokenizer_path, out / "base")

    # From here on the base is the shipped one: dequantised.
    model = export.read_base(out / "base").to(device)
    parameters = model.num_parameters()
    base_results = base.report(model, vocabulary, _SEED + 1, scale.report_items)
    for skill, score in base_results.items():
        print(f"base: {skill} {score:.0f}", flush=True)
    layers = group_linears(model)
    adapters = modules.train(scale.modules, model, layers, vocabulary, work)
    export.round_adapters(adapters)
    for index, module in enumerate(MODULES):
        export.write_adapter(adapters, index, scale.modules, out / "modules" / module.id)
    results = modules.report(model, layers, adapters, vocabulary, _SEED + 2, scale.report_items)
    for module, result in zip(MODULES, results, strict=True):
        print(f"module: {module.id} {result.exact_match:.0f} (base {result.base_exact_match:.0f})")
    registry.write(out, parameters, base_results, results, scale.modules, _SEED)
    print(f"train-library: the library is in {out}", flush=True)

    if arguments.evaluate != "none":
        shipped = library.read_library(out)
        tasks = evaluate.select_tasks(shipped.tasks, arguments.evaluate)
        rows = evaluate.evaluate(shipped, evaluate.make_runs(tasks, scale.evaluation_seeds))
        shown = {task.id for task in tasks if task.instruction_shown}
        print(composition.table(rows, shown), flush=True)


if __name__ == "__main__":
    main()
