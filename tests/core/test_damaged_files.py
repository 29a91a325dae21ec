"""Damaged files of every kind are read or refused by name; nothing crashes and nothing hangs."""

from __future__ import annotations

import functools
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from core.checkup import examine
from core.errors import DataError
from core.reading import kind_of
from tests.core.containers import CONTAINERS
from tests.core.planted import clean

ROWS = clean(12)
LINED = (".jsonl", ".ndjson", ".csv", ".tsv", ".json")
PROSE = {"x.txt": b"Once.\n\nTwice.\n" * 5, "x.md": b"# One\n\nText.\n" * 5}
NAMES = (*CONTAINERS, *PROSE)
BLOCKS = (b"\0", b"\xff\xfe", b'"', b"{", b"\n", b"PAR1", b"\x1f\x8b", b"\xed\xa0\x80", b"9" * 30)


@functools.cache
def whole(name: str) -> bytes:
    return PROSE[name] if name in PROSE else CONTAINERS[name](ROWS)


def damage(raw: bytes, lot: random.Random) -> bytes:
    """Flip bytes, cut, double, or put something foreign in."""
    made = bytearray(raw)
    for _ in range(lot.randint(1, 4)):
        place = lot.randrange(len(made) + 1)
        match lot.randrange(5):
            case 0 if made:
                made[place % len(made)] = lot.randrange(256)
            case 1:
                del made[place : place + lot.randint(1, 40)]
            case 2:
                made[place:place] = lot.choice(BLOCKS)
            case 3:
                made[place:place] = made[place : place + lot.randint(1, 60)]
            case _:
                del made[max(place, 1) :]
    return bytes(made)


def try_damaged(folder: Path, first: int, count: int) -> Counter[str]:
    """Examine `count` damaged files; how many were read, and how many refused."""
    outcomes: Counter[str] = Counter()
    for number in range(first, first + count):
        lot = random.Random(number)
        name = NAMES[number % len(NAMES)]
        path = folder / name
        path.write_bytes(damage(whole(name), lot))
        try:
            assert examine(path).facts.rows > 0
            outcomes["read"] += 1
        except DataError as error:
            told = [str(error), *(problem.text for problem in error.problems)]
            assert path.name in str(error), f"case {number}: {error}"  # noqa: PT017 - counted below
            assert error.hint, f"case {number}: {error}"  # noqa: PT017
            outcomes["refused"] += 1
            outcomes["with line"] += any(re.search(r"\b(line|row)s? \d", text) for text in told)
            lined = kind_of(path) in LINED and path.suffix in LINED
            if lined and error.problems:
                assert all(re.search(r"\bline", p.text) for p in error.problems)  # noqa: PT017
    return outcomes


def test_damaged_files_are_read_or_refused_by_name(tmp_path: Path) -> None:
    outcomes = try_damaged(tmp_path, 0, 600)
    assert outcomes["read"] + outcomes["refused"] == 600
    assert min(outcomes["read"], outcomes["refused"]) > 50, "the damage was too mild or too hard"
    assert outcomes["with line"] > 50


@pytest.mark.slow
def test_ten_thousand_damaged_files(tmp_path: Path) -> None:
    outcomes = try_damaged(tmp_path, 1_000, 10_000)
    assert outcomes["read"] + outcomes["refused"] == 10_000
