"""The results on the unseen tasks: their rows, and the tables that people read.

Owns ``composition.json`` (rows of a task and a method, from the engine and from PyTorch) and the
Markdown made of it. Needs Python alone, no package: the table is made where PyTorch is absent.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

METHODS = ("zero-shot", "in-context", "best-single", "uniform", "lorahub", "default", "lora-tuning")
_TITLES = {
    "zero-shot": "zero-shot",
    "in-context": "five-shot in context",
    "best-single": "best single module",
    "uniform": "uniform average",
    "lorahub": "LoraHub as published",
    "default": "LoraLoom",
    "lora-tuning": "LoRA tuning",
}
_SETS = ("settings", "table")


@dataclass(frozen=True)
class Row:
    """A method on a task. ``exact_match`` (per cent) and ``seconds`` have one value for each seed;
    ``evaluations`` are of the few-shot loss, ``prompt_tokens`` the mean of an answered prompt."""

    task: str
    set: str
    method: str
    exact_match: list[float]
    seconds: list[float]
    evaluations: float
    prompt_tokens: float

    @property
    def mean(self) -> float:
        return sum(self.exact_match) / len(self.exact_match)


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; 0 for one value."""
    count = len(values)
    if count < 2:
        return 0.0
    mean = sum(values) / count
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)


def _with_error(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.1f} ± {standard_error(values):.1f}"


def table(rows: Sequence[Row], shown: set[str]) -> str:
    """Exact match by task (mean over seeds ± standard error), then the means over tasks of those
    whose instruction is shown (their ids are ``shown``), hidden, and of all, with the standard
    error between tasks and the lead of ``default`` task by task."""
    by_key = {(row.task, row.method): row for row in rows}
    tasks = list(dict.fromkeys(row.task for row in rows))
    methods = [method for method in METHODS if any(row.method == method for row in rows)]
    lines = [
        "| task | instruction | " + " | ".join(_TITLES[method] for method in methods) + " |",
        "|---|---|" + "--:|" * len(methods),
    ]

    def line(label: str, kind: str, cells: Sequence[str]) -> None:
        lines.append(f"| {label} | {kind} | " + " | ".join(cells) + " |")

    for task in sorted(tasks, key=lambda task: task not in shown):
        cells = [_with_error(by_key[task, method].exact_match) for method in methods]
        line(task, "shown" if task in shown else "hidden", cells)
    for kind, kept in (
        ("shown", [task for task in tasks if task in shown]),
        ("hidden", [task for task in tasks if task not in shown]),
        ("all", tasks),
    ):
        if not kept:
            continue
        means = {method: [by_key[task, method].mean for task in kept] for method in methods}
        cells = [f"**{_with_error(means[method])}**" for method in methods]
        line(f"**mean of {len(kept)}**", kind, cells)
        if "default" in methods:
            leads = {
                method: [ours - its for ours, its in zip(means["default"], its_means, strict=True)]
                for method, its_means in means.items()
            }
            cells = ["" if m == "default" else _with_error(leads[m]) for m in methods]
            line("lead of LoraLoom", kind, cells)
    evaluations = [[row.evaluations for row in rows if row.method == method] for method in methods]
    line("evaluations", "all", [f"{sum(cell) / len(cell):.0f}" for cell in evaluations])
    tokens = [[row.prompt_tokens for row in rows if row.method == method] for method in methods]
    line("tokens of a prompt", "all", [f"{sum(cell) / len(cell):.1f}" for cell in tokens])
    return "\n".join(lines)


def write(rows: Sequence[Row], shown: set[str], out: Path) -> None:
    """Writes ``out`` and, beside it, the Markdown with the ending ``.md``."""
    text = ",\n    ".join(json.dumps(asdict(row)) for row in rows)
    out.write_text('{\n  "rows": [\n    ' + text + "\n  ]\n}\n", encoding="utf-8")
    sections = []
    for name in _SETS:
        of_set = [row for row in rows if row.set == name]
        if of_set:
            title = "The table" if name == "table" else "The tasks that settings were chosen on"
            draws = max(len(row.exact_match) for row in of_set)
            about = f"Exact match in per cent ± standard error; draws of the examples: {draws}."
            sections.append(f"### {title}\n\n{about}\n\n{table(of_set, shown)}\n")
    out.with_suffix(".md").write_text("\n".join(sections), encoding="utf-8")


def main() -> None:
    """Merges files of rows."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("rows", type=Path, nargs="+", help="JSON with rows")
    parser.add_argument("--library", type=Path, required=True, help="folder with registry.json")
    parser.add_argument("--out", type=Path, required=True, help="composition.json")
    arguments = parser.parse_args()
    registry = json.loads((arguments.library / "registry.json").read_text(encoding="utf-8"))
    order = {task["id"]: place for place, task in enumerate(registry["tasks"])}
    read = [
        Row(**row)
        for path in arguments.rows
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
    ]
    merged = {(row.task, row.method): row for row in read}
    rows = sorted(merged.values(), key=lambda row: (order[row.task], METHODS.index(row.method)))
    shown = {task["id"] for task in registry["tasks"] if task["instruction_shown"]}
    write(rows, shown, arguments.out)


if __name__ == "__main__":
    main()
