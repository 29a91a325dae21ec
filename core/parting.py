"""Part a dataset into rows to learn from and rows to measure on, so that nothing leaks.

Near-duplicates of a question stay together; with a category every part gets its share of each.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.checkup import examine
from core.copies import home_for, refuse_changed, stem_of
from core.dataset import DataFacts, Heed, no_heed
from core.doctor import Ask, Check, Seen
from core.doctor.sketches import Sketches
from core.durable import digest
from core.errors import CoreError, DataError
from core.findings import Survey
from core.jsonl import write_record, write_rows
from core.reading import Line, digest_of
from core.recognise import open_rows
from core.value import Value

TRAIN, EVAL, TEST = 0, 1, 2
NAMES = ("train", "eval", "test")


class Part(Value):
    """One of the files that were written."""

    name: str
    path: str
    rows: int
    digest: str


class Parting(Value):
    """What was made of a dataset."""

    source: str
    source_digest: str
    seed: int
    category: str = ""
    clusters: int
    """Groups of questions that nearly repeat each other, single questions included."""
    unusable: int
    """Rows that are in none of the parts."""
    parts: tuple[Part, ...]


class _Groups(Check):
    """Which rows belong together, and of which category each is."""

    code = "groups"
    title = "Groups"
    what = "belong together"
    why = ""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self.sketches = Sketches()
        self.lots: list[int] = []
        self.categories: list[str] = []
        self.firsts: list[int] = []

    def look(self, seen: Seen) -> None:
        """Sketch the question, and remember a lot that depends on nothing but its text."""
        self.sketches.add(seen.line, seen.question)
        text = f"{self.ask.seed}:{seen.question}".encode(errors="surrogatepass")
        self.lots.append(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big"))
        self.categories.append(
            str(seen.row.get(self.ask.category, "")) if self.ask.category else ""
        )

    def conclude(self, survey: Survey) -> None:
        """Form clusters."""
        self.firsts = self.sketches.clusters().tolist()


def part(
    path: Path,
    folder: Path | None = None,
    *,
    name: str = "",
    shares: tuple[float, float] = (0.1, 0.0),
    category: str = "",
    seed: int = 42,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
    heed: Heed = no_heed,
) -> Parting:
    """Write `name.train.jsonl` and so on, and a record; never over a file. Raises DataError."""
    _check_shares(shares)
    ask = Ask(category=category, seed=seed)
    found = examine(path, ask, format=format, columns=columns, checks=(_Groups,), heed=heed)
    groups = found.checks[0]
    assert isinstance(groups, _Groups)
    sides = allot(groups.firsts, groups.lots, groups.categories, shares)
    _refuse_empty(found.facts.path, sides, shares)
    names = [TRAIN, EVAL, *([TEST] if shares[1] else [])]
    targets = _targets(found.facts.path, folder, names, name or stem_of(found.facts.path))
    with _all_or_none(targets.values()):
        for side, target in targets.items():
            chosen = (n for n, s in zip(groups.sketches.numbers, sides, strict=True) if s == side)
            write_rows(target, _rows(open_rows(path, format, columns).lines, chosen))
        heed(found.facts.rows)
        return _recorded(_account(found.facts, ask, groups.firsts, sides, targets), targets[TRAIN])


def _recorded(made: Parting, train: Path) -> Parting:
    source = Path(made.source)
    refuse_changed(source, made.source_digest, digest_of(source))
    write_record(record_of_parts(train), made.model_dump_json(indent=1) + "\n")
    return made


@contextmanager
def _all_or_none(targets: Iterable[Path]) -> Iterator[None]:
    """One part without the others is of no use."""
    try:
        yield
    except CoreError:
        for target in targets:
            target.unlink(missing_ok=True)
        raise


def _account(
    facts: DataFacts, ask: Ask, firsts: list[int], sides: array[int], targets: dict[int, Path]
) -> Parting:
    parts = [
        Part(name=NAMES[side], path=str(target), rows=sides.count(side), digest=digest(target))
        for side, target in targets.items()
    ]
    return Parting(
        source=str(facts.path),
        source_digest=facts.digest,
        seed=ask.seed,
        category=ask.category,
        clusters=len(set(firsts)),
        unusable=facts.unusable,
        parts=tuple(parts),
    )


def record_of_parts(part: Path) -> Path:
    """Where the record lies that tells of a part and its siblings."""
    name = part.name
    for side in NAMES:
        name = name.removesuffix(f".{side}.jsonl")
    return part.with_name(f"{name}.split.json")


def free_name(path: Path, folder: Path) -> str:
    """The dataset's name, numbered when the parts of an earlier split have it already."""
    stem = stem_of(path)
    names = (stem, *(f"{stem}-{number}" for number in range(2, 10_000)))
    return next(name for name in names if not any(path.exists() for path in _made(folder, name)))


