"""Recipes that wait for the machine: a list on the disk that windows and terminals share.

A change is read, made and written under a lock, so that no two processes take the same entry. What
was begun is written down before it is done: a process may die anywhere, and the next one knows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import ValidationError

from core import durable, places
from core.errors import QueueError
from core.recipe import Recipe, parse
from core.room import disk_error
from core.value import Value

State = Literal["waiting", "claimed", "started", "finished", "stopped", "failed", "refused"]
"""A claimed one has a run's folder written down, and perhaps no run in it yet."""
AtEnd = Literal["next", "nothing", "sleep", "shutdown"]
Move = Literal["up", "down", "first", "last"]
AT_END: dict[AtEnd, str] = {
    "next": "start the next one",
    "nothing": "do nothing, and pause the queue",
    "sleep": "start the next one; after the last, put the computer to sleep",
    "shutdown": "start the next one; after the last, shut the computer down",
}
"""What may be done at the end of a run, in words."""
FORMAT = 1
"""Of the file; grows when an older program would misread one."""
KEPT = 50
"""Entries that are over and still listed."""
PATIENCE = 5.0
"""Seconds: others hold the lock for as long as it takes to write a small file."""
IN_HAND: tuple[State, ...] = ("claimed", "started")


class Entry(Value):
    """One recipe as it was when it was added, and what became of it."""

    id: int
    name: str
    recipe: dict[str, Any]
    """Plain data: what a later version cannot read spoils this entry only."""
    digests: tuple[str, ...] = ()
    """Of its datasets, when it was added."""
    added: float = 0.0
    state: State = "waiting"
    run: str = ""
    """The run's folder, once there is one."""
    text: str = ""
    """How it ended, why it was refused, or why it was taken up again."""
    note: str = ""
    """What is odd about it."""
    tried: int = 0
    """How often it was taken up again unasked since it last got further."""
    saved: int = 0
    """The newest step that was saved when it was last taken up again."""

    def parsed(self) -> Recipe:
        """The recipe. Raises RecipeError."""
        return parse(self.recipe)

    @property
    def told(self) -> str:
        """All there is to say of it."""
        return f"{self.text} {self.note}".strip()

    @property
    def over(self) -> bool:
        """Whether nothing more will become of it."""
        return self.state not in ("waiting", *IN_HAND)


