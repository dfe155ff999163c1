"""The results on the unseen tasks: their rows, and the tables that people read.

Owns ``composition.json`` (rows of a task and a method, from the engine and from PyTorch) and the
Markdown made of it. Needs Python alone, no package: the table is made where PyTorch is absent.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

METHODS = (
    "zero-shot",
    "in-context",
    "best-single",
    "uniform",
    "lorahub",
    "cobyla",
    "cma-es",
    "greedy",
    "ridge-trust-region",
    "default",
    "scales-tuned",
    "composed-tuned",
    "composed-tuned-pytorch",
    "lora-tuning",
)
# Budgets of the table's columns; other budgets are points of the curves.
_BUDGETS = {"lorahub": 40, "cobyla": 80, "default": 65, "scales-tuned": 65, "composed-tuned": 65}
# The effort of tuning in the table's columns.
_EFFORT = "balanced"
_EFFORTS = ("quick", "balanced", "thorough")
_TITLES = {
    "zero-shot": "zero-shot",
    "in-context": "five-shot in context",
    "best-single": "best single module",
    "uniform": "uniform average",
    "lorahub": "LoraHub as published",
    "cobyla": "COBYLA, 20 best modules",
    "cma-es": "CMA-ES, 20 best modules",
    "greedy": "greedy, 20 best modules",
    "ridge-trust-region": "ridge trust region, 20 best modules",
    "default": "LoraLoom",
    "scales-tuned": "LoraLoom, scales tuned",
    "composed-tuned": "LoraLoom, B tuned",
    "composed-tuned-pytorch": "LoraLoom, B tuned in PyTorch",
    "lora-tuning": "LoRA tuning",
}
_SETS = ("settings", "table")


@dataclass(frozen=True)
class Row:
    """A method on a task. ``exact_match`` (per cent) and ``seconds`` have one value for each seed;
    ``evaluations`` are of the few-shot loss, ``prompt_tokens`` the mean of an answered prompt. A method
    that searches has a ``budget``, and for each seed the seconds of learning, the ``loss`` of the
    examples, the number of modules and what the examples say about new inputs; one that tunes has an
    ``effort``, and its ``evaluations`` count steps as the evaluations that take their time."""

    task: str
    set: str
    method: str
    exact_match: list[float]
    seconds: list[float]
    evaluations: float
    prompt_tokens: float
    budget: int | None = None
    effort: str | None = None
    learn_seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    modules: list[int] = field(default_factory=list)
    assessments: list[dict] = field(default_factory=list)

    @property
    def in_table(self) -> bool:
        """Whether its budget and its effort are those of the method's column."""
        of_column = self.budget in (None, _BUDGETS.get(self.method))
        return of_column and self.effort in (None, _EFFORT)

    @property
    def key(self) -> tuple[int, int, int]:
        """The place of its method, budget and effort."""
        effort = _EFFORTS.index(self.effort) if self.effort else -1
        return METHODS.index(self.method), self.budget or 0, effort

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
    rows = [row for row in rows if row.in_table]
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


