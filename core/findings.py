"""What one pass over a dataset finds: rows left out, repeated, or carrying what is not used."""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.formats import Message, RowError
from core.repeats import DIGEST, Repeats
from core.value import Value

NAMED = 5
"""Lines a sentence names."""
KEPT = 100
"""Lines a finding keeps."""
NAME = 60
"""Letters of a column's name that a sentence repeats."""
JSON_SHARE = 0.9
DROPPED = ("duplicates",)
"""What is found in usable rows and mended by leaving them out."""

Severity = Literal["error", "warning", "note"]


class DataFinding(Value):
    """One thing found in a dataset, with the lines where it is (the first hundred)."""

    code: str
    severity: Severity
    title: str = ""
    """What it is, in a few words."""
    count: int
    rows: tuple[int, ...] = ()
    partners: tuple[int, ...] = ()
    """For each of `rows` the earlier line it belongs to, where there is one."""
    text: str
    fix: str = ""
    """What to do about it."""
    mendable: bool = False
    """Whether `tunesmith data fix` can do it, in a copy."""

    @classmethod
    def over(
        cls,
        code: str,
        severity: Severity,
        lines: Sequence[int],
        text: str,
        fix: str = "",
        more: str = "",
        *,
        title: str = "",
        partners: Sequence[int] = (),
        mendable: bool = False,
    ) -> DataFinding:
        """A finding about some lines; the sentence names the first of them."""
        return cls(
            code=code,
            severity=severity,
            title=title,
            count=len(lines),
            rows=tuple(lines[:KEPT]),
            partners=tuple(partners[:KEPT]),
            text=f"{text} ({name_lines(lines)}). {more}".rstrip(),
            fix=fix,
            mendable=mendable,
        )


def name_lines(lines: Sequence[int]) -> str:
    """ "line 7", or "lines 7, 9, 12, 15, 20, ..."."""
    shown = ", ".join(f"{line:,}" for line in lines[:NAMED])
    more = ", ..." if len(lines) > NAMED else ""
    return f"line{'s' if len(lines) > 1 else ''} {shown}{more}"


_LEFT_OUT = {
    "empty_answer": ("empty answer", "Write the answers or delete these rows."),
    "empty_message": ("empty question or text", "Fill it in or delete these rows."),
    "no_answer": (
        "no answer at the end",
        "Nothing can be learned from them. Add the assistant's answer or delete these rows.",
    ),
    "role_order": (
        "messages in an impossible order",
        "Start with the user, then take turns; join neighbouring messages of one role.",
    ),
    "bad_role": ("unknown role", "Use the roles system, user and assistant."),
    "system_only": ("nothing but a system message", "Add a question and an answer."),
    "not_text": ("something else than text", "Put the value in quotes or delete these rows."),
    "broken_text": ("broken characters", "Export the data again as UTF-8."),
    "same_answers": ("better and worse answer are the same", "Make the answers differ."),
    "two_questions": (
        "better and worse answer belong to different questions",
        "Give both conversations the same messages up to the last answer.",
    ),
    "few_answers": ("fewer than two answers to rank", "Add answers or delete these rows."),
    "bad_tool_call": (
        "a tool call that cannot be read",
        'Write {"function": {"name": ..., "arguments": {...}}}, or delete these rows.',
    ),
    "wrong_shape": ("built differently from the others", "Give every row the same columns."),
}
"""Why rows cannot be used, and what to do."""


class _Roles:
    """System messages and what users say, as hashes: many of the one and few of the other."""

    ENOUGH, KEPT = 20, 10_000
    """Rows below which chance may look like a fault, and texts that are told apart."""

    def __init__(self) -> None:
        self._lines = array("Q")
        self._systems: set[int] = set()
        self._said: set[int] = set()

    def add(self, line: int, messages: Sequence[Message]) -> None:
        """Count a row that begins with a system message."""
        if messages[0]["role"] != "system":
            return
        self._lines.append(line)
        said = "\0".join(m["content"] for m in messages[1:-1])
        for texts, text in ((self._systems, messages[0]["content"]), (self._said, said)):
            if len(texts) < self.KEPT:
                texts.add(hash(text))

    def swapped(self) -> list[int]:
        """The rows, if the question was taken for the system message."""
        rows = min(len(self._lines), self.KEPT)
        odd = len(self._systems) >= 0.5 * rows and len(self._said) <= 0.1 * rows
        return list(self._lines) if rows >= self.ENOUGH and odd else []


