"""The sample task: a customer's message in, one strict line of JSON out."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

from starter_words import BARE_ARTICLE, NAMES, WARES, digits

SYSTEM = "Read the customer's message. Answer with one line of JSON."
TRAIN_ROWS = 1200
HELDOUT_ROWS = 160
SHARED_WORDS = 8
"""So many words in a row may not stand both in a training row and in a held-out row."""

GREETINGS = (
    "", "Hello!", "Hi!", "Good morning!", "Dear team!", "Hi there!", "Good evening!",
    "Hello, this is {name}.", "My name is {name}.", "Dear shop!",
)  # fmt: skip
CATEGORIES = ("billing", "damage", "delivery", "refund", "repair")
PROBLEMS = (
    "I have a {category} question about the {ware}",
    "there is a {category} problem with my {ware}",
    "I write because of the {category} of my {ware}",
    "please help me with the {category} of the {ware}",
    "my {ware} is a case for your {category} team",
    "who can tell me about the {category} of the {ware}?",
    "the {ware} came {days} days ago and I have a {category} question",
    "I need the {category} form for my new {ware}",
    "nobody told me how {category} works for the {ware}",
    "can you look into the {category} of my {ware}?",
)
REFERENCES = (
    "My order number is {order}.",
    "The order number is {order}.",
    "It is order {order}.",
    "This is about order {order}.",
    "Order {order}.",
    "I bought it with order {order}.",
    "You will find it under order {order}.",
    "The order in question is {order}.",
    "Reference: order {order}.",
    "On the slip I see order number {order}.",
)
COUNTS = ("three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "fourteen")
STATUSES = ("new", "open", "closed")
NOTES = (
    "The status is {status}.",
    "This case is {status}.",
    "In your system it is {status}.",
    "The site says that it is {status}.",
    "Its status in your shop is {status}.",
    "Status: {status}.",
)
CLOSINGS = (
    "", "Thanks.", "Thank you, {name}.", "Best wishes, {name}.", "Kind regards.", "Regards, {name}.",
    "Many thanks in advance.", "Yours, {name}.", "Bye.", "Thank you for your help.",
)  # fmt: skip


class Ticket(NamedTuple):
    """A message, its answer, and the message without what changes from order to order."""

    message: str
    answer: str
    words: tuple[str, ...]

    def row(self) -> dict[str, object]:
        """The ticket as a chat row."""
        return {
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": self.message},
                {"role": "assistant", "content": self.answer},
            ]
        }


def tickets() -> tuple[list[Ticket], list[Ticket]]:
    """Training and held-out tickets; no order number, message or run of words is in both."""
    stream = _stream(random.Random("tickets"))
    train = [next(stream) for _ in range(TRAIN_ROWS)]
    known = {run for ticket in train for run in _runs(ticket)}
    heldout: list[Ticket] = []
    while len(heldout) < HELDOUT_ROWS:
        ticket = next(stream)
        if not known.intersection(_runs(ticket)):
            heldout.append(ticket)
    return train, heldout


def _stream(rng: random.Random) -> Iterator[Ticket]:
    """Tickets without end; each order number and each message without its numbers comes once."""
    orders: set[str] = set()
    messages: set[tuple[str, ...]] = set()
    while True:
        ticket, order = _ticket(rng)
        if order not in orders and ticket.words not in messages:
            orders.add(order)
            messages.add(ticket.words)
            yield ticket


def _ticket(rng: random.Random) -> tuple[Ticket, str]:
    slots = {
        "category": rng.choice(CATEGORIES),
        "name": rng.choice(NAMES),
        "ware": rng.choice(WARES),
        "order": digits(rng, 5),
        "days": rng.choice(COUNTS),
        "status": rng.choice(STATUSES),
    }
    parts = (part.format(**slots) for part in _parts(rng) if part)
    message = BARE_ARTICLE.sub(r"\1n ", " ".join(parts))
    answer = {
        "category": slots["category"],
        "product": slots["ware"],
        "order": slots["order"],
        "status": slots["status"],
    }
    return Ticket(message, json.dumps(answer), _words(message)), slots["order"]


def _parts(rng: random.Random) -> list[str]:
    """Greeting and closing stand outside, the three parts between them in any order."""
    greeting, problem = rng.choice(GREETINGS), rng.choice(PROBLEMS)
    middle = [
        problem if problem.endswith("?") else problem + ".",
        rng.choice(REFERENCES),
        rng.choice(NOTES),
    ]
    rng.shuffle(middle)
    middle = [part[:1].upper() + part[1:] for part in middle]
    return [greeting, *middle, rng.choice(CLOSINGS)]


def _words(message: str) -> tuple[str, ...]:
    """Lower-case words; all numbers look alike."""
    return tuple(re.findall(r"[a-z']+|0", re.sub(r"\d+", "0", message.lower())))


def _runs(ticket: Ticket) -> set[tuple[str, ...]]:
    words = ticket.words
    return {words[i : i + SHARED_WORDS] for i in range(len(words) - SHARED_WORDS + 1)}
