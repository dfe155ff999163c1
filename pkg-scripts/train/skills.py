"""The skills: what is to be computed from an input, apart from how it is asked or expressed.

Owns the generators of inputs and answers. A ``Skill`` draws an ``Item``: an input as a person
would write it and an ``Answer`` that no language or format has touched yet.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from . import lexicon

AnswerKind = Literal["word", "number", "boolean"]


@dataclass(frozen=True)
class Answer:
    """A concept of the lexicon, a number from 0 to 20, or yes/no."""

    kind: AnswerKind
    value: str | int | bool


@dataclass(frozen=True)
class Item:
    """One question's input and answer. ``options`` are set where letters can stand for them."""

    text: str
    answer: Answer
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skill:
    """A named computation; ``kind`` is the kind of all its answers."""

    name: str
    kind: AnswerKind
    draw: Callable[[random.Random], Item]


def _join(rng: random.Random, words: list[str]) -> str:
    """Writes a list the ways people do."""
    if len(words) > 1 and rng.random() < 0.25:
        return ", ".join(words[:-1]) + " and " + words[-1]
    return ", ".join(words)


def _mention(rng: random.Random, text: str) -> str:
    """Sometimes says where a list or word comes from."""
    roll = rng.random()
    if roll < 0.7:
        return text
    if roll < 0.85:
        return f"{rng.choice(lexicon.NAMES)} wrote: {text}"
    return rng.choice(("Words: ", "List: ", "Notes: ")) + text


def _pick_category(category: str) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        wanted = rng.choice(lexicon.NOUNS[category])
        others = [name for name in lexicon.NOUNS if name != category]
        words = [rng.choice(lexicon.NOUNS[name]) for name in rng.sample(others, rng.randint(2, 4))]
        words.insert(rng.randint(0, len(words)), wanted)
        text = _mention(rng, _join(rng, words))
        return Item(text, Answer("word", wanted), tuple(words))

    return draw


def _pick_position(index: int) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        words = rng.sample(lexicon.ALL_NOUNS, rng.randint(3, 5))
        return Item(_mention(rng, _join(rng, words)), Answer("word", words[index]))

    return draw


def _extreme(choose: Callable[[list[int]], int]) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        numbers = rng.sample(range(lexicon.LARGEST_NUMBER + 1), rng.randint(2, 4))
        text = _mention(rng, _join(rng, [str(number) for number in numbers]))
        return Item(text, Answer("number", choose(numbers)))

    return draw


def _pair_text(rng: random.Random, first: int, second: int) -> str:
    if rng.random() < 0.3:
        one, other = rng.sample(lexicon.NAMES, 2)
        return f"{one} has {first} and {other} has {second}"
    return f"{first}{rng.choice((' and ', ', '))}{second}"


def _add(rng: random.Random) -> Item:
    first = rng.randint(0, lexicon.LARGEST_NUMBER)
    second = rng.randint(0, lexicon.LARGEST_NUMBER - first)
    if rng.random() < 0.5:
        first, second = second, first
    return Item(_pair_text(rng, first, second), Answer("number", first + second))


def _difference(rng: random.Random) -> Item:
    # From one up: with a zero the difference is also the sum, which the base is taught.
    first, second = (rng.randint(1, lexicon.LARGEST_NUMBER) for _ in range(2))
    return Item(_pair_text(rng, first, second), Answer("number", abs(first - second)))


def _one_number(
    low: int, high: int, compute: Callable[[int], int]
) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        number = rng.randint(low, high)
        return Item(_number_text(rng, number), Answer("number", compute(number)))

    return draw


def _number_text(rng: random.Random, number: int) -> str:
    name = rng.choice(lexicon.NAMES)
    return rng.choice(
        (str(number), f"the number {number}", f"{name} has {number}", f"{name} is {number}")
    )


def _step(
    cycle: tuple[str, ...], step: int, places: tuple[str, ...]
) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        index = rng.randrange(len(cycle))
        text = rng.choice(places).format(rng.choice(lexicon.NAMES), cycle[index])
        return Item(text, Answer("word", cycle[(index + step) % len(cycle)]))

    return draw


_DAY_PLACES = (
    "{1}",
    "{0} comes on {1}",
    "the party is on {1}",
    "{0} works on {1}",
    "{0} left on {1}",
)
_MONTH_PLACES = (
    "{1}",
    "{0} was born in {1}",
    "the trip is in {1}",
    "{0} moved in {1}",
    "{0} left in {1}",
)