class Survey:
    """Counts while the rows go by; holds hashes, never texts."""

    def __init__(self, columns: Sequence[str], mapping: Mapping[str, str]) -> None:
        self.rows = 0
        self.unusable = 0
        self.max_chars = 0
        self._total = 0
        self._chars = array("Q")
        self._json = 0
        self._columns = columns
        self._mapping = mapping
        self._left_out: dict[str, list[int]] = {}
        self._reasons: dict[str, str] = {}
        self._repeats = Repeats()
        self._roles = _Roles()
        self._weighted: list[int] = []
        self._tools: list[int] = []

    def leave_out(self, line: int, error: RowError) -> None:
        """Count a row that cannot be used."""
        self.unusable += 1
        self._left_out.setdefault(error.code, []).append(line)
        self._reasons.setdefault(error.code, f"line {line:,}: {error.reason}")

    def add(
        self,
        line: int,
        messages: Sequence[Message],
        row: Mapping[str, Any],
        rejected: Sequence[Message] = (),
    ) -> None:
        """Count a usable row; a pair counts with the characters of both its conversations."""
        self.rows += 1
        sizes = [sum(len(m["content"]) for m in side) for side in (messages, rejected)]
        self._total += sum(sizes)
        self._chars.append(max(sizes))
        self.max_chars = max(self.max_chars, *sizes)
        self._json += is_json(messages[-1]["content"])
        self._compare(line, messages, rejected)
        self._roles.add(line, messages)
        if any("weight" in message for message in messages):
            self._weighted.append(line)
        if row.get("tools"):
            self._tools.append(line)

    def _compare(self, line: int, messages: Sequence[Message], rejected: Sequence[Message]) -> None:
        question, answer = _hash(messages[:-1]), _hash(messages[-1:])
        if len(messages) == 1:
            question = answer
        if rejected:  # one question may have many pairs; the same pair the other way round is odd
            question = _digest(question, *sorted([answer, _hash(rejected[-1:])]))
        self._repeats.add(line, question, answer)

    @property
    def repeated(self) -> list[int]:
        """Lines that copy an earlier row."""
        return [line for line, _, alike in self._repeats.found() if alike]

    @property
    def mean_chars(self) -> float:
        """Average characters of a usable row."""
        return self._total / self.rows if self.rows else 0.0

    def chars_of(self, share: float) -> int:
        """Characters that this share of the usable rows does not exceed."""
        return sorted(self._chars)[math.ceil(share * self.rows) - 1] if self.rows else 0

    @property
    def json_answers(self) -> bool:
        """Whether nearly all answers are JSON objects or lists."""
        return bool(self.rows) and self._json >= JSON_SHARE * self.rows

    def findings(self) -> tuple[DataFinding, ...]:
        """Everything found; rows left out first, the most frequent reason in front."""
        left_out = sorted(self._left_out.items(), key=lambda entry: -len(entry[1]))
        found = [self._unusable(code, lines) for code, lines in left_out]
        found += [
            DataFinding.over(
                code, "warning", lines, f"{count_rows(lines)} {text}", fix, title=title,
                partners=partners, mendable=code in DROPPED,
            )
            for code, title, lines, partners, text, fix in self._usable()
            if lines
        ]  # fmt: skip
        return (*found, *self._unused())

    def _unusable(self, code: str, lines: list[int]) -> DataFinding:
        what, fix = _LEFT_OUT[code]
        text, example = f"{count_rows(lines)} left out: {what}", self._reasons[code]
        return DataFinding.over(
            code, "error", lines, text, fix, f"For instance {example}.",
            title=f"{what[0].upper()}{what[1:]}", mendable=True,
        )  # fmt: skip

    def _usable(self) -> tuple[tuple[str, str, list[int], list[int], str, str], ...]:
        """Code, title, lines, the earlier line of each where there is one, what, and the fix."""
        repeats = list(self._repeats.found())
        copies, contradicting = (
            [(line, first) for line, first, alike in repeats if alike is same]
            for same in (True, False)
        )
        return (
            ("duplicates", "Exact copies", *_apart(copies), "copied word by word from earlier rows",
             "Delete the copies, unless they are meant to count more."),
            ("contradictions", "Contradicting answers", *_apart(contradicting),
             "with another answer to an earlier question",
             "Check which answer is right; variety in tone is fine, in facts it is not."),
            ("question_in_system", "Question in the system message", self._roles.swapped(), [],
             "with a system message of their own, while what the user says is nearly always the "
             "same: it looks as if the question had been mapped to the system message",
             "Choose the columns again; the model would learn to answer the wrong thing."),
            ("weights", "Weights", self._weighted, [],
             "with weights, which are not used: every answer is learned",
             "Delete the rows or answers that should not be learned."),
            ("tools", "Lists of tools", self._tools, [],
             "with a list of tools, which the model does not see while training",
             "Describe the tools in the system message if the answers depend on them."),
        )  # fmt: skip

    def _unused(self) -> tuple[DataFinding, ...]:
        used = {*self._mapping.values(), "tools"}
        names = [column for column in self._columns if column not in used]
        if not names:
            return ()
        listed = ", ".join(f"'{_short(name)}'" for name in names[:8]) + (
            ", ..." if len(names) > 8 else ""
        )
        text = f"These columns are not used: {listed}."
        return (
            DataFinding(
                code="unused_columns", severity="note", title="Unused columns", count=len(names),
                text=text,
            ),
        )  # fmt: skip


def _apart(pairs: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [line for line, _ in pairs], [first for _, first in pairs]


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[:NAME]}…"


def count_rows(lines: Sequence[int]) -> str:
    """How many rows, in words."""
    return f"{len(lines):,} row{'s' if len(lines) != 1 else ''}"


def say_of(lines: Sequence[int], what: str) -> str:
    """ "2 rows hold a key", or "1 row holds a key"."""
    return f"{count_rows(lines)} {what if len(lines) != 1 else _singular(what)}"


def _singular(what: str) -> str:
    verb, _, rest = what.partition(" ")
    if verb == "nearly":
        return f"nearly {_singular(rest)}"
    return f"{_IRREGULAR.get(verb, f'{verb}s')} {rest.replace('their own', 'its own')}"


_IRREGULAR = {"have": "has", "are": "is"}


def is_json(text: str) -> bool:
    """Whether a text is a JSON object or list."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _hash(messages: Sequence[Message]) -> bytes:
    told = (f"{key}={message[key]}\0" for message in messages for key in sorted(message))
    return _digest(*(part.encode(errors="surrogatepass") for part in told))


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=DIGEST).digest()
