"""The queue on the disk: its order, its claims, and what becomes of a damaged file."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from queue_process import __file__ as PROCESS

from core import disk
from core.errors import DiskError, QueueError
from core.queue import KEPT, Entry, Move, Queue, QueueFile
from core.recipe import Recipe
from tests.core.disks import FailAt

TWO = 2


def queue(*names: str) -> Queue:
    made = Queue()
    for name in names:
        made = made.added(Recipe(name=name))
    return made


def order(made: Queue) -> str:
    return "".join(entry.name for entry in made.waiting)


@pytest.fixture
def file(home: Path) -> QueueFile:
    return QueueFile()


@pytest.mark.parametrize(
    ("number", "where", "expected"),
    [
        (3, "up", "acb"), (1, "up", "abc"), (1, "down", "bac"), (3, "down", "abc"),
        (3, "first", "cab"), (1, "last", "bca"), (2, "first", "bac"),
    ],
)  # fmt: skip
def test_what_waits_is_moved(number: int, where: Move, expected: str) -> None:
    assert order(queue("a", "b", "c").moved(number, where)) == expected


def test_what_was_begun_neither_moves_nor_leaves(file: QueueFile) -> None:
    begun = queue("a", "b").claimed(1, Path("/runs/a"))
    assert order(begun.moved(2, "up")) == "b"
    for change in (lambda: begun.moved(1, "down"), lambda: begun.removed(1)):
        with pytest.raises(QueueError) as refused:
            change()
        assert "a " in str(refused.value)
        assert refused.value.hint
    with pytest.raises(QueueError, match="begun by another"):
        begun.claimed(2, Path("/runs/b"))


def test_a_paused_queue_lets_nothing_be_taken() -> None:
    with pytest.raises(QueueError, match="paused"):
        queue("a").with_pause(True).claimed(1, Path("/runs/a"))


def test_numbers_are_never_given_twice() -> None:
    made = queue("a", "b").removed(2).added(Recipe(name="c"))
    assert [(entry.id, entry.name) for entry in made.entries] == [(1, "a"), (3, "c")]
    with pytest.raises(QueueError, match="no entry 2"):
        made.find(2)


def test_the_oldest_that_are_over_are_forgotten() -> None:
    ended = [Entry(id=n, name=str(n), recipe={}, state="finished") for n in range(KEPT + 7)]
    made = Queue(entries=tuple(ended), next_id=KEPT + 7).added(Recipe(name="new"))
    assert len(made.entries) == KEPT + 1
    assert made.entries[0].name == "7"
    assert order(made) == "new"


def test_a_recipe_stays_as_it_was_when_it_was_added(file: QueueFile) -> None:
    recipe = Recipe(name="frozen").edit("training.epochs", 7)
    file.change(lambda q: q.added(recipe, ["sum"]))
    (entry,) = QueueFile().read().entries
    assert entry.parsed() == recipe
    assert entry.digests == ("sum",)


def test_there_is_no_queue_at_first(file: QueueFile) -> None:
    assert file.read() == Queue()
    assert not file.path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"entries": [{"id": 1}]}', '{"paused": "yes?"}'])
def test_a_damaged_file_is_told_and_kept(file: QueueFile, text: str) -> None:
    file.change(lambda q: q.added(Recipe()))
    file.path.write_text(text, encoding="utf-8")
    for touch in (file.read, lambda: file.change(lambda q: q.added(Recipe()))):
        with pytest.raises(QueueError, match="cannot be read") as told:
            touch()
        assert "Move the file away" in told.value.hint
    assert file.path.read_text(encoding="utf-8") == text


def test_a_newer_file_is_left_alone(file: QueueFile) -> None:
    file.change(lambda q: q.added(Recipe()))
    newer = json.loads(file.path.read_text(encoding="utf-8")) | {"format": 2, "priorities": []}
    file.path.write_text(json.dumps(newer), encoding="utf-8")
    with pytest.raises(QueueError, match="newer version"):
        file.change(lambda q: q.with_pause(True))


def test_a_recipe_of_another_version_spoils_its_entry_only(file: QueueFile) -> None:
    file.change(lambda q: queue("a", "b"))
    raw = json.loads(file.path.read_text(encoding="utf-8"))
    raw["entries"][0]["recipe"]["from_tomorrow"] = 1
    file.path.write_text(json.dumps(raw), encoding="utf-8")
    first, second = file.read().entries
    with pytest.raises(Exception, match="unknown field"):
        first.parsed()
    assert second.parsed().name == "b"


def test_a_change_that_is_refused_changes_nothing(file: QueueFile) -> None:
    file.change(lambda q: queue("a"))
    before = file.path.read_bytes()
    with pytest.raises(QueueError):
        file.change(lambda q: q.removed(9))
    assert file.path.read_bytes() == before


@pytest.mark.parametrize("call", range(1, 7))
def test_a_disk_that_fails_leaves_the_old_queue_or_the_new_one(file: QueueFile, call: int) -> None:
    file.change(lambda q: queue("a"))
    failing = FailAt(call, errno.ENOSPC, broken=True)
    with disk.using(failing):
        if call < 6:
            with pytest.raises(DiskError, match="full"):
                file.change(lambda q: q.added(Recipe(name="b")))
        else:
            file.change(lambda q: q.added(Recipe(name="b")))
    assert failing.failed == (call < 6), "the test knows how often the disk is called"
    assert order(file.read()) in ("a", "ab")


def test_two_processes_never_take_the_same_entry(file: QueueFile) -> None:
    file.change(lambda q: queue(*"abcdefghijklmnop"))
    others = [
        subprocess.Popen(
            [sys.executable, PROCESS, "claim"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(TWO)
    ]  # fmt: skip
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
    for other in others:  # both are there: now
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
    taken = Counter[int]()
    for other in others:
        out, _ = other.communicate(timeout=60)
        assert other.returncode == 0
        taken.update(map(int, out.split()))
    assert set(taken.values()) == {1}
    assert {entry.id for entry in file.read().entries if entry.state == "finished"} == set(taken)
