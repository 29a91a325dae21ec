"""The other sample sets: instructions, preferences and prompts with answers to check."""

from __future__ import annotations

import random
from collections.abc import Callable

from starter_stories import titled_story
from starter_text import definition, fact, looked_up, repeated, small_talk, sum_question
from starter_words import WORDS, fill

STORIES = PREFERENCES = 300
PROMPTS = 200
DETAILS = (
    "It should play in the {place}.",
    "Let it end well.",
    "Use simple words.",
    "It is for small children.",
    "",
)
Row = dict[str, str]


def stories() -> list[Row]:
    """Requests for short stories in the Alpaca format."""
    rng = random.Random("stories")

    def row() -> Row:
        bound: dict[str, str] = {}
        request, output = titled_story(rng, bound)
        return {
            "instruction": request,
            "input": fill(rng, rng.choice(DETAILS), bound),
            "output": output,
        }

    return _distinct(row, "instruction", STORIES)


def preferences() -> list[Row]:
    """A right, friendly answer and a wrong or rude one to the same prompt."""
    rng = random.Random("preferences")

    def row() -> Row:
        prompt, chosen = rng.choice((fact, definition, sum_question, looked_up, small_talk))(rng)
        return {"prompt": prompt, "chosen": chosen, "rejected": _worse(rng, chosen)}

    return _distinct(row, "prompt", PREFERENCES)


RUDE = (
    "I do not care.",
    "That is a silly question.",
    "Look it up yourself.",
    "Why do you ask me that?",
    "No.",
    "I will not tell you.",
)


def _worse(rng: random.Random, chosen: str) -> str:
    """Rude, beside the point, or the right answer drowned in words."""
    kind = rng.randrange(3)
    if kind == 0:
        return rng.choice(RUDE)
    if kind == 1:
        return fill(rng, "The {animal} likes the {colour} {thing}.")
    return fill(rng, f"Well, well, let me think about the {{place}} first. {chosen} Or is it not?")


def prompts() -> list[Row]:
    """Prompts whose answers a program can check word for word."""
    rng = random.Random("prompts")

    def row() -> Row:
        prompt, answer = rng.choice((sum_question, looked_up, repeated, _longest, _counted))(rng)
        return {"prompt": prompt, "answer": answer}

    return _distinct(row, "prompt", PROMPTS)


def _longest(rng: random.Random) -> tuple[str, str]:
    words = rng.sample(WORDS["animal"] + WORDS["thing"], 3)
    while len({len(word) for word in words}) < 3:
        words = rng.sample(WORDS["animal"] + WORDS["thing"], 3)
    return f"Which word is the longest: {', '.join(words)}?", max(words, key=len)


def _counted(rng: random.Random) -> tuple[str, str]:
    words = rng.sample(WORDS["food"], rng.randrange(2, 7))
    return f"How many words are in this list: {', '.join(words)}?", str(len(words))


def _distinct(row: Callable[[], Row], key: str, count: int) -> list[Row]:
    """So many rows, no two with the same `key`."""
    rows: dict[str, Row] = {}
    while len(rows) < count:
        candidate = row()
        rows.setdefault(candidate[key], candidate)
    return list(rows.values())
