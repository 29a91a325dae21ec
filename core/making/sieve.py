"""Which rows of a reply are kept: read strictly, then judged by the doctor's own checks."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from core.doctor import Ask, Check, Contamination, Seen
from core.doctor.control_tokens import ControlTokens
from core.doctor.hollow import HollowAnswers
from core.doctor.refusals import Refusals
from core.doctor.sketches import Sketches
from core.doctor.synthetic import COLUMN, MARK
from core.findings import Survey, is_json
from core.formats.conversation import turn
from core.making.order import Prompt
from core.making.prompts import Seeds

UNREADABLE, UNPROVEN, COPIED = "unreadable", "not_in_passage", "copied"
NOT_NEEDED = "not_needed"
NEAR_SEED, NEAR_NEW, NO_JSON = "repeats_a_seed", "repeats_a_new_row", "no_json"
WHY = {
    UNREADABLE: "not the JSON that was asked for, or without question or answer",
    UNPROVEN: "its quote does not stand in the passage",
    COPIED: "copies a long passage of the seeds",
    NEAR_SEED: "the question nearly repeats one of the seeds",
    NEAR_NEW: "the question nearly repeats that of an earlier new row",
    NO_JSON: "the answer is no JSON, as the seeds' answers are",
    NOT_NEEDED: "all rows that were wanted are there already",
    Refusals.code: "the answer refuses",
    HollowAnswers.code: "the answer only holds a place",
    ControlTokens.code: "signs of a chat template in the text",
}
"""What each reason means."""
RUN = 40
"""Words in a row that make a copy; fewer are the style that is to be met."""
_CHECKS: tuple[type[Check], ...] = (Refusals, HollowAnswers, ControlTokens)
_NAMED = re.compile(
    r"^Question:\s*(?P<question>.+?)\s*^Answer:\s*(?P<answer>.+?)\s*"
    r"(?=^(?:Example \d+\W*)?^Question:|\Z)",
    re.M | re.S,
)
_THOUGHT = re.compile(r"<think>.*?</think>", re.S)

Row = dict[str, Any]


class Sieve:
    """Judges replies one after the other; knows the seeds and every row that was kept."""

    def __init__(self, seeds: Seeds, path: Path, kept: Sequence[Row]) -> None:
        self._seeds = seeds
        self._contamination = Contamination(Ask(benchmarks=(path,), ngram=RUN))
        self._sketches = Sketches()
        self._asked = 0
        for question in seeds.questions():
            self._remember(question)
        self._old = self._asked
        for row in kept:
            self._remember(_question(row))

    def judge(self, prompt: Prompt, text: str) -> tuple[list[Row], Counter[str]]:
        """Rows of a reply that are kept, and the others counted by reason."""
        kept: list[Row] = []
        rejected: Counter[str] = Counter()
        found = _said(_THOUGHT.sub("", text))
        if not found:
            rejected[self._unread(text)] += 1
        for said in found:
            row = self._row(said)
            reason = self._reason(row, said, prompt) if row else UNREADABLE
            if row and not reason:
                kept.append(row)
            else:
                rejected[reason] += 1
        return kept, rejected

    def _unread(self, text: str) -> str:
        """A reply without rows may be a refusal."""
        return Refusals.code if _fails(Refusals, _seen("?", text)) else UNREADABLE

    def _row(self, said: dict[str, Any]) -> Row | None:
        question, answer = said.get("question"), said.get("answer")
        if self._seeds.json_answers and isinstance(answer, dict | list):
            answer = json.dumps(answer, ensure_ascii=False)
        if not _is_text(question) or not _is_text(answer):
            return None
        row: Row = {"messages": turn(question, answer, self._seeds.system), COLUMN: MARK}
        return row | ({"quote": said["quote"]} if _is_text(said.get("quote")) else {})

    def _reason(self, row: Row, said: dict[str, Any], prompt: Prompt) -> str:
        """Why a row is rejected; empty when it is not."""
        question, answer = _question(row), row["messages"][-1]["content"]
        seen = _seen(question, answer)
        failed = next((check.code for check in _CHECKS if _fails(check, seen)), "")
        if failed:
            return failed
        if self._seeds.json_answers and not is_json(answer):
            return NO_JSON
        if prompt.passage and not _stands_in(said.get("quote"), prompt.passage):
            return UNPROVEN
        return self._repeats(question) or (COPIED if self._copied(question, answer) else "")

    def _copied(self, question: str, answer: str) -> bool:
        """Answers in JSON are labels, which repeat rightly."""
        check, before = self._contamination, len(self._contamination.lines)
        texts = [question] if is_json(answer) else [question, answer]
        check.look(Seen(before + 1, [{"role": "user", "content": text} for text in texts], {}))
        check.conclude(Survey((), {}))
        return len(check.lines) > before

    def _repeats(self, question: str) -> str:
        """Compare with all questions so far; this one is among them from now on."""
        place = self._remember(question)
        first = int(self._sketches.clusters()[place])
        if first == place:
            return ""
        return NEAR_SEED if first < self._old else NEAR_NEW

    def _remember(self, question: str) -> int:
        self._sketches.add(self._asked, question)
        self._asked += 1
        return self._asked - 1


def _question(row: Row) -> str:
    return str(row["messages"][-2]["content"])


def _seen(question: str, answer: str) -> Seen:
    return Seen(1, turn(question, answer), {})


def _fails(check: type[Check], seen: Seen) -> bool:
    made = check(Ask())
    made.look(seen)
    return len(made.lines) > 0


def _is_text(value: object) -> TypeGuard[str]:
    """Text that says something and that any file takes."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return False
    return not re.search("[\ud800-\udfff]", value)


def _stands_in(quote: object, passage: str) -> bool:
    """Whether the words of a quote stand in a passage in this order, whatever lies between them."""
    if not isinstance(quote, str):
        return False
    words = " ".join(re.findall(r"\w+", quote.lower()))
    held = " ".join(re.findall(r"\w+", passage.lower()))
    return bool(words) and f" {words} " in f" {held} "


def _said(text: str) -> list[dict[str, Any]]:
    """What a reply holds: objects as asked for, or questions and answers by name.

    The latter is how the examples look, which small models go on with.
    """
    found = list(_objects(text))
    if any("question" in said for said in found):
        return found
    return [pair.groupdict() for pair in _NAMED.finditer(text)] or found


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text that is not inside another, whatever stands around them.

    A list that was cut off still yields its whole objects.
    """
    decoder, place = json.JSONDecoder(), text.find("{")
    while place >= 0:
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            found, end = None, place + 1
        if isinstance(found, dict):
            yield found
        place = text.find("{", end)
