"""The text the starter model is pretrained on: simple English, put together from templates.

Much of it asks for words, names and numbers to be copied from a sentence to an answer: so small a
model picks that skill up from nothing else. The sample task itself (tickets) is not in it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence

from starter_facts import DEFINITIONS, FACTS, OPPOSITES, SMALL_TALK, STATES, TOPICS
from starter_stories import story, titled_story
from starter_words import KEYS, NAMES, NOUNS, WARES, digits, fill

Turn = tuple[str, str]
Document = list[tuple[str, bool]]
"""Pieces of text, and whether each is learned or only read: nobody can guess a question."""
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SYSTEMS = (
    "You are a helpful assistant.",
    "Answer in few words.",
    "Answer the question.",
    "Read the text and answer.",
    "Be brief and friendly.",
    "Answer with JSON.",
)


def chat(turns: Sequence[Turn], system: str = "") -> Document:
    """Questions and answers as ChatML, just as the chat template writes them."""
    document: Document = [(f"{START}system\n{system}{END}\n", False)] if system else []
    for asked, answer in turns:
        document.append((f"{START}user\n{asked}{END}\n{START}assistant\n", False))
        document += [(f"{answer}{END}", True), ("\n", False)]
    return document


def plain(question: str, answer: str) -> Document:
    """A question and its answer without a template."""
    return [(question, False), (answer + END_OF_TEXT, True)]


def documents(seed: int) -> Iterator[Document]:
    """Documents without end, always the same ones for a seed."""
    rng = random.Random(f"text {seed}")
    makers = [maker for maker, _ in MIXTURE]
    weights = [weight for _, weight in MIXTURE]
    while True:
        yield rng.choices(makers, weights)[0](rng)


def _asked(question_maker: Callable[[random.Random], Turn]) -> Callable[[random.Random], Document]:
    """A question or two of a kind, as a dialogue or as plain text."""

    def document(rng: random.Random) -> Document:
        turns = [question_maker(rng) for _ in range(1 if rng.random() < 0.9 else 2)]
        if rng.random() < 0.2:
            asked, answer = turns[0]
            return plain(f"Question: {asked}\nAnswer:", f" {answer}")
        return chat(turns, rng.choice(SYSTEMS) if rng.random() < 0.4 else "")

    return document


def _story(rng: random.Random) -> Document:
    return plain("", story(rng))


def _story_dialogue(rng: random.Random) -> Document:
    return chat([titled_story(rng)])


def definition(rng: random.Random) -> Turn:
    """What a word means."""
    word, meaning = rng.choice(DEFINITIONS)
    question = rng.choice(
        (
            "What is a {}?",
            "Explain the word {}.",
            "What does {} mean?",
            "Tell me what a {} is.",
            "Describe a {} in one sentence.",
        )
    )
    return fill(rng, question.format(word)), fill(rng, f"A {word} is {meaning}.")


def fact(rng: random.Random) -> Turn:
    """A fixed question with a fixed answer."""
    if rng.random() < 0.3:
        word, opposite = rng.choice(OPPOSITES)
        return f"What is the opposite of {word}?", opposite
    return rng.choice(FACTS)


def small_talk(rng: random.Random) -> Turn:
    """Greetings and thanks."""
    asked, answer = rng.choice(SMALL_TALK)
    bound: dict[str, str] = {}
    return fill(rng, asked, bound), fill(rng, answer, bound)


def sum_question(rng: random.Random) -> Turn:
    """Sums and differences up to twenty, and doubles."""
    a, b = rng.randrange(0, 11), rng.randrange(0, 11)
    kind = rng.randrange(4)
    if kind == 0:
        return f"What is {a} + {b}?", str(a + b)
    if kind == 1:
        return f"What is {max(a, b)} - {min(a, b)}?", str(abs(a - b))
    if kind == 2:
        return f"Which number comes after {a}?", str(a + 1)
    name = rng.choice(NAMES)
    return (
        f"{name} has {a} apples and gets {b} more. How many apples does {name} have now?",
        f"{name} has {a + b} apples.",
    )


REPEATED = (
    ("Repeat the number: {n5}", "{n5}"),
    ("Repeat the word: {key}", "{key}"),
    ("Say these words again: {key}, {noun}, {key2}", "{key}, {noun}, {key2}"),
    ('Say "{key} {noun}".', "{key} {noun}"),
    ("Repeat the words: {thing}, {animal}, {food}", "{thing}, {animal}, {food}"),
    (
        "Say this again: {stranger} likes the {colour} {thing}.",
        "{stranger} likes the {colour} {thing}.",
    ),
    ("Copy the code {n6}.", "{n6}"),
    ("Copy the numbers {n3}, {n5} and {n4}.", "{n3}, {n5} and {n4}"),
    ("Write the number {n5} three times.", "{n5} {n5} {n5}"),
    (
        "Say the names in order: {stranger}, {stranger2}, {stranger3}",
        "{stranger}, {stranger2}, {stranger3}",
    ),
)
SENTENCES = (
    ("{stranger} lives in {city}.", ("Where does {stranger} live?", "{city}")),
    ("{stranger} is a {job}.", ("What is the job of {stranger}?", "{job}")),
    ("{stranger} has a {colour} {thing}.", ("What is {colour}?", "the {thing}")),
    ("The number of {stranger} is {n5}.", ("What is the number of {stranger}?", "{n5}")),
    ("{stranger} lost parcel {n5}.", ("Which parcel is lost?", "{n5}")),
    ("The code for the door is {n4}.", ("What is the code?", "{n4}")),
    ("{stranger} bought the {ware} last {day}.", ("What did {stranger} buy?", "the {ware}")),
    ("On {day} it was {weather}.", ("How was the weather on {day}?", "{weather}")),
    ("The {animal} sleeps in the {place}.", ("Where does the {animal} sleep?", "in the {place}")),
    ("{stranger} likes {hobby}.", ("What does {stranger} like?", "{hobby}")),
    ("My name is {stranger}.", ("What is my name?", "{stranger}")),
    ("The train to {city} has the number {n4}.", ("Which number has the train?", "{n4}")),
    ("{stranger} was born in {month}.", ("When was {stranger} born?", "in {month}")),
    ("Invoice {n6} is for {stranger2}.", ("Which invoice is for {stranger2}?", "{n6}")),
    ("The order {n5} was for the {ware}.", ("What was ordered?", "the {ware}")),
    ("I called about order {n5}.", ("Which order was it?", "{n5}")),
    ("We keep the {ware} in the {place}.", ("What is in the {place}?", "the {ware}")),
)
FILLERS = (
    "It is a {weather} day.", "The {animal} eats a {food}.", "{name9} is {mood}.",
    "There are {n2} chairs.", "We met {n1} times.", "Thank you!", "Good morning!", "Hello!",
    "The {thing9} is {size}.", "See you on {day9}.", "Please read this.", "I need help.",
    "I am waiting.", "No problem.", "Best wishes, {name8}.", "This is important.",
)  # fmt: skip


def repeated(rng: random.Random) -> Turn:
    """Say again what was said."""
    bound: dict[str, str] = {}
    asked, answer = rng.choice(REPEATED)
    return fill(rng, asked, bound), fill(rng, answer, bound)


def looked_up(rng: random.Random) -> Turn:
    """A few sentences, and a question about one of them."""
    bound: dict[str, str] = {}
    sentence, (question, answer) = rng.choice(SENTENCES)
    told = [fill(rng, sentence, bound)]
    told += [fill(rng, filler, bound) for filler in rng.sample(FILLERS, rng.randrange(0, 4))]
    rng.shuffle(told)
    return f"{' '.join(told)} {fill(rng, question, bound)}", fill(rng, answer, bound)


RECORDS = (
    ("{stranger} is {n2} years old and lives in {city}.", ("name", "age", "city"), "{stranger}|{n2}|{city}"),
    ("The {colour} {thing} costs {n3} euros.", ("thing", "colour", "price"),
     "{thing}|{colour}|{n3}"),
    ("{stranger} the {job} likes {hobby}.", ("name", "job", "hobby"), "{stranger}|{job}|{hobby}"),
    ("Flight {n4} to {city} leaves on {day}.", ("flight", "city", "day"), "{n4}|{city}|{day}"),
    ("{stranger} has a {animal} called {stranger2}.", ("owner", "pet", "pet_name"),
     "{stranger}|{animal}|{stranger2}"),
    ("Parcel {n5} with a {ware} goes to {city}.", ("parcel", "content", "city"),
     "{n5}|{ware}|{city}"),
    ("In the {place} stands a {ware} with the number {n5}.", ("place", "object", "number"),
     "{place}|{ware}|{n5}"),
    ("Room {n3} is booked for {stranger} on {day}.", ("room", "guest", "day"), "{n3}|{stranger}|{day}"),
    ("{stranger} paid bill {n5} in {month}.", ("bill", "payer", "month"), "{n5}|{stranger}|{month}"),
)  # fmt: skip
RECORD_ORDERS = (
    "Write this as JSON with {}: ",
    "Give {} as JSON. ",
    "Put {} into a JSON object. ",
    "Answer with one line of JSON. ",
)


def record(rng: random.Random) -> Turn:
    """A few sentences as a JSON object."""
    bound: dict[str, str] = {}
    told: list[str] = []
    facts: dict[str, object] = {}
    for sentence, keys, values in rng.sample(RECORDS, rng.choice((1, 1, 2))):
        told.append(fill(rng, sentence, bound))
        facts |= dict(zip(keys, fill(rng, values, bound).split("|"), strict=True))
    if rng.random() < 0.6:
        state = rng.choice(sorted(STATES))
        facts[state] = rng.random() < 0.5
        told.append(rng.choice(STATES[state][0 if facts[state] else 1]))
    told += [fill(rng, filler, bound) for filler in rng.sample(FILLERS, rng.randrange(0, 3))]
    rng.shuffle(told)
    order = rng.choice(RECORD_ORDERS).format(", ".join(facts))
    return order + " ".join(told), json.dumps(facts)


def topic(rng: random.Random) -> Turn:
    """What a short message is about."""
    about = rng.choice(sorted(TOPICS))
    told = [rng.choice(TOPICS[about]) + "."]
    told += [fill(rng, filler) for filler in rng.sample(FILLERS, rng.randrange(0, 3))]
    rng.shuffle(told)
    question = rng.choice(("What is this about?", "Name the topic.", "Which topic is it?"))
    return f"{' '.join(told)} {question}", about


def key_values(rng: random.Random) -> Document:
    """A record as lines and as JSON, with fields of any name."""
    facts: dict[str, object] = {}
    for key in rng.sample(KEYS, rng.randrange(2, 5)):
        kind = rng.randrange(4)
        if kind == 0:
            facts[key] = digits(rng, rng.randrange(2, 7))
        elif kind == 1:
            facts[key] = rng.random() < 0.5
        else:
            facts[key] = rng.choice(rng.choice((NOUNS, KEYS, WARES, NAMES)))
    lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in facts.items())
    asked = rng.choice(
        ("Write this as JSON:", "As one line of JSON:", "Make a JSON object of this:")
    )
    return chat([(f"{asked}\n{lines}", json.dumps(facts))])


MIXTURE: tuple[tuple[Callable[[random.Random], Document], float], ...] = (
    (_story, 2),
    (_story_dialogue, 2),
    (_asked(definition), 2),
    (_asked(fact), 2),
    (_asked(small_talk), 1),
    (_asked(sum_question), 1.5),
    (_asked(repeated), 4),
    (_asked(topic), 3),
    (_asked(looked_up), 7),
    (_asked(record), 8),
    (key_values, 6),
)