def _made(folder: Path, name: str) -> list[Path]:
    """Everything that a split under this name could write."""
    parts = [folder / f"{name}.{side}.jsonl" for side in NAMES]
    return [*parts, record_of_parts(parts[TRAIN])]


def _rows(lines: Iterator[Line], numbers: Iterator[int]) -> Iterator[dict[str, Any]]:
    """The rows with these numbers; both run upwards."""
    wanted = next(numbers, None)
    for line in lines:
        if line.number == wanted:
            yield line.row
            wanted = next(numbers, None)


@dataclass(slots=True)
class _Cluster:
    """Rows that stay together."""

    lot: int
    category: str
    rows: list[int]


def allot(
    firsts: Sequence[int],
    lots: Sequence[int],
    categories: Sequence[str],
    shares: tuple[float, float],
) -> array[int]:
    """The side of every row: whole clusters, drawn by lot, each category for itself.

    A cluster is of its first row's category. One that does not fit into what is still wanted goes
    to training, so that the parts to measure on are never larger than asked for.
    """
    clusters: dict[int, _Cluster] = {}
    for row, first in enumerate(firsts):
        made = clusters.setdefault(first, _Cluster(lots[first], categories[first], []))
        made.rows.append(row)
    strata: dict[str, list[_Cluster]] = {}
    for cluster in clusters.values():
        strata.setdefault(cluster.category, []).append(cluster)
    sides = array("b", bytes(len(firsts)))
    for stratum in strata.values():
        for row, side in _draw(stratum, shares):
            sides[row] = side
    return sides


def _draw(stratum: list[_Cluster], shares: tuple[float, float]) -> Iterator[tuple[int, int]]:
    total = sum(len(cluster.rows) for cluster in stratum)
    wanted = {EVAL: round(total * shares[0]), TEST: round(total * shares[1])}
    for cluster in sorted(stratum, key=lambda c: (c.lot, c.rows[0])):
        side = next((s for s in (EVAL, TEST) if len(cluster.rows) <= wanted[s]), TRAIN)
        if side != TRAIN:
            wanted[side] -= len(cluster.rows)
        yield from ((row, side) for row in cluster.rows)


def _check_shares(shares: tuple[float, float]) -> None:
    if not (0 < shares[0] < 1 and 0 <= shares[1] < 1 and sum(shares) < 1):
        raise DataError(
            f"Shares of {shares[0]:g} and {shares[1]:g} leave nothing to learn or to measure.",
            hint="Give shares between 0 and 1, such as --eval 0.1 --test 0.1.",
        )


def _refuse_empty(path: Path, sides: array[int], shares: tuple[float, float]) -> None:
    missing = [s for s, share in ((EVAL, shares[0]), (TEST, shares[1])) if share]
    missing = [side for side in (TRAIN, *missing) if side not in sides]
    if missing:
        raise DataError(
            f"{path}: no row is left for {NAMES[missing[0]]}; there are {len(sides):,} usable "
            "rows, and rows that nearly repeat each other stay together.",
            hint="Give a larger share, or leave out near-duplicates with `tunesmith data fix`.",
        )


def _targets(source: Path, folder: Path | None, sides: Sequence[int], name: str) -> dict[int, Path]:
    home = home_for(source) if folder is None else folder.expanduser().absolute()
    if not home.is_dir():
        raise DataError(
            f"{home} is not a folder.", hint="Make it first, or choose another with -o."
        )
    targets = {side: home / f"{name}.{NAMES[side]}.jsonl" for side in sides}
    for path in (*targets.values(), record_of_parts(targets[TRAIN])):
        if path.exists():
            raise DataError(f"{path} exists already.", hint="Choose another folder with -o.")
    return targets
