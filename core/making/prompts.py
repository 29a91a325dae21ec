"""What a writer is asked: more rows like the seeds, or questions that a passage answers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

from core.dataset import DataFacts, Example, read_examples
from core.errors import DataError
from core.making.order import Order, Prompt

PASSAGE = 2_000
"""Characters of a passage; longer paragraphs are parted at spaces."""
SHORTEST = 200
"""Characters of a passage that is worth a question."""
CLIPPED = 2_000
"""Characters of a question or answer that is shown as an example."""
_SYSTEM = "You write training data for a language model. You answer with JSON only."
_LIKE = """Here are {shown} examples of one task.{instructions}

{examples}

Write {count} new examples of the same task, in the same language, style and form of answer. Each \
must differ from the examples and from the other new ones in its subject, names and wording. Every \
answer must be right and complete. Answer with a JSON list and nothing else:
[{{"question": "...", "answer": "..."}}]"""
_ABOUT = """Here is a passage of a document.

<passage>
{passage}
</passage>

Write {count} questions that this passage answers, in its language, each with a complete answer \
that rests on the passage alone. Whoever is asked does not see the passage: name what a question \
is about, and do not speak of a passage or text. As "quote" copy the words of the passage that \
prove the answer, unchanged. Answer with a JSON list and nothing else:
[{{"question": "...", "answer": "...", "quote": "..."}}]"""


def digest_of_prompts() -> str:
    """SHA-256 of all that is said to a writer beside the seeds."""
    return hashlib.sha256("\0".join((_SYSTEM, _LIKE, _ABOUT)).encode()).hexdigest()


class Seeds(Protocol):
    """What new rows are made from."""

    system: str
    """The system message of the new rows; empty for none."""
    json_answers: bool
    warnings: tuple[str, ...]

    def questions(self) -> Sequence[str]:
        """Questions that must not be asked again."""
        ...

    def prompt(self, number: int) -> Prompt:
        """The request of this number; the same for the same seed, whenever it is asked."""
        ...


def open_seeds(order: Order, facts: DataFacts) -> Seeds:
    """The seeds of an order: documents when they are plain text, else rows. Raises DataError."""
    examples, _ = read_examples(order.seeds, format=order.format, columns=order.columns)
    if facts.format == "text":
        return Documents(order, [example.messages[0]["content"] for example in examples])
    return Rows(order, examples, json_answers=facts.json_answers)


class Rows:
    """Rows with a question and an answer, shown as examples in changing company."""

    def __init__(self, order: Order, examples: Sequence[Example], *, json_answers: bool) -> None:
        self._order, self._all = order, examples
        self._usable = [e.messages for e in examples if _single(e.messages)]
        if not self._usable:
            raise DataError(
                f"{order.seeds}: no row is a single question with its answer.",
                hint="Seeds of one question and one answer each can be shown as examples.",
            )
        systems = {_said(messages, "system") for messages in self._usable}
        self.system = systems.pop() if len(systems) == 1 else ""
        self.json_answers = json_answers
        self.warnings = tuple(self._doubts(several_systems=bool(systems)))

    def _doubts(self, *, several_systems: bool) -> Iterator[str]:
        if left := len(self._all) - len(self._usable):
            yield f"{left:,} seeds have several turns and are not shown as examples."
        if several_systems:
            yield "The seeds have different system messages; the new rows have none."

    def questions(self) -> Sequence[str]:
        """Every question of the seeds."""
        return [_said(example.messages, "user") for example in self._all]

    def prompt(self, number: int) -> Prompt:
        """Some examples by chance, and the wish for more."""
        order, lot = self._order, _lot(self._order.seed, number)
        shown = lot.sample(self._usable, min(order.examples, len(self._usable)))
        text = _LIKE.format(
            shown=len(shown),
            instructions=f"\nIts instructions: {self.system[:CLIPPED]}" if self.system else "",
            examples="\n\n".join(_example(messages) for messages in shown),
            count=order.per_request,
        )
        return Prompt(messages=_messages(text), seed=lot.getrandbits(31))


class Documents:
    """Texts in passages, each asked about in turn, in an order by chance."""

    system = ""
    json_answers = False

    def __init__(self, order: Order, texts: Sequence[str]) -> None:
        self._order = order
        self._passages = [p for text in texts for p in passages(text)]
        if not self._passages:
            raise DataError(
                f"{order.seeds}: no passage has {SHORTEST} characters or more.",
                hint="Choose longer documents, or rows with questions and answers.",
            )
        self.warnings: tuple[str, ...] = ()

    def questions(self) -> Sequence[str]:
        """Documents ask nothing."""
        return ()

    @cached_property
    def _turns(self) -> list[int]:
        turns = list(range(len(self._passages)))
        random.Random(self._order.seed).shuffle(turns)
        return turns

    def prompt(self, number: int) -> Prompt:
        """The next passage, and the wish for questions that it answers."""
        passage = self._passages[self._turns[number % len(self._turns)]]
        text = _ABOUT.format(passage=passage, count=self._order.per_request)
        seed = _lot(self._order.seed, number).getrandbits(31)
        return Prompt(messages=_messages(text), seed=seed, passage=passage)


def passages(text: str) -> list[str]:
    """A text parted at blank lines into passages of similar size; what is too short is left out."""
    found, held = [], ""
    for paragraph in _paragraphs(text):
        if held and len(held) + len(paragraph) > PASSAGE:
            found.append(held)
            held = ""
        held = f"{held}\n\n{paragraph}".strip()
    return [passage for passage in [*found, held] if len(passage) >= SHORTEST]


def _paragraphs(text: str) -> list[str]:
    parts: list[str] = []
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        rest = paragraph.strip()
        while len(rest) > PASSAGE:
            cut = rest.rfind(" ", 1, PASSAGE)
            cut = cut if cut > 0 else PASSAGE
            parts.append(rest[:cut])
            rest = rest[cut:].strip()
        if rest:
            parts.append(rest)
    return parts


def _lot(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}:{number}")


def _messages(text: str) -> tuple[dict[str, str], ...]:
    return {"role": "system", "content": _SYSTEM}, {"role": "user", "content": text}


def _single(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether this is one question and its answer in text."""
    roles = [message["role"] for message in messages if message["role"] != "system"]
    plain = not any(message.get("tool_calls") for message in messages)
    return roles == ["user", "assistant"] and plain


def _said(messages: Sequence[dict[str, Any]], role: str) -> str:
    return next((str(m["content"]) for m in messages if m["role"] == role), "")


def _example(messages: Sequence[dict[str, Any]]) -> str:
    question, answer = _said(messages, "user"), _said(messages, "assistant")
    return f"Question: {question[:CLIPPED]}\nAnswer: {answer[:CLIPPED]}"
