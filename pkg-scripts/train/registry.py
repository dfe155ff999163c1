"""The library's index and its texts.

Owns ``registry.json``, the cards of base, modules and library, and the files of the unseen
tasks, with the words in which a person reads about them.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

from .export import BASE_ID, LICENCE
from .model import TARGETS, Example
from .modules import AdapterTraining, ModuleResult
from .tasks import (
    BASE_FORMATS,
    BASE_SKILLS,
    MODULES,
    UNSEEN_TASKS,
    Module,
    UnseenTask,
    draw_module,
    draw_unseen,
)

# Within a set, tasks whose prompt hides what is wanted come first: there composing pays most.
_TASKS = sorted(UNSEEN_TASKS, key=lambda task: (task.set, task.instruction_shown))

FEW_SHOT = 5
TEST_ITEMS = 120

_SKILL_TITLES = {
    "pick-animal": "Find the animal",
    "pick-fruit": "Find the fruit",
    "pick-colour": "Find the colour",
    "pick-food": "Find the food",
    "pick-body": "Find the body part",
    "pick-job": "Find the job",
    "pick-household": "Find the household item",
    "pick-nature": "Find the nature word",
    "largest": "Largest number",
    "smallest": "Smallest number",
    "sum": "Add the numbers",
    "minus-one": "One less",
    "double": "Double the number",
    "half": "Half the number",
    "next-day": "The day after",
    "previous-day": "The day before",
    "previous-month": "The month before",
    "season": "Season of the month",
    "capital": "Capital of the country",
    "opposite": "Opposite word",
    "category": "What kind of thing",
    "even": "Is it even?",
    "odd": "Is it odd?",
    "is-animal": "Is it an animal?",
    "is-edible": "Can you eat it?",
    "weekend": "Is it the weekend?",
}
_EXPRESSION_TITLES = {
    "french": "in French",
    "spanish": "in Spanish",
    "german": "in German",
    "number-words": "as a number word",
    "true-false": "true or false",
    "letters": "by letter",
}
_FORMAT_TITLES = {
    "sentence": "as “The answer is …”",
    "twice": "twice",
    "note": "as “Answer: …”",
    "brackets": "in brackets",
    "arrow": "after an arrow",
    "question": "as a question",
    "thanks": "with thanks",
    "smile": "with a smile",
    "guess": "as “I think …”",
}


def module_title(module: Module) -> str:
    """The module's name for people."""
    if module.factor == "skill":
        return _SKILL_TITLES[module.name]
    titles = _EXPRESSION_TITLES if module.factor == "expression" else _FORMAT_TITLES
    return "Answer " + titles[module.name]


def _module_task(module: Module) -> str:
    title = module_title(module)
    if module.factor == "skill":
        return f"{title}: the skill, in English and half the time in other languages and formats."
    return f"{title}: applied to skills that the base knows."


def _parts(task: UnseenTask) -> list[str]:
    """The names of what the task combines: its skill, then the expression and the format."""
    c = task.combination
    parts = [
        _SKILL_TITLES[c.skill],
        _EXPRESSION_TITLES.get(c.expression),
        _FORMAT_TITLES.get(c.format),
    ]
    return [part for part in parts if part]


def task_title(task: UnseenTask) -> str:
    """The task's name for people."""
    skill, *others = _parts(task)
    if skill.endswith("?"):
        return f"{skill} Answer {', '.join(others)}"
    return ", ".join([skill, *others])


def _why_unseen(task: UnseenTask) -> str:
    c = task.combination
    quoted = [f"“{part.replace('“', '‘').replace('”', '’')}”" for part in _parts(task)]
    skill, *others = quoted
    text = f"No module was trained on this task: {skill} never came with {' or '.join(others)}."
    learned = [skill] if c.skill not in BASE_SKILLS else []
    if c.format not in BASE_FORMATS:
        learned.append(others[-1])
    if learned:
        text += f" Only one module learned {', and one '.join(learned)}."
    if task.instruction_shown:
        text += " The wording never appeared in training."
    return text


def _file(root: Path, path: str) -> dict[str, object]:
    data = (root / path).read_bytes()
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _json_line(example: Example) -> str:
    return json.dumps({"input": example[0], "output": example[1]}, ensure_ascii=False)


def draw_task(task: UnseenTask, seed: int) -> tuple[list[Example], list[Example]]:
    """Few-shot examples and test items, all with distinct inputs."""
    rng = random.Random(f"{task.id}/{seed}")
    examples: dict[str, str] = {}
    while len(examples) < FEW_SHOT:
        source, answer = draw_unseen(rng, task)
        examples[source] = answer
        if len(examples) == FEW_SHOT and len(set(examples.values())) < 2:
            examples.clear()
    items: dict[str, str] = {}
    while len(items) < TEST_ITEMS:
        source, answer = draw_unseen(rng, task)
        if source not in examples:
            items[source] = answer
    return list(examples.items()), list(items.items())


