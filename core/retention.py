"""Which checkpoints of a run are kept: chosen by step number, never by a clock."""

from __future__ import annotations

from contextlib import suppress

from core import durable
from core.rundir import RunDir

AT_LEAST = 2
"""One that is damaged unseen must leave another to go on from."""

Looks = tuple[tuple[str, int, int, int], ...]
"""Name, size, time of change and number of every file: what any rewriting changes."""


class Retention:
    """Lets older checkpoints go while enough newer ones were read and found whole."""

    def __init__(self, run: RunDir, keep: int) -> None:
        self._run = run
        self._keep = max(keep, AT_LEAST)
        self._whole: dict[int, Looks] = {}

    def trust(self, step: int) -> None:
        """A checkpoint that has just been sealed was read for its sums already."""
        self._whole[step] = self._looks(step)

    def let_go(self, best: int | None) -> None:
        """Delete what lies behind the newest ones that are whole, but never the best.

        What cannot be deleted now is tried again after the next checkpoint.
        """
        whole = 0
        for step in self._run.saved_steps():
            if whole < self._keep:
                whole += self._is_whole(step)
            elif step != best:
                with suppress(OSError):
                    durable.discard(self._run.checkpoint(step))

    def _is_whole(self, step: int) -> bool:
        """Read in full once; later it must only look as it did then."""
        looks = self._looks(step)
        if self._whole.get(step) != looks:
            self._whole.pop(step, None)
            if durable.verify(self._run.checkpoint(step), alone=True) is not None:
                return False
            self._whole[step] = looks
        return True

    def _looks(self, step: int) -> Looks:
        folder, found = self._run.checkpoint(step), []
        with suppress(OSError):
            for path in sorted(folder.rglob("*")):
                facts = path.stat()
                name = path.relative_to(folder).as_posix()
                found.append((name, facts.st_size, facts.st_mtime_ns, facts.st_ino))
        return tuple(found)
