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

_NUMBERS = range(lexicon.LARGEST_NUMBER + 1)

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


def _one_number(numbers: range, compute: Callable[[int], int]) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        number = rng.choice(numbers)
        return Item(_number_text(rng, number), Answer("number", compute(number)))

    return draw


def _number_text(rng: random.Random, number: int) -> str:
    name = rng.choice(lexicon.NAMES)
    return rng.choice(
        (str(number), f"the number {number}", f"{name} has {number}", f"{name} is {number}")
    )


def _mention_in(rng: random.Random, places: tuple[str, ...], word: str) -> str:
    return rng.choice(places).format(rng.choice(lexicon.NAMES), word)


def _step(
    cycle: tuple[str, ...], step: int, places: tuple[str, ...]
) -> Callable[[random.Random], Item]:
    following = {word: cycle[(index + step) % len(cycle)] for index, word in enumerate(cycle)}
    return _look_up(following, places)


def _look_up(table: dict[str, str], places: tuple[str, ...]) -> Callable[[random.Random], Item]:
    def draw(rng: random.Random) -> Item:
        word = rng.choice(list(table))
        return Item(_mention_in(rng, places, word), Answer("word", table[word]))

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
_COUNTRY_PLACES = (
    "{1}",
    "{0} lives in {1}",
    "{0} is from {1}",
    "the trip goes to {1}",
    "{0} writes from {1}",
)


def _weekend(rng: random.Random) -> Item:
    wanted = rng.random() < 0.5
    day = rng.choice([day for day in lexicon.DAYS if (day in lexicon.WEEKEND) == wanted])
    return Item(_mention_in(rng, _DAY_PLACES, day), Answer("boolean", wanted))


_THINGS = tuple(noun for noun in lexicon.ALL_NOUNS if noun not in lexicon.NOUNS["country"])


def _opposite(rng: random.Random) -> Item:
    adjective = rng.choice(lexicon.ADJECTIVES)
    text = adjective
    if rng.random() < 0.6:
        subject = rng.choice((rng.choice(lexicon.NAMES), "the " + rng.choice(_THINGS)))
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


def _say(rng: random.Random) -> Item:
    """The identity: what a dictionary is asked."""
    roll = rng.random()
    if roll < 0.75:
        word = rng.choice(lexicon.ALL_NOUNS + lexicon.ADJECTIVES + lexicon.CAPITALS)
    elif roll < 0.93:
        word = rng.choice(lexicon.DAYS + lexicon.MONTHS + lexicon.SEASONS)
    else:
        word = rng.choice(list(lexicon.CATEGORY_NAME.values()))
    return Item(word, Answer("word", word))


def _say_number(rng: random.Random) -> Item:
    number = rng.randint(0, lexicon.LARGEST_NUMBER)
    return Item(str(number), Answer("number", number))


def _all() -> dict[str, Skill]:
    skills = [Skill(f"pick-{c.split()[0]}", "word", _pick_category(c)) for c in lexicon.NOUNS]
    skills += [
        Skill("largest", "number", _extreme(max)),
        Skill("smallest", "number", _extreme(min)),
        Skill("sum", "number", _add),
        Skill("plus-one", "number", _one_number(_NUMBERS[:-1], lambda n: n + 1)),
        Skill("minus-one", "number", _one_number(_NUMBERS[1:], lambda n: n - 1)),
        Skill("double", "number", _one_number(_NUMBERS[: len(_NUMBERS) // 2 + 1], lambda n: 2 * n)),
        Skill("half", "number", _one_number(_NUMBERS[::2], lambda n: n // 2)),
        Skill("next-day", "word", _step(lexicon.DAYS, 1, _DAY_PLACES)),
        Skill("previous-day", "word", _step(lexicon.DAYS, -1, _DAY_PLACES)),
        Skill("next-month", "word", _step(lexicon.MONTHS, 1, _MONTH_PLACES)),
        Skill("previous-month", "word", _step(lexicon.MONTHS, -1, _MONTH_PLACES)),
        Skill("season", "word", _look_up(lexicon.SEASON_OF, _MONTH_PLACES)),
        Skill("capital", "word", _look_up(lexicon.CAPITAL_OF, _COUNTRY_PLACES)),
        Skill("opposite", "word", _opposite),
        Skill("category", "word", _category),
        Skill("even", "boolean", _parity(0)),
        Skill("odd", "boolean", _parity(1)),
        Skill("is-animal", "boolean", _member(("animal",))),
        Skill("is-edible", "boolean", _member(("fruit", "food"))),
        Skill("same-kind", "boolean", _same_kind),
        Skill("weekend", "boolean", _weekend),
        Skill("say", "word", _say),
        Skill("say-number", "number", _say_number),
    ]
    return {skill.name: skill for skill in skills}


SKILLS = _all()