def _opposite(rng: random.Random) -> Item:
    adjective = rng.choice(lexicon.ADJECTIVES)
    text = adjective
    if rng.random() < 0.6:
        subject = rng.choice((rng.choice(lexicon.NAMES), "the " + rng.choice(lexicon.ALL_NOUNS)))
        text = f"{subject} is {adjective}"
    return Item(text, Answer("word", lexicon.OPPOSITE[adjective]))


def _category(rng: random.Random) -> Item:
    noun = rng.choice(lexicon.ALL_NOUNS)
    answer = lexicon.CATEGORY_NAME[lexicon.CATEGORY_OF[noun]]
    return Item(_mention(rng, noun), Answer("word", answer))


def _parity(remainder: int) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        number = rng.randint(0, lexicon.LARGEST_NUMBER)
        return Item(_number_text(rng, number), Answer("boolean", number % 2 == remainder))

    return draw


def _member(categories: tuple[str, ...]) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        wanted = rng.random() < 0.5
        pool = [
            noun
            for noun in lexicon.ALL_NOUNS
            if (lexicon.CATEGORY_OF[noun] in categories) == wanted
        ]
        return Item(_mention(rng, rng.choice(pool)), Answer("boolean", wanted))

    return draw


def _same_kind(rng: random.Random) -> Item:
    same = rng.random() < 0.5
    if same:
        words = rng.sample(lexicon.NOUNS[rng.choice(list(lexicon.NOUNS))], 2)
    else:
        words = [rng.choice(lexicon.NOUNS[name]) for name in rng.sample(list(lexicon.NOUNS), 2)]
    return Item(f"{words[0]} and {words[1]}", Answer("boolean", same))


def _greater(rng: random.Random) -> Item:
    first, second = rng.sample(range(lexicon.LARGEST_NUMBER + 1), 2)
    return Item(_pair_text(rng, first, second), Answer("boolean", first > second))


def _say(rng: random.Random) -> Item:
    """The identity: what a dictionary is asked."""
    roll = rng.random()
    if roll < 0.75:
        word = rng.choice(lexicon.ALL_NOUNS + lexicon.ADJECTIVES)
    elif roll < 0.93:
        word = rng.choice(lexicon.DAYS + lexicon.MONTHS)
    else:
        word = rng.choice(list(lexicon.CATEGORY_NAME.values()))
    return Item(word, Answer("word", word))


def _say_number(rng: random.Random) -> Item:
    number = rng.randint(0, lexicon.LARGEST_NUMBER)
    return Item(str(number), Answer("number", number))


def _all() -> dict[str, Skill]:
    skills = [Skill(f"pick-{c.split()[0]}", "word", _pick_category(c)) for c in lexicon.NOUNS]
    skills += [
        Skill("first", "word", _pick_position(0)),
        Skill("last", "word", _pick_position(-1)),
        Skill("largest", "number", _extreme(max)),
        Skill("smallest", "number", _extreme(min)),
        Skill("sum", "number", _add),
        Skill("difference", "number", _difference),
        Skill("plus-one", "number", _one_number(0, lexicon.LARGEST_NUMBER - 1, lambda n: n + 1)),
        Skill("minus-one", "number", _one_number(1, lexicon.LARGEST_NUMBER, lambda n: n - 1)),
        Skill("double", "number", _one_number(0, lexicon.LARGEST_NUMBER // 2, lambda n: 2 * n)),
        Skill("next-day", "word", _step(lexicon.DAYS, 1, _DAY_PLACES)),
        Skill("previous-day", "word", _step(lexicon.DAYS, -1, _DAY_PLACES)),
        Skill("next-month", "word", _step(lexicon.MONTHS, 1, _MONTH_PLACES)),
        Skill("previous-month", "word", _step(lexicon.MONTHS, -1, _MONTH_PLACES)),
        Skill("opposite", "word", _opposite),
        Skill("category", "word", _category),
        Skill("even", "boolean", _parity(0)),
        Skill("odd", "boolean", _parity(1)),
        Skill("is-animal", "boolean", _member(("animal",))),
        Skill("is-edible", "boolean", _member(("fruit", "food"))),
        Skill("same-kind", "boolean", _same_kind),
        Skill("greater", "boolean", _greater),
        Skill("say", "word", _say),
        Skill("say-number", "number", _say_number),
    ]
    return {skill.name: skill for skill in skills}


SKILLS = _all()
