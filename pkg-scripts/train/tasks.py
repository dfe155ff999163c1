"""What the base is taught, what each module is taught, and what nobody is taught.

Owns the split of skills, expressions and formats into known to the base and known to modules
only, the unseen tasks, and the samplers of training data. No pair of factors of an unseen task
is ever drawn for training.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from .lexicon import LANGUAGES
from .prompts import (
    EXPRESSIONS,
    FACTORS,
    FORMATS,
    Combination,
    Factor,
    can_express,
    compose,
    few_shot_prompt,
)

Pair = tuple[str, str]

BASE_SKILLS = tuple(
    "pick-animal pick-fruit pick-family pick-clothing pick-country largest sum plus-one next-day "
    "next-month opposite category even is-animal same-kind".split()
)
# What takes longest to learn is drawn twice as often.
_BASE_DRAWS = (*BASE_SKILLS, "largest", "sum", "category", "same-kind")
_DICTIONARY_SKILLS = ("say", "say", "say", "say-number")
MODULE_SKILLS = tuple(
    "pick-colour pick-food pick-body pick-job pick-household pick-nature smallest minus-one double "
    "half previous-day previous-month season capital odd is-edible weekend".split()
)
BASE_FORMATS = ("plain", "sentence", "twice", "note")
MODULE_FORMATS = tuple(name for name in FORMATS if name not in BASE_FORMATS)


@dataclass(frozen=True)
class Module:
    """One LoRA module: the factor it carries."""

    factor: Factor
    name: str

    @property
    def id(self) -> str:
        return self.name


_BASE_SKILLS_WITH_MODULE = tuple(
    "pick-animal pick-fruit largest sum next-day opposite category even is-animal".split()
)
MODULES: tuple[Module, ...] = (
    *(Module("skill", name) for name in (*_BASE_SKILLS_WITH_MODULE, *MODULE_SKILLS)),
    *(Module("expression", name) for name in EXPRESSIONS if name != "english"),
    *(Module("format", name) for name in FORMATS if name != "plain"),
)


@dataclass(frozen=True)
class UnseenTask:
    """A combination that neither the base nor any module was trained on."""

    set: Literal["settings", "table"]
    combination: Combination
    instruction_shown: bool

    @property
    def id(self) -> str:
        c = self.combination
        parts = [c.skill] + [p for p in (c.expression, c.format) if p not in ("english", "plain")]
        return "-".join(parts)


def _unseen(set_name: Literal["settings", "table"], shown: bool, text: str) -> list[UnseenTask]:
    return [
        UnseenTask(set_name, Combination(*line.split()), shown) for line in text.strip().split("\n")
    ]


UNSEEN_TASKS: tuple[UnseenTask, ...] = tuple(
    _unseen("settings", True, """
pick-colour english brackets
smallest german arrow
previous-day english thanks
capital spanish plain
is-edible english guess""")
    + _unseen("settings", False, """
pick-job french plain
minus-one number-words plain
pick-animal english question
weekend true-false plain
season german brackets""")
    + _unseen("table", True, """
pick-body english arrow
half english smile
previous-month english brackets
double english thanks
odd english guess
pick-nature german question
opposite french plain
pick-fruit german thanks
capital english smile""")
    + _unseen("table", False, """
