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
PROBLEMS = {
    "delivery": (
        "the {ware} has not arrived yet",
        "my {ware} is late and still on its way",
        "I am still waiting for my {ware}",
        "the parcel with the {ware} never came",
        "nobody delivered the {ware} to my house",
        "where is my {ware}? The tracking has not moved",
        "the courier did not bring the {ware}",
        "the delivery of my {ware} is days overdue",
        "the {ware} should have come {days} days ago",
        "I have waited {days} days and there is no {ware} at my door",
    ),
    "damage": (
        "the {ware} arrived broken",
        "the {ware} has a crack on one side",
        "my new {ware} does not work at all",
        "the {ware} came with a big scratch",
        "the {ware} stopped working after {days} days",
        "I opened the box and the {ware} was in pieces",
        "my {ware} is defective and will not turn on",
        "a part of the {ware} is bent and torn",
        "the {ware} was damaged when I unpacked it",
        "the {ware} makes smoke and a loud noise",
    ),
    "wrong_item": (
        "I ordered a {ware} but got something else",
        "you sent me the wrong {ware}",
        "this is not the {ware} that I chose",
        "the {ware} has the wrong colour",
        "the {ware} in the box is a different model",
        "my {ware} is the wrong size",
        "somebody mixed up my {ware} with another item",
        "instead of the {ware} there was another product in the box",
        "the {ware} does not match the picture in your shop",
        "I received another model of the {ware} by mistake",
    ),
    "refund": (
        "I want my money back for the {ware}",
        "please refund the {ware}",
        "I sent the {ware} back and wait for the refund",
        "I would like to return the {ware}",
        "how do I send the {ware} back?",
        "the {ware} is not for me and I want to return it",
        "when do I get the money for the returned {ware}?",
        "I changed my mind and want to give the {ware} back",
        "I returned the {ware} {days} days ago but got no refund",
        "can I return the unused {ware}?",
    ),
    "billing": (
        "I was charged twice for the {ware}",
        "the invoice for the {ware} is missing",
        "there is a mistake on the bill for the {ware}",
        "the price of the {ware} on my invoice is too high",
        "my card was charged too much for the {ware}",
        "please send me an invoice for the {ware}",
        "the discount for the {ware} is not on the bill",
        "the payment for my {ware} was booked two times",
        "the receipt for the {ware} shows the wrong address",
        "the tax for the {ware} on the bill looks wrong",
    ),
}
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
HURRIES = (
    "This is urgent.",
    "Please answer today.",
    "I need help right now.",
    "Please act as soon as possible.",
    "It cannot wait.",
    "I need it tomorrow.",
    "Please hurry.",
    "I need an answer within the hour.",
    "Please fix this immediately.",
    "Time is short for me.",
)
CALMS = (
    "There is no hurry.",
    "Take your time.",
    "It is not urgent.",
    "Whenever you find the time.",
    "I can wait.",
    "Next week is fine for me.",
    "No rush at all.",
    "It is fine if this takes a while.",
    "Please tell me more some day.",
    "",
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
    category = rng.choice(sorted(PROBLEMS))
    urgent = rng.random() < 0.5
    slots = {
        "name": rng.choice(NAMES),
        "ware": rng.choice(WARES),
        "order": digits(rng, 5),
        "days": str(rng.randrange(3, 20)),
    }
    parts = _parts(rng, category, urgent)
    message = BARE_ARTICLE.sub(r"\1n ", " ".join(p.format(**slots) for p in parts if p))
    answer = json.dumps(
        {"category": category, "product": slots["ware"], "order": slots["order"], "urgent": urgent}
    )
    return Ticket(message, answer, _words(message)), slots["order"]


def _parts(rng: random.Random, category: str, urgent: bool) -> list[str]:
    """Greeting and closing stand outside, the three parts between them in any order."""
    greeting = rng.choice(GREETINGS)
    problem = rng.choice(PROBLEMS[category])
    middle = [
        problem if problem.endswith("?") else problem + ".",
        rng.choice(REFERENCES),
        rng.choice(HURRIES if urgent else CALMS),
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