def curves(rows: Sequence[Row]) -> str:
    """Exact match, loss and seconds of learning against the budget, for each method that searches."""
    lines = [
        "| search | budget | draws | evaluations | seconds | exact match | loss | modules |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    keys = {row.key for row in rows if row.loss and row.budget is not None}
    for key in sorted(keys):
        of = [row for row in rows if row.key == key]
        one = of[0]

        def mean(values: Callable[[Row], Sequence[float]]) -> float:
            each = [sum(values(row)) / len(values(row)) for row in of]
            return sum(each) / len(each)

        cells = [
            _TITLES[one.method] + (f", {one.effort}" if one.effort else ""),
            str(one.budget),
            str(max(len(row.exact_match) for row in of)),
            f"{mean(lambda row: [row.evaluations]):.1f}",
            f"{mean(lambda row: row.learn_seconds):.2f}",
            _with_error([row.mean for row in of]),
            f"{mean(lambda row: row.loss):.3f}",
            f"{mean(lambda row: row.modules):.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _draws(rows: Sequence[Row], method: str = "default") -> list[tuple[float, dict]]:
    """The share of right answers and the assessment of every run of a method's column."""
    of = [row for row in rows if row.method == method and row.in_table]
    return [
        (exact / 100, assessment)
        for row in of
        for exact, assessment in zip(row.exact_match, row.assessments, strict=True)
    ]


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's, 0 where one does not vary."""
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    products = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    spread = sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)
    return products / math.sqrt(spread) if spread else 0.0


def reliability(rows: Sequence[Row], method: str = "default") -> str:
    """How a method's expected share of right answers compares with the share seen, by verdict."""
    draws = _draws(rows, method)
    if not draws:
        return ""
    seen = [share for share, _ in draws]
    expected = [assessment["expected"]["mean"] for _, assessment in draws]
    probability = [assessment["probability"] for _, assessment in draws]
    errors = [abs(a - b) for a, b in zip(seen, expected, strict=True)]
    inside = [
        assessment["expected"]["low"] - 1e-9 <= share <= assessment["expected"]["high"] + 1e-9
        for share, assessment in draws
    ]
    lines = [
        "| verdict | runs | expected | seen | at least half right |",
        "|---|--:|--:|--:|--:|",
    ]
    for verdict in ("works", "partly", "unlikely"):
        of = [(share, one) for share, one in draws if one["verdict"] == verdict]
        if of:
            mean = 100 * sum(one["expected"]["mean"] for _, one in of) / len(of)
            right = 100 * sum(share for share, _ in of) / len(of)
            half = 100 * sum(share >= 0.5 for share, _ in of) / len(of)
            lines.append(f"| {verdict} | {len(of)} | {mean:.0f} % | {right:.0f} % | {half:.0f} % |")
    summary = (
        f"Correlation of the probability with the share seen {correlation(probability, seen):.2f}, "
        f"mean error of the expected share {100 * sum(errors) / len(errors):.0f} points, "
        f"inside the interval {100 * sum(inside) / len(inside):.0f} % (80 % aimed at)."
    )
    return "\n".join(lines) + "\n\n" + summary


def figure(rows: Sequence[Row]) -> str:
    """Expected against seen, a dot for each run, as SVG."""
    size, edge = 320, 40
    place = lambda share: edge + share * (size - 2 * edge)  # noqa: E731
    dots = "".join(
        f'<circle cx="{place(one["expected"]["mean"]):.1f}" cy="{size - place(share):.1f}" r="3"/>'
        for share, one in _draws(rows)
    )
    labels = "".join(
        f'<text x="{place(tick):.0f}" y="{size - edge + 16}" text-anchor="middle">{tick:.0%}</text>'
        f'<text x="{edge - 6}" y="{size - place(tick) + 4:.0f}" text-anchor="end">{tick:.0%}</text>'
        for tick in (0, 0.5, 1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" '
        'font-family="sans-serif" font-size="11">'
        f'<rect width="{size}" height="{size}" fill="#fff"/>'
        f'<path d="M{edge} {size - edge}L{size - edge} {edge}M{edge} {edge}V{size - edge}H{size - edge}"'
        f' fill="none" stroke="#888"/>{labels}'
        f'<text x="{size / 2}" y="{size - 6}" text-anchor="middle">expected right</text>'
        f'<text x="12" y="{size / 2}" transform="rotate(-90 12 {size / 2})" text-anchor="middle">'
        f'right on the test set</text><g fill="#b4501e" fill-opacity="0.55">{dots}</g></svg>\n'
    )


def write(rows: Sequence[Row], shown: set[str], out: Path) -> None:
    """Writes ``out`` and, beside it, the Markdown with the ending ``.md`` and the figure of the table's
    runs with the ending ``.svg``."""
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
            if any(row.loss and row.budget is not None for row in of_set):
                about = "Means over tasks and draws; seconds on one thread."
                sections.append(f"#### By budget\n\n{about}\n\n{curves(of_set)}\n")
            for method in ("default", "scales-tuned"):
                if _draws(of_set, method):
                    heading = f"#### Expected and seen: {_TITLES[method]}"
                    sections.append(f"{heading}\n\n{reliability(of_set, method)}\n")
    out.with_suffix(".svg").write_text(
        figure([row for row in rows if row.set == "table"]), encoding="utf-8"
    )
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
    kept = ("verdict", "probability", "expected")
    fields = set(Row.__dataclass_fields__)
    read = [
        Row(**{name: value for name, value in row.items() if name in fields} | {"assessments": [
            {name: one[name] for name in kept} for one in row.get("assessments", [])
        ]})
        for path in arguments.rows
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
    ]
    merged = {(row.task, *row.key): row for row in read}
    rows = sorted(merged.values(), key=lambda row: (order[row.task], *row.key))
    shown = {task["id"] for task in registry["tasks"] if task["instruction_shown"]}
    write(rows, shown, arguments.out)


if __name__ == "__main__":
    main()