pick-household spanish plain
pick-colour german plain
largest french plain
smallest number-words plain
season spanish plain
next-day english brackets
category english smile
pick-food french question
pick-job letters plain""")
)  # fmt: skip


def _pairs(combination: Combination) -> set[Pair]:
    """The pairs of factors of which neither is the default."""
    skill, expression, form = combination.skill, combination.expression, combination.format
    pairs = set()
    if expression != "english":
        pairs.add((skill, expression))
    if form != "plain":
        pairs.add((skill, form))
    if expression != "english" and form != "plain":
        pairs.add((expression, form))
    return pairs


_HELD_OUT: frozenset[Pair] = frozenset(
    pair for task in UNSEEN_TASKS for pair in _pairs(task.combination)
)


def may_train(combination: Combination) -> bool:
    """Whether the combination makes sense and shares no pair with an unseen task."""
    return can_express(combination.skill, combination.expression) and not (
        _pairs(combination) & _HELD_OUT
    )


def _hidden(
    rng: random.Random, chances: tuple[tuple[float, tuple[Factor, ...]], ...]
) -> frozenset[Factor]:
    roll = rng.random()
    for chance, factors in chances:
        if roll < chance:
            return frozenset(factors)
        roll -= chance
    return frozenset()


_BASE_HIDDEN = (
    (0.08, FACTORS),
    (0.05, ("expression",)),
    (0.07, ("skill",)),
    (0.05, ("skill", "expression")),
)


def _base_combination(rng: random.Random) -> Combination:
    while True:
        combination = Combination(
            rng.choice(_BASE_DRAWS),
            rng.choice(EXPRESSIONS) if rng.random() < 0.7 else "english",
            rng.choice(BASE_FORMATS) if rng.random() < 0.25 else "plain",
        )
        if may_train(combination):
            return combination


def draw_base(rng: random.Random) -> tuple[str, str]:
    """One training example of the base: dictionary, k-shot prompt or instruction."""
    roll = rng.random()
    if roll < 0.14:
        return compose(rng, Combination("say", rng.choice(LANGUAGES)))
    if roll < 0.18:
        return compose(rng, Combination("say-number", rng.choice((*LANGUAGES, "number-words"))))
    combination = _base_combination(rng)
    if roll < 0.25:
        hidden = frozenset(FACTORS) if rng.random() < 0.75 else frozenset()
        examples = [
            compose(rng, combination, hidden) for _ in range(rng.choice((1, 2, 3, 4, 5, 5)))
        ]
        source, answer = compose(rng, combination, hidden)
        return few_shot_prompt(examples, source), answer
    return compose(rng, combination, _hidden(rng, _BASE_HIDDEN))


def draw_module(rng: random.Random, module: Module) -> tuple[str, str]:
    """One training example of a module. Half the data of a skill varies the other factors;
    expressions and formats are learned over the base's skills."""
    while True:
        combination, hidden = _module_combination(rng, module)
        if may_train(combination):
            return compose(rng, combination, hidden)


def _module_combination(
    rng: random.Random, module: Module
) -> tuple[Combination, frozenset[Factor]]:
    expression, form = "english", "plain"
    if module.factor == "skill":
        if rng.random() < 0.5:
            expression = rng.choice(EXPRESSIONS)
            form = rng.choice(BASE_FORMATS) if rng.random() < 0.4 else "plain"
        combination = Combination(module.name, expression, form)
        if expression == "english" and form == "plain" and rng.random() < 0.5:
            return combination, frozenset(FACTORS)
        return combination, _hidden(rng, ((0.6, ("skill",)),))
    skill = rng.choice(BASE_SKILLS)
    if module.factor == "expression":
        if rng.random() < 0.25:
            skill = rng.choice(_DICTIONARY_SKILLS)
        elif rng.random() < 0.3:
            form = rng.choice(BASE_FORMATS)
        combination = Combination(skill, module.name, form)
        return combination, _hidden(rng, ((0.5, ("expression",)), (0.35, ("skill", "expression"))))
    if rng.random() < 0.5:
        expression = rng.choice(EXPRESSIONS)
    combination = Combination(skill, expression, module.name)
    return combination, _hidden(rng, ((0.45, ("format",)), (0.35, ("skill", "format"))))


def draw_unseen(rng: random.Random, task: UnseenTask) -> tuple[str, str]:
    """One example of an unseen task, in wordings kept from training."""
    hidden = frozenset() if task.instruction_shown else frozenset(FACTORS)
    return compose(rng, task.combination, hidden, unseen=True)
