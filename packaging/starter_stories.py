"""Very short stories in five steps."""

from __future__ import annotations

import random

from starter_words import fill

OPENINGS = (
    "Once upon a time there was a {size} {animal} named {name}. {name} lived in a {place}.",
    "Once there was a {mood} {animal} called {name}. The {animal} lived near the {place}.",
    "One {weather} day {name} went to the {place}.",
    "{name} had a {colour} {thing}. {name} took the {thing} to the {place} every day.",
    "In a {size} {place} there lived a {animal}. The name of the {animal} was {name}.",
    "{name} was a {job} in {city}. Every morning {name} walked to the {place}.",
    "There was a {animal} who liked {hobby}. The {animal} was called {name}.",
    "It was a {weather} {day}. {name} was very {mood} that day.",
    "{name} and {name2} were good friends. They liked to play in the {place}.",
    "Long ago {name} found a {size} {thing} in the {place}.",
)
WISHES = (
    "{name} wanted to find a {food}.",
    "One day {name} saw a {colour} {thing2} under a tree.",
    "{name} wanted to give a {thing2} to {name2}.",
    "But {name} was hungry and had no {food}.",
    "{name} heard a loud noise in the {place2}.",
    '{name} said, "I want to see the {place2}!"',
    "Then {name} met {name2}, a {mood} {animal2}.",
    "On the way {name} lost the {thing2}.",
    '{name2} asked, "Can you help me, {name}?"',
    "{name} thought about the {place2} all day.",
)
TROUBLES = (
    "But it began to rain, and {name} was cold.",
    "But the door was closed and nobody was there.",
    "The {animal2} was in the way and did not move.",
    "{name} looked everywhere but could not find it.",
    '"Oh no," said {name}, "what can I do?"',
    "{name2} was sad and began to cry.",
    "The way was long, and {name} was tired.",
    "It was too high for {name} to reach.",
    "Then the wind took it away.",
    "The night came and it was dark.",
)
HELPS = (
    'Then {name2} came and said, "I can help you."',
    "A kind {animal2} showed {name} the way.",
    "{name} had an idea and used the {thing2}.",
    "They worked together and soon it was done.",
    "{name} asked {name2} for help, and {name2} smiled.",
    "{name} was brave and tried again.",
    '"Thank you, {name2}," said {name}.',
    "They shared the {food} and sat in the sun.",
    "{name} gave the {thing2} back to {name2}.",
    "The {animal2} laughed and became a friend.",
)
ENDINGS = (
    "In the end {name} was very happy.",
    "They played until the evening. Then {name} went home.",
    "From that day on {name} and {name2} were best friends.",
    "{name} went home and told everyone about the {place2}.",
    "{name} was tired but happy, and slept well that night.",
    "And so {name} learned to be kind to others.",
    "That evening they all ate {food} together.",
    "After that {name} was never lonely again.",
)
REQUESTS = (
    ("Write a short story about a {animal} named {name}.", 0),
    ("Tell me a story about {name} the {animal}.", 0),
    ("Write a story about {name}, a {animal}.", 1),
)


def sentences(rng: random.Random, bound: dict[str, str], opening: str) -> list[str]:
    """A story's sentences, a step each; `bound` keeps its people and things."""
    steps = (WISHES, TROUBLES, HELPS, ENDINGS)
    return [fill(rng, opening, bound), *(fill(rng, rng.choice(step), bound) for step in steps)]


def story(rng: random.Random) -> str:
    """A story as plain text."""
    return " ".join(sentences(rng, {}, rng.choice(OPENINGS)))


def titled_story(rng: random.Random, bound: dict[str, str] | None = None) -> tuple[str, str]:
    """A request for a story, and the story."""
    values = {} if bound is None else bound
    request, opening = rng.choice(REQUESTS)
    return fill(rng, request, values), " ".join(sentences(rng, values, OPENINGS[opening]))