class Queue(Value):
    """The whole list. Every change gives a new one."""

    format: int = FORMAT
    next_id: int = 1
    paused: bool = False
    """Nothing is begun; what is in hand goes on."""
    at_end: AtEnd = "next"
    entries: tuple[Entry, ...] = ()

    @property
    def waiting(self) -> tuple[Entry, ...]:
        """What waits, in its order."""
        return tuple(entry for entry in self.entries if entry.state == "waiting")

    @property
    def in_hand(self) -> Entry | None:
        """The entry that was begun and is not over."""
        return next((entry for entry in self.entries if entry.state in IN_HAND), None)

    def find(self, number: int) -> Entry:
        """An entry by its number. Raises QueueError."""
        for entry in self.entries:
            if entry.id == number:
                return entry
        raise QueueError(
            f"The queue has no entry {number}.", hint="`tunesmith queue list` shows the numbers."
        )

    def added(self, recipe: Recipe, digests: Sequence[str] = ()) -> Queue:
        """With one more recipe at the end; the oldest of what is over are forgotten."""
        entry = Entry(
            id=self.next_id, name=recipe.name, recipe=recipe.model_dump(mode="json"),
            digests=tuple(digests), added=time.time(),
        )  # fmt: skip
        over = [one.id for one in self.entries if one.over]
        forgotten = over[: max(0, len(over) - KEPT)]
        kept = [one for one in self.entries if one.id not in forgotten]
        return self._with(entries=(*kept, entry), next_id=self.next_id + 1)

    def moved(self, number: int, where: Move) -> Queue:
        """With a waiting entry at another place among those that wait. Raises QueueError."""
        entry = self._waiting(number, "moved")
        line = list(self.waiting)
        here = line.index(entry)
        there = {"up": here - 1, "down": here + 1, "first": 0, "last": len(line) - 1}[where]
        line.insert(min(max(there, 0), len(line) - 1), line.pop(here))
        others = [one for one in self.entries if one.state != "waiting"]
        return self._with(entries=(*others, *line))

    def removed(self, number: int) -> Queue:
        """Without an entry; its run stays where it is. Raises QueueError when it is in hand."""
        entry = self.find(number)
        if entry.state in IN_HAND:
            raise QueueError(
                f"{entry.name} has begun, so it cannot be taken out of the queue.",
                hint="Stop its run first: it is saved, and the queue goes on with the next one.",
            )
        return self._with(entries=tuple(one for one in self.entries if one.id != number))

    def cleared(self) -> Queue:
        """Without what is over."""
        return self._with(entries=tuple(one for one in self.entries if not one.over))

    def claimed(self, number: int, run: Path, note: str = "") -> Queue:
        """With a waiting entry taken, so that nobody else takes it. Raises QueueError."""
        if self.in_hand is not None:
            raise QueueError(f"{self.in_hand.name} was begun by another window or terminal.")
        if self.paused:
            raise QueueError("The queue was paused.")
        self._waiting(number, "begun")
        return self.changed(number, state="claimed", run=str(run), note=note)

    def changed(self, number: int, **changes: Any) -> Queue:
        """With other values in one entry; one that was taken out meanwhile stays out."""
        return self._with(
            entries=tuple(
                one.model_copy(update=changes) if one.id == number else one for one in self.entries
            )
        )

    def with_pause(self, paused: bool) -> Queue:
        """Held, or let go on."""
        return self._with(paused=paused)

    def ending(self, at_end: AtEnd) -> Queue:
        """With another thing to do at the end of a run."""
        return self._with(at_end=at_end)

    def _waiting(self, number: int, done: str) -> Entry:
        entry = self.find(number)
        if entry.state != "waiting":
            raise QueueError(
                f"{entry.name} no longer waits, so it cannot be {done}.",
                hint="`tunesmith queue list` shows what does.",
            )
        return entry

    def _with(self, **changes: Any) -> Queue:
        return self.model_copy(update=changes)


class QueueFile:
    """Where the queue lies. Reading needs no lock: the file is old or new, never a part."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or places.queue_file()

    @property
    def keeper_lock(self) -> Path:
        """Held by the one process that works on the queue."""
        return self.path.with_suffix(".keeper.lock")

    @property
    def keeper_file(self) -> Path:
        """Who that is, for telling."""
        return self.path.with_suffix(".keeper.json")

    def read(self) -> Queue:
        """The queue as it is now, empty when there is none yet. Raises QueueError."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return Queue()
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        if _format(raw) > FORMAT:
            raise QueueError(
                f"The queue in {self.path} was written by a newer version of Tunesmith.",
                hint="Update Tunesmith to go on with it.",
            )
        try:
            return Queue.model_validate_json(raw)
        except ValidationError as error:
            fault = error.errors()[0]
            raise self._unreadable(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error

    def change(self, edit: Callable[[Queue], Queue]) -> Queue:
        """Read, change and write the queue while nobody else does. Raises QueueError, DiskError.

        What `edit` raises leaves the queue as it was.
        """
        try:
            durable.make_folder(self.path.parent)
            with FileLock(self.path.with_suffix(".lock"), timeout=PATIENCE):
                before = self.read()
                after = edit(before)
                if after != before:
                    durable.write_atomically(self.path, after.model_dump_json(indent=1))
                return after
        except Timeout as error:
            raise QueueError(
                "Another window or terminal is changing the queue and does not end.",
                hint="Try again; if this goes on, close the others.",
            ) from error
        except OSError as error:
            unknown = QueueError(
                f"The queue in {self.path} cannot be written: {error.strerror or error}.",
                hint="Look whether the folder is yours and its disk sound.",
            )
            raise disk_error(error, self.path.parent) or unknown from error

    def _unreadable(self, why: str) -> QueueError:
        return QueueError(
            f"The queue in {self.path} cannot be read: {why}.",
            hint="Move the file away to begin a new queue; runs and recipes are not touched.",
        )


def _format(raw: bytes) -> int:
    """What the file says of its format; 0 when it says nothing."""
    try:
        found = json.loads(raw)["format"]
    except (ValueError, KeyError, TypeError):
        return 0
    return found if isinstance(found, int) else 0