def _write_task(task: UnseenTask, seed: int, root: Path) -> dict[str, object]:
    examples, items = draw_task(task, seed)
    path = f"tasks/{task.id}.jsonl"
    (root / "tasks").mkdir(parents=True, exist_ok=True)
    (root / path).write_text("".join(_json_line(item) + "\n" for item in items), encoding="utf-8")
    return {
        "id": task.id,
        "title": task_title(task),
        "description": "The inputs say what to do."
        if task.instruction_shown
        else "The five examples alone show what to do.",
        "why_unseen": _why_unseen(task),
        "set": task.set,
        "instruction_shown": task.instruction_shown,
        "examples": [{"input": source, "output": answer} for source, answer in examples],
        "test": _file(root, path),
    }


def _example(module: Module, seed: int) -> Example:
    """A short example for the module's card."""
    rng = random.Random(f"{module.id}/{seed}")
    return min(
        (draw_module(rng, module) for _ in range(12)), key=lambda pair: abs(len(pair[0]) - 45)
    )


def _write_module(
    module: Module, result: ModuleResult, training: AdapterTraining, seed: int, root: Path
) -> dict[str, object]:
    folder = f"modules/{module.id}"
    source, answer = _example(module, seed)
    result_text = f"{result.exact_match:.1f} % (base: {result.base_exact_match:.1f} %)"
    card = f"""---
license: mit
library_name: peft
base_model: {BASE_ID}
tags: [lora, {module.factor}]
---
# {module_title(module)}

A LoRA module of LoraLoom's demo library, for the base `{BASE_ID}`.

- Task: {_module_task(module)}
- Example: `{source}` → `{answer}`
- Data: generated by `pkg-scripts/train` (`tasks.py`, `draw_module`); no pairing of an unseen task.
- Training: {training.steps} steps of {training.batch} examples, all linear layers,
  rank {training.rank}, alpha {training.alpha}, seed {training.seed}.
- Result on fresh data of its own task, exact match: {result_text}.
- Licence: {LICENCE}
"""
    (root / folder / "README.md").write_text(card, encoding="utf-8")
    return {
        "id": module.id,
        "title": module_title(module),
        "task": _module_task(module),
        "example": {"input": source, "output": answer},
        "base": BASE_ID,
        "rank": training.rank,
        "targets": list(TARGETS),
        "files": {
            "config": _file(root, f"{folder}/adapter_config.json"),
            "weights": _file(root, f"{folder}/adapter_model.safetensors"),
        },
        "license": LICENCE,
        "tags": [module.factor],
        "result": {
            "exact_match": round(result.exact_match, 1),
            "base_exact_match": round(result.base_exact_match, 1),
        },
    }


def write(
    root: Path,
    parameters: int,
    base_results: dict[str, float],
    module_results: list[ModuleResult],
    training: AdapterTraining,
    seed: int,
) -> None:
    """Writes the tasks, the cards and registry.json; base and modules must be there."""
    description = (
        "A small encoder-decoder of Flan-T5's architecture, instruction-tuned on generated tasks "
        "over words, numbers and dates in four languages."
    )
    base_files = (
        ("config", "config.json"),
        ("tokenizer", "tokenizer.json"),
        ("weights", "model.gguf"),
    )
    registry = {
        "version": 1,
        "title": "LoraLoom demo library",
        "bases": [
            {
                "id": BASE_ID,
                "title": "LoraLoom demo base",
                "description": description,
                "license": LICENCE,
                "parameters": parameters,
                "files": {kind: _file(root, f"base/{name}") for kind, name in base_files},
            }
        ],
        "modules": [
            _write_module(module, result, training, seed, root)
            for module, result in zip(MODULES, module_results, strict=True)
        ],
        "tasks": [_write_task(task, seed, root) for task in _TASKS],
    }
    text = json.dumps(registry, indent=2, ensure_ascii=False) + "\n"
    (root / "registry.json").write_text(text, encoding="utf-8")
    (root / "README.md").write_text(
        _readme(parameters, base_results, module_results), encoding="utf-8"
    )


def _readme(parameters: int, base: dict[str, float], modules: list[ModuleResult]) -> str:
    base_rows = "\n".join(f"| {skill} | {score:.0f} |" for skill, score in base.items())
    module_rows = "\n".join(
        f"| {module.id} | {module.factor} "
        f"| {result.exact_match:.0f} | {result.base_exact_match:.0f} |"
        for module, result in zip(MODULES, modules, strict=True)
    )
    return f"""# LoraLoom demo library

Made by `pkg-scripts/train-library`; `registry.json` lists everything with sizes and hashes.
Weights and data: {LICENCE}.

- `base/`: {parameters / 1e6:.1f} M parameters, T5 1.1 architecture, as GGUF Q8_0 with Hugging Face
  tensor names.
- `modules/`: {len(MODULES)} LoRA modules in PEFT's format.
- `tasks/`: {len(UNSEEN_TASKS)} unseen tasks, {FEW_SHOT} examples and {TEST_ITEMS} test items each.

An in-context prompt is `Q: input A: output`, once for each example, then `Q: input A:`.

## The base on what it was taught
Zero-shot exact match, fresh questions.

| skill | exact match |
|---|---|
{base_rows}

## The modules on their own tasks
Exact match on fresh data of each module's own mixture, most of which hides what is wanted.

| module | kind | module | base |
|---|---|---|---|
{module_rows}
"""
