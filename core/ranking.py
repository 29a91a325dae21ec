"""Two answers side by side, and which one a person prefers: a file that is only ever added to.

Its first line says who was asked, a line for each pair follows, then one for each judgement. A line
counts once it is whole, so a crash costs the judgement that was being written at most.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from core.answering import Answer, Answers, Prompt, Request, Speaker
from core.errors import DataError
from core.jsonl import cannot_write, write_rows
from core.value import Value

Verdict = Literal["first", "second", "tie", "skip"]
LIKELY = 0.05
"""A difference that chance brings about more often than this says little."""


class Head(Value):
    """Who was asked, and by which lot the sides were ordered."""

    kind: Literal["ranking"] = "ranking"
    version: Literal[1] = 1
    seed: int
    made: float
    speakers: tuple[Speaker, ...]
    prompts: int
    retried: int = 0
    same: int = 0
    empty: int = 0

    @property
    def note(self) -> str:
        """What was drawn again or left out, in words; empty when nothing was."""
        counted = (
            (self.retried, "drawn again"),
            (self.same, "left out because they were the same"),
            (self.empty, "left out because they were empty"),
        )
        said = ", ".join(f"{count:,} {words}" for count, words in counted if count)
        return f"Answers: {said}." if said else ""


class Pair(Value):
    """A prompt and two answers, in the order in which they are shown."""

    kind: Literal["pair"] = "pair"
    prompt: Prompt
    sides: tuple[Answer, Answer]


class Judgement(Value):
    """What was said of a pair; None takes back what was said before."""

    kind: Literal["judgement"] = "judgement"
    pair: int
    verdict: Verdict | None
    t: float


class Standing(Value):
    """How one speaker fared; `chance` is how often an equal one would fare as one-sidedly."""

    name: str
    wins: int
    losses: int
    ties: int
    chance: float


class Summary(Value):
    """What the judgements come to."""

    pairs: int
    judged: int
    decided: int
    ties: int
    skips: int
    first: int
    """How often the answer shown first was preferred."""
    second: int
    first_share: float | None
    first_chance: float
    """How often a judge without a favourite side would be as one-sided."""
    standings: tuple[Standing, ...]

    @property
    def bias(self) -> str:
        """Whether the first side was favoured, in a sentence."""
        if not self.decided:
            return "No pair was decided yet."
        told = f"The first side was preferred {self.first:,} of {self.decided:,} times"
        if self.first_chance < LIKELY:
            return f"{told}: more one-sided than chance explains. The order may have swayed you."
        return f"{told}, as chance may have it."


class Exported(Value):
    """A preference file, and what is not in it."""

    path: str
    rows: int
    ties: int
    skips: int
    waiting: int
    """Pairs that were not judged yet."""
    cut: int
    """Better answers that were cut off at the longest answer."""

    @property
    def text(self) -> str:
        """All of it in a sentence or two."""
        left = (("ties", self.ties), ("skipped", self.skips), ("not judged", self.waiting))
        out = ", ".join(f"{words} {count:,}" for words, count in left if count)
        told = f"Preferences written: {self.rows:,}. Left out: {out or 'nothing'}."
        if self.cut:
            told += (
                f" {self.cut:,} of the better answers were cut off at the longest answer; from "
                "these the model learns to stop too early."
            )
        return told


_LINE: TypeAdapter[Head | Pair | Judgement] = TypeAdapter(
    Annotated[Head | Pair | Judgement, Field(discriminator="kind")]
)


class Ranking:
    """One session on disk. `judge` and `undo` are the only ways it changes."""

    def __init__(self, file: Path, head: Head, pairs: Sequence[Pair]) -> None:
        self.file, self.head, self.pairs = file, head, tuple(pairs)
        self._said: dict[int, Verdict] = {}
        self._size = 0

    @classmethod
    def create(cls, file: Path, request: Request, made: Answers, seed: int) -> Ranking:
        """A new session of every two answers to each prompt. Raises DataError."""
        pairs = list(_paired(request, made, seed))
        if not pairs:
            raise DataError(
                "No prompt has two answers that differ.",
                hint="Raise the temperature, compare other models, or give other prompts.",
            )
        head = Head(
            seed=seed, made=time.time(), speakers=request.speakers, prompts=len(request.prompts),
            retried=made.retried, same=made.same, empty=made.empty,
        )  # fmt: skip
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(file, error) from error
        write_rows(file, [line.model_dump(mode="json") for line in (head, *pairs)])
        return cls.open(file)

    @classmethod
    def open(cls, file: Path) -> Ranking:
        """A session as it stands; a torn last line is passed over. Raises DataError."""
        try:
            *lines, torn = file.read_bytes().split(b"\n")
        except OSError as error:
            raise _unreadable(file, error.strerror or str(error)) from error
        read = [_line(file, number, line) for number, line in enumerate(lines, 1)]
        head = read[0] if read else None
        if not isinstance(head, Head):
            raise _unreadable(file, "it does not begin with who was asked")
        made = cls(file, head, [line for line in read if isinstance(line, Pair)])
        for line in read:
            if isinstance(line, Judgement):
                if not 0 <= line.pair < len(made.pairs):
                    raise _unreadable(file, f"it judges pair {line.pair}, which it does not hold")
                made._take(line)
        made._size = file.stat().st_size - len(torn)
        return made

    @property
    def current(self) -> int | None:
        """The pair to judge next, None when all are judged."""
        return next((n for n in range(len(self.pairs)) if n not in self._said), None)

    @property
    def judged(self) -> int:
        """How many pairs something was said of."""
        return len(self._said)

    def judge(self, verdict: Verdict) -> None:
        """Say something of the current pair. Raises DataError when it cannot be written."""
        current = self.current
        if current is not None:
            self._append(Judgement(pair=current, verdict=verdict, t=time.time()))

    def undo(self) -> bool:
        """Take the last judgement back; False when there is none."""
        if not self._said:
            return False
        self._append(Judgement(pair=next(reversed(self._said)), verdict=None, t=time.time()))
        return True

    def _take(self, said: Judgement) -> None:
        self._said.pop(said.pair, None)
        if said.verdict is not None:
            self._said[said.pair] = said.verdict

    def _append(self, said: Judgement) -> None:
        """On the disk first, then in memory."""
        line = said.model_dump_json().encode() + b"\n"
        try:
            with self.file.open("r+b") as file:
                file.seek(self._size)
                if b"\n" in file.read():
                    raise DataError(
                        f"{self.file.name} was judged elsewhere in the meantime.",
                        hint="Open this ranking again.",
                    )
                file.seek(self._size)
                file.truncate()  # a line that a crash has torn
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self.file, error) from error
        self._size += len(line)
        self._take(said)

    def summary(self) -> Summary:
        """Wins, ties and the pull of the first side."""
        counts = Counter(self._said.values())
        first, second = counts["first"], counts["second"]
        decided = first + second
        return Summary(
            pairs=len(self.pairs),
            judged=len(self._said),
            decided=decided,
            ties=counts["tie"],
            skips=counts["skip"],
            first=first,
            second=second,
            first_share=first / decided if decided else None,
            first_chance=chance(first, second),
            standings=tuple(self._standing(place) for place in range(len(self.head.speakers))),
        )

    def _standing(self, speaker: int) -> Standing:
        counts: Counter[str] = Counter()
        for place, verdict in self._said.items():
            sides = [side.speaker for side in self.pairs[place].sides]
            if speaker in sides and verdict != "skip":
                better = {"first": sides[0], "second": sides[1]}.get(verdict)
                counts["tie" if better is None else "win" if better == speaker else "loss"] += 1
        return Standing(
            name=self.head.speakers[speaker].name,
            wins=counts["win"],
            losses=counts["loss"],
            ties=counts["tie"],
            chance=chance(counts["win"], counts["loss"]),
        )

    def export(self, target: Path) -> Exported:
        """Write what was decided as rows of prompt, chosen and rejected. Raises DataError."""
        decided = list(self._decided())
        if not decided:
            raise DataError(
                "No pair was decided, so there is nothing to learn from.",
                hint="Prefer one answer of some pairs; ties and skips teach nothing.",
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(target, error) from error
        write_rows(target, (_row(*each) for each in decided))
        counts = Counter(self._said.values())
        return Exported(
            path=str(target),
            rows=len(decided),
            ties=counts["tie"],
            skips=counts["skip"],
            waiting=len(self.pairs) - len(self._said),
            cut=sum(not better.ended for _, better, _ in decided),
        )

    def _decided(self) -> Iterator[tuple[Prompt, Answer, Answer]]:
        """Prompt, better and worse answer, in the order of the prompts."""
        for place, verdict in sorted(self._said.items()):
            first, second = self.pairs[place].sides
            if verdict == "first":
                yield self.pairs[place].prompt, first, second
            elif verdict == "second":
                yield self.pairs[place].prompt, second, first


class Kept(Value):
    """A session on disk in one line; without pairs when it cannot be read."""

    file: Path
    made: float
    judged: int = 0
    pairs: int = 0


def sessions(home: Path, most: int) -> list[Kept]:
    """The newest sessions below `home`."""
    files = [path for path in home.glob("*.jsonl") if path.is_file()]
    newest = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)[:most]
    return [_kept(path) for path in newest]


def _kept(file: Path) -> Kept:
    try:
        found = Ranking.open(file)
    except DataError:
        return Kept(file=file, made=file.stat().st_mtime)
    return Kept(file=file, made=found.head.made, judged=found.judged, pairs=len(found.pairs))


def free_file(folder: Path, stem: str, ending: str) -> Path:
    """A name that nothing has yet, numbered if need be."""
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := folder / f"{name}{ending}").exists())


def chance(wins: int, losses: int) -> float:
    """How often fair coins fall at least as one-sidedly: the two-sided sign test."""
    tosses = wins + losses
    tail = sum(math.comb(tosses, k) for k in range(min(wins, losses) + 1))
    return float(min(1, 2 * tail / 2**tosses))


def _paired(request: Request, made: Answers, seed: int) -> Iterator[Pair]:
    lot = random.Random(seed)
    for prompt, answers in zip(request.prompts, made.answers, strict=True):
        for one, other in itertools.combinations(answers, 2):
            yield Pair(prompt=prompt, sides=(one, other) if lot.random() < 0.5 else (other, one))


def _row(prompt: Prompt, better: Answer, worse: Answer) -> dict[str, Any]:
    said = {"chosen": better.text, "rejected": worse.text}
    answers = {part: [{"role": "assistant", "content": text}] for part, text in said.items()}
    return {"prompt": list(prompt), **answers}


def _line(file: Path, number: int, line: bytes) -> Head | Pair | Judgement:
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        raise _unreadable(file, f"line {number:,} is damaged or of another version") from error


def _unreadable(file: Path, reason: str) -> DataError:
    return DataError(
        f"{file} cannot be read as a ranking: {reason}.", hint="Begin another ranking."
    )
