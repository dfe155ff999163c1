"""How a question is asked and an answer expressed.

Owns the wordings of every skill, expression (language or notation) and format (what is put
around the answer), the layouts that join them to an input, and the k-shot prompt. Each has
wordings for training and others, ``UNSEEN``, that only unseen tasks use.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from . import lexicon
from .skills import SKILLS, Answer, Item

Factor = Literal["skill", "expression", "format"]
FACTORS: tuple[Factor, ...] = ("skill", "expression", "format")


@dataclass(frozen=True)
class Wordings:
    """Sentences for training and sentences kept for unseen tasks, without final full stops."""

    training: tuple[str, ...]
    unseen: tuple[str, ...]


def _w(training: str, unseen: str) -> Wordings:
    return Wordings(tuple(training.split("; ")), tuple(unseen.split("; ")))


def _pick(noun: str, article: str = "a") -> Wordings:
    thing = f"{article} {noun}"
    return _w(
        f"Find the {noun}; Pick the {noun}; Which word is {thing}?; Which one is {thing}?; "
        f"Choose the {noun}; Name the {noun}; What {noun} is in the list?; Give the {noun}",
        f"Give me the {noun} in this list; Find the one word that is {thing}; "
        f"One word here is {thing}, which one?",
    )


_SKILLS: dict[str, Wordings] = {
    "pick-animal": _pick("animal", "an"),
    "pick-fruit": _pick("fruit"),
    "pick-family": _pick("family member"),
    "pick-clothing": _pick("piece of clothing"),
    "pick-colour": _pick("colour"),
    "pick-food": _pick("food"),
    "pick-body": _pick("body part"),
    "pick-job": _pick("job"),
    "pick-household": _pick("household item"),
    "pick-nature": _pick("nature word"),
    "pick-country": _pick("country"),
    "largest": _w(
        "Find the largest number; Which number is largest?; Give the highest number; "
        "What is the biggest number?; Pick the largest; Name the highest one",
        "Give me the biggest number in this list; Which one is the highest here?",
    ),
    "smallest": _w(
        "Find the smallest number; Which number is smallest?; Give the lowest number; "
        "What is the least number?; Pick the smallest; Name the lowest one",
        "Give me the smallest number in this list; Which one is the lowest here?",
    ),
    "sum": _w(
        "Add the numbers; What is the sum?; How much is it in total?; Give the sum; "
        "Find the total; How many together?",
        "Give me the total of these; What do these numbers add up to?",
    ),
    "plus-one": _w(
        "Add one; What number comes next?; Give the next number; One more is what?; "
        "Count up by one; Which number follows?",
        "Give me the number that follows; What is one more than this?",
    ),
    "minus-one": _w(
        "Take away one; What number comes before?; Give the number before; One less is what?; "
        "Count down by one; Which number precedes?",
        "Give me the number before this; What is one less than this?",
    ),
    "double": _w(
        "Double the number; What is twice the number?; Give two times this; Multiply by two; "
        "Find the double; How much is it doubled?",
        "Give me twice this number; What is this multiplied by two?",
    ),
    "half": _w(
        "Halve the number; What is half the number?; Give half of this; Divide by two; "
        "Find the half; How much is it halved?",
        "Give me half of this number; What is this divided by two?",
    ),
    "next-day": _w(
        "Which day comes next?; Give the day after; What is the next day?; Name the following day; "
        "What day follows?; Find the day after",
        "Give me the day that follows; Which day is one day later?",
    ),
    "previous-day": _w(
        "Which day came before?; Give the day before; What was the previous day?; "
        "Name the preceding day; What was the day earlier?; Find yesterday",
        "Give me the previous day; Which day is one day earlier?",
    ),
    "next-month": _w(
        "Which month comes next?; Give the month after; What is the next month?; "
        "Name the following month; What month follows?; Find the month after",
        "Give me the month that follows; Which month is one month later?",
    ),
    "previous-month": _w(
        "Which month came before?; Give the month before; What was the previous month?; "
        "Name the preceding month; What was the month earlier?; Find the month before",
        "Give me the previous month; Which month is one month earlier?",
    ),
    "season": _w(
        "Which season is it?; Give the season; What season is that?; Name the season; "
        "In which season is it?; Find the season",
        "Give me the season of this month; Which season does this belong to?",
    ),
    "capital": _w(
        "What is the capital?; Give the capital; Name the capital city; "
        "Which city is the capital?; Find the capital; Say the capital",
        "Give me the capital of this country; Which city is its capital?",
    ),
    "opposite": _w(
        "Give the opposite; What is the opposite?; Say the opposite; Name the opposite word; "
        "What is the reverse?; Turn it around",
        "Give me the opposite of this; Which word is the reverse?",
    ),
    "category": _w(
        "What kind of thing is it?; Give the category; Name the category; Which group is it in?; "
        "What type is it?; Find the category",
        "Give me the kind of thing this is; Which category is it in?",
    ),
    "even": _w(
        "Is the number even?; Is it even?; Does it divide by two?; Say if it is even; "
        "Check that it is even; Even number?",
        "Tell me if the number is even; Is this an even number?",
    ),
    "odd": _w(
        "Is the number odd?; Is it odd?; Is it not even?; Say if it is odd; "
        "Check that it is odd; Odd number?",
        "Tell me if the number is odd; Is this an odd number?",
    ),
    "is-animal": _w(
        "Is it an animal?; Does it name an animal?; Is this an animal?; Say if it is an animal; "
        "Check that it is an animal; Animal?",
        "Tell me if it is an animal; Is the word an animal?",
    ),
    "is-edible": _w(
        "Can you eat it?; Is it edible?; Is this food?; Say if you can eat it; "
        "Check that it is edible; Edible?",
        "Tell me if you can eat it; Is the word something to eat?",
    ),
    "same-kind": _w(
        "Are they the same kind?; Do they belong together?; Are both the same kind of thing?; "
        "Say if they belong together; Same group?; Check that they are alike",
        "Tell me if they belong together; Are these the same kind of thing?",
    ),
    "weekend": _w(
        "Is it the weekend?; Is it a weekend day?; Does it fall on the weekend?; "
        "Say if it is the weekend; Check that it is the weekend; Weekend?",
        "Tell me if it is on a weekend; Is this a day of the weekend?",
    ),
    "say": _w(
        "Say the word; Write it; Give the word; Say it; What is the word?", "Give me the word"
    ),
    "say-number": _w("Say the number; Write it; Give the number; Say it", "Give me the number"),
}

_LANGUAGE_WORDING = (
    "in {0}; in {0} please; Answer in {0}; Say it in {0}; Use {0}; What is it in {0}?",
    "Reply in {0}; The answer must be in {0}",
)

_EXPRESSIONS: dict[str, Wordings] = {
    "english": Wordings(("", "", "", "", "", "in English"), ("",)),
    **{
        language: _w(*(text.format(language.capitalize()) for text in _LANGUAGE_WORDING))
        for language in lexicon.LANGUAGES[1:]
    },
    "number-words": _w(
        "in words; Write the number in words; as a word; Use a number word; Say it as a word",
        "The answer must be in words; Reply with a number word",
    ),
    "true-false": _w(
        "True or false?; Answer true or false; Say true or false; Use true or false",
        "Reply true or false; The answer must be true or false",
    ),
    "letters": _w(
        "Answer with the letter; Which letter?; Give the letter; Say the letter",
        "Reply with the letter; The answer must be the letter",
    ),
}

_FORMATS: dict[str, tuple[str, Wordings]] = {
    "plain": ("{0}", Wordings(("",), ("",))),
    "sentence": (
        "The answer is {0}",
        _w("in a sentence; Answer in a sentence; Use a full sentence; Write a sentence",
           "Reply in a full sentence; The answer must be a sentence"),
    ),
    "twice": (
        "{0} {0}",
        _w("twice; Say it twice; Write it two times; Repeat the answer",
           "Reply twice; The answer must be there two times"),
    ),
    "note": (
        "Answer: {0}",
        _w("with a label; Use a label; Label the answer; Write a label first",
           "Reply with a label; The answer must have a label"),
    ),
    "brackets": (
        "[ {0} ]",
        _w("in brackets; Answer in brackets; Use square brackets; Put it in brackets",
           "Reply in square brackets; The answer must be in brackets"),
    ),
    "arrow": (
        "=> {0}",
        _w("with an arrow; Start with an arrow; Use an arrow; Put an arrow first",
           "Reply with an arrow; The answer must have an arrow"),
    ),
    "question": (
        "{0}?",
        _w("as a question; Answer as a question; Ask it; Put a question mark",
           "Reply with a question; The answer must be a question"),
    ),
    "thanks": (
        "{0}, thank you",
        _w("with thanks; Say thank you; Thank me; End with thanks",
           "Reply and thank me; The answer must end with thanks"),
    ),
    "smile": (
        "{0} :)",
        _w("with a smile; End with a smile; Add a smile; Use a smiley",
           "Reply with a smiley; The answer must have a smile"),
    ),
    "guess": (
        "I think {0}",
        _w("as a guess; Answer as an opinion; Guess; Say what you think",
           "Reply with a guess; The answer must be an opinion"),
    ),
}  # fmt: skip

EXPRESSIONS = tuple(_EXPRESSIONS)
FORMATS = tuple(_FORMATS)

_BOOLEANS = {
    "english": ("no", "yes"),
    "french": ("non", "oui"),
    "spanish": ("no", "sí"),
    "german": ("nein", "ja"),
    "true-false": ("false", "true"),
    "letters": ("(B)", "(A)"),
}
_LETTERS = "ABCDE"


def can_express(skill: str, expression: str) -> bool:
    """Whether answers of the skill have a form in the expression."""
    kind = SKILLS[skill].kind
    if expression == "letters":
        return kind == "boolean" or skill.startswith("pick-")
    if expression == "number-words":
        return kind == "number"
    if expression == "true-false":
        return kind == "boolean"
    return True


def _express(answer: Answer, expression: str, options: tuple[str, ...]) -> str:
    if answer.kind == "boolean":
        return _BOOLEANS[expression][int(answer.value)]
    if expression == "letters":
        return f"({_LETTERS[options.index(str(answer.value))]})"
    if answer.kind == "number":
        if expression == "english":
            return str(answer.value)
        word = lexicon.NUMBER_WORDS[int(answer.value)]
        return word if expression == "number-words" else lexicon.TRANSLATIONS[expression][word]
    return lexicon.TRANSLATIONS[expression][str(answer.value)]


@dataclass(frozen=True)
class Combination:
    """What one prompt asks for."""

    skill: str
    expression: str = "english"
    format: str = "plain"


def _input_text(item: Item, combination: Combination) -> str:
    if combination.expression != "letters":
        return item.text
    if item.answer.kind == "boolean":
        return f"{item.text} (A) yes (B) no"
    return " ".join(f"({_LETTERS[i]}) {word}" for i, word in enumerate(item.options))


def _instruction(
    rng: random.Random, combination: Combination, hidden: frozenset[Factor], unseen: bool
) -> str:
    """Joins the wordings of the factors that are not hidden; clauses follow without a stop."""
    text = ""
    for factor in FACTORS:
        if factor in hidden:
            continue
        wordings = wordings_of(factor, getattr(combination, factor))
        wording = rng.choice(wordings.unseen if unseen else wordings.training)
        if not wording:
            continue
        if not text:
            text = wording[0].upper() + wording[1:]
        elif wording[0].islower() and not text.endswith("?"):
            text += " " + wording
        else:
            text += (" " if text.endswith("?") else ". ") + wording[0].upper() + wording[1:]
    return text


def wordings_of(factor: Factor, name: str) -> Wordings:
    """The wordings of one factor's value."""
    if factor == "skill":
        return _SKILLS[name]
    return _EXPRESSIONS[name] if factor == "expression" else _FORMATS[name][1]


def compose(
    rng: random.Random,
    combination: Combination,
    hidden: frozenset[Factor] = frozenset(),
    unseen: bool = False,
) -> tuple[str, str]:
    """Draws one (prompt, answer). With every factor hidden the prompt is the input alone."""
    item = SKILLS[combination.skill].draw(rng)
    source = _input_text(item, combination)
    answer = _express(item.answer, combination.expression, item.options)
    answer = _FORMATS[combination.format][0].format(answer)
    instruction = _instruction(rng, combination, hidden, unseen)
    if not instruction:
        return source, answer
    roll = rng.random()
    if roll < 0.75:
        mark = " " if instruction.endswith("?") else ": "
        return instruction + mark + source, answer
    mark = "" if instruction.endswith("?") else "."
    return f"{source}. {instruction}{mark}", answer


def few_shot_prompt(examples: list[tuple[str, str]], source: str) -> str:
    """The in-context prompt: ``Q: input A: output`` for each example, then the question."""
    shots = " ".join(f"Q: {text} A: {answer}" for text, answer in examples)
    return f"{shots} Q: {source} A:"
