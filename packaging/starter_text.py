"""The text the starter model is pretrained on: simple English, put together from templates.

Much of it asks for words, names and numbers to be copied from a sentence to an answer: so small a
model picks that skill up from nothing else. The sample task itself (tickets) is not in it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence

from starter_facts import DEFINITIONS, FACTS, OPPOSITES, SMALL_TALK
from starter_stories import story, titled_story
from starter_words import NAMES, WARES, digits, fill

Turn = tuple[str, str]
SYSTEMS = (
    "You are a helpful assistant.",
    "Answer in few words.",
    "Answer the question.",
    "Read the text and answer.",
    "Be brief and friendly.",
    "Answer with JSON.",
)


def chat(turns: Sequence[Turn], system: str = "") -> str:
    """Questions and answers as ChatML, just as the chat template writes them."""
    head = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    return head + "".join(
        f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
        for asked, answer in turns
    )


def documents(seed: int) -> Iterator[str]:
    """Documents without end, always the same ones for a seed."""
    rng = random.Random(f"text {seed}")
    makers = [maker for maker, _ in MIXTURE]
    weights = [weight for _, weight in MIXTURE]
    while True:
        yield rng.choices(makers, weights)[0](rng)


def _asked(question_maker: Callable[[random.Random], Turn]) -> Callable[[random.Random], str]:
    """One to three questions of a kind, as a dialogue or as plain text."""

    def document(rng: random.Random) -> str:
        turns = [question_maker(rng) for _ in range(rng.choice((1, 1, 2, 3)))]
        if rng.random() < 0.35:
            return "\n".join(f"Question: {asked}\nAnswer: {answer}" for asked, answer in turns)
        return chat(turns, rng.choice(SYSTEMS) if rng.random() < 0.4 else "")

    return document


def _story_dialogue(rng: random.Random) -> str:
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
    ("Repeat the word: {thing}", "{thing}"),
    ("Repeat the words: {thing}, {animal}, {food}", "{thing}, {animal}, {food}"),
    ("Say this again: {name} likes the {colour} {thing}.", "{name} likes the {colour} {thing}."),
    ("Copy the code {n6}.", "{n6}"),
    ("Copy the numbers {n3}, {n5} and {n4}.", "{n3}, {n5} and {n4}"),
    ("Write the number {n5} three times.", "{n5} {n5} {n5}"),
    ("Say the names in order: {name}, {name2}, {name3}", "{name}, {name2}, {name3}"),
)
RETELLINGS = (
    "{name} wrote the number {n5} on a card. The card says {n5}.",
    "The key of room {n3} is lost. {name} looks for the key of room {n3}.",
    "{name} called {n6} and {name2} called {n5}. So {name2} called {n5} and {name} called {n6}.",
    "Codes: {n5}, {n4}, {n6}. Again: {n5}, {n4}, {n6}.",
    "{n5} {n52} {n53} {n5} {n52} {n53}",
    "bus {n3} {n42} {city}; bus {n3} {n42} {city}",
    "{name} bought a {ware}. The {ware} cost {n3} euros. {name} paid {n3} euros for the {ware}.",
    "The parcel {n5} goes to {city}. In {city} {name} waits for the parcel {n5}.",
    "{name} has the ticket {n5}, {name2} has the ticket {n52}. {name} shows the ticket {n5}.",
    "List: {thing}, {animal}, {food}, {colour}. The list again: {thing}, {animal}, {food}, "
    "{colour}.",
)
SENTENCES = (
    ("{name} lives in {city}.", ("Where does {name} live?", "{city}")),
    ("{name} is a {job}.", ("What is the job of {name}?", "{job}")),
    ("{name} has a {colour} {thing}.", ("What is {colour}?", "the {thing}")),
    ("The number of {name} is {n5}.", ("What is the number of {name}?", "{n5}")),
    ("{name} lost parcel {n5}.", ("Which parcel is lost?", "{n5}")),
    ("The code for the door is {n4}.", ("What is the code?", "{n4}")),
    ("{name} bought a {ware} last {day}.", ("What did {name} buy?", "a {ware}")),
    ("On {day} it was {weather}.", ("How was the weather on {day}?", "{weather}")),
    ("The {animal} sleeps in the {place}.", ("Where does the {animal} sleep?", "in the {place}")),
    ("{name} likes {hobby}.", ("What does {name} like?", "{hobby}")),
    ("My name is {name}.", ("What is my name?", "{name}")),
    ("The train to {city} has the number {n4}.", ("Which number has the train?", "{n4}")),
    ("{name} was born in {month}.", ("When was {name} born?", "in {month}")),
    ("Invoice {n6} is for {name2}.", ("Which invoice is for {name2}?", "{n6}")),
    ("The order {n5} was for a {ware}.", ("What was ordered?", "a {ware}")),
    ("I called about order {n5}.", ("Which order was it?", "{n5}")),
    ("We keep a {ware} in the {place}.", ("What is in the {place}?", "a {ware}")),
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


def retold(rng: random.Random) -> str:
    """Plain text in which names and numbers come again."""
    return "\n".join(fill(rng, rng.choice(RETELLINGS)) for _ in range(rng.randrange(2, 6)))


def looked_up(rng: random.Random) -> Turn:
    """A few sentences, and a question about one of them."""
    bound: dict[str, str] = {}
    sentence, (question, answer) = rng.choice(SENTENCES)
    told = [fill(rng, sentence, bound)]
    told += [fill(rng, filler, bound) for filler in rng.sample(FILLERS, rng.randrange(0, 4))]
    rng.shuffle(told)
    return f"{' '.join(told)} {fill(rng, question, bound)}", fill(rng, answer, bound)


RECORDS = (
    ("{name} is {n2} years old and lives in {city}.", ("name", "age", "city"), "{name}|{n2}|{city}"),
    ("The {colour} {thing} costs {n3} euros.", ("thing", "colour", "price"),
     "{thing}|{colour}|{n3}"),
    ("{name} the {job} likes {hobby}.", ("name", "job", "hobby"), "{name}|{job}|{hobby}"),
    ("Flight {n4} to {city} leaves on {day}.", ("flight", "city", "day"), "{n4}|{city}|{day}"),
    ("{name} has a {animal} called {name2}.", ("owner", "pet", "pet_name"),
     "{name}|{animal}|{name2}"),
    ("Parcel {n5} with a {ware} goes to {city}.", ("parcel", "content", "city"),
     "{n5}|{ware}|{city}"),
    ("In the {place} stands a {ware} with the number {n5}.", ("place", "object", "number"),
     "{place}|{ware}|{n5}"),
    ("Room {n3} is booked for {name} on {day}.", ("room", "guest", "day"), "{n3}|{name}|{day}"),
    ("{name} paid bill {n5} in {month}.", ("bill", "payer", "month"), "{n5}|{name}|{month}"),
)  # fmt: skip
FLAGS = {
    "ready": ("It is ready.", "It is not ready yet."),
    "open": ("The shop is open.", "The shop is closed."),
    "paid": ("All is paid.", "Nothing is paid yet."),
    "happy": ("I am glad.", "I am not happy."),
}
RECORD_ORDERS = (
    "Write this as JSON with {}: ",
    "Give {} as JSON. ",
    "Put {} into a JSON object. ",
)


def record(rng: random.Random) -> Turn:
    """A sentence or two as a JSON object."""
    bound: dict[str, str] = {}
    sentence, keys, values = rng.choice(RECORDS)
    told = [fill(rng, sentence, bound)]
    facts: dict[str, object] = dict(zip(keys, fill(rng, values, bound).split("|"), strict=True))
    if rng.random() < 0.6:
        flag = rng.choice(sorted(FLAGS))
        facts[flag] = rng.random() < 0.5
        told.append(FLAGS[flag][0 if facts[flag] else 1])
    told += [fill(rng, filler, bound) for filler in rng.sample(FILLERS, rng.randrange(0, 3))]
    rng.shuffle(told)
    order = rng.choice(RECORD_ORDERS).format(", ".join(facts))
    return order + " ".join(told), json.dumps(facts)


def key_values(rng: random.Random) -> str:
    """A record as lines and as JSON."""
    facts = {
        "name": rng.choice(NAMES),
        "number": digits(rng, rng.randrange(3, 7)),
        "item": rng.choice(WARES),
        "day": fill(rng, "{day}"),
        "colour": fill(rng, "{colour}"),
        "city": fill(rng, "{city}"),
    }
    chosen = {key: facts[key] for key in rng.sample(sorted(facts), rng.randrange(2, 6))}
    lines = "\n".join(f"{key}: {value}" for key, value in chosen.items())
    return f"{lines}\n{json.dumps(chosen)}"


MIXTURE: tuple[tuple[Callable[[random.Random], str], float], ...] = (
    (story, 5),
    (_story_dialogue, 2),
    (_asked(definition), 2.5),
    (_asked(fact), 1.5),
    (_asked(small_talk), 1),
    (_asked(sum_question), 1.5),
    (_asked(repeated), 4),
    (retold, 4),
    (_asked(looked_up), 9),
    (_asked(record), 9),
    (key_values, 3),
)
