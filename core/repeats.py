"""Rows that repeat an earlier question, among very many: 40 bytes of each are kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

DIGEST = 16
"""Bytes of a question's and of an answer's digest."""


class Repeats:
    """Rows by the digests of their question and answer, in the order in which they were added."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._lines = array("q")

    def add(self, line: int, question: bytes, answer: bytes) -> None:
        """Take in a row. Both digests are `DIGEST` bytes long."""
        self._digests += question + answer
        self._lines.append(line)

    def found(self) -> Iterator[tuple[int, int, bool]]:
        """Line, the first line with its question, and whether the answer is the same there."""
        import numpy as np

        halves = np.frombuffer(bytes(self._digests), np.uint64).reshape(-1, 2 * DIGEST // 8)
        if len(halves) < 2:
            return
        order = np.lexsort((halves[:, 1], halves[:, 0]))  # keeps the order among equal ones
        questions = halves[order, :2]
        fresh = np.concatenate(([True], (questions[1:] != questions[:-1]).any(axis=1)))
        leaders = order[np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))]
        again = np.sort(order[~fresh])
        first = np.empty_like(order)
        first[order] = leaders
        same = (halves[again, 2:] == halves[first[again], 2:]).all(axis=1)
        for row, earlier, alike in zip(
            again.tolist(), first[again].tolist(), same.tolist(), strict=True
        ):
            yield self._lines[row], self._lines[earlier], alike
