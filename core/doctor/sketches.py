"""Near-duplicates among very many texts: MinHash sketches of 64 bytes, and nothing else kept.

Texts are compared by their runs of five characters. Two texts whose sets of runs overlap to `ALIKE`
(Jaccard) are near-duplicates; whole clusters are formed, so that a chain of small changes is one.
Sixteen bands of four make it practically certain that a pair of 0.85 meets in one of them.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from core.doctor.rolling import windows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALIKE = 0.8
RUN = 5
PERMUTATIONS, BAND = 64, 4
LONGEST = 20_000
"""Characters of a text that are compared."""
_BATCH = 400_000
"""Characters sketched at once."""
_REACH = 4
"""Neighbours in a bucket that each text is compared with, beside the bucket's first."""
_PAIRS = 100_000


class Sketches:
    """An index of texts by number, in the order in which they were added."""

    def __init__(self) -> None:
        self.numbers = array("q")
        self._sketches = bytearray()
        self._waiting: list[str] = []
        self._size = 0

    def add(self, number: int, text: str) -> None:
        """Take in a text; `number` may be anything, such as its line."""
        self.numbers.append(number)
        text = " ".join(text[:LONGEST].lower().split()).ljust(RUN)
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._sketches += _sketch(self._waiting).tobytes()
            self._waiting, self._size = [], 0

    def clusters(self) -> NDArray[np.int64]:
        """For every text the position of the first text of its cluster."""
        import numpy as np

        self._flush()
        sketches = np.frombuffer(self._sketches, np.uint8).reshape(-1, PERMUTATIONS)
        first = np.arange(len(sketches))
        for start in range(0, PERMUTATIONS, BAND):
            keys = np.ascontiguousarray(sketches[:, start : start + BAND]).view(np.uint32).ravel()
            _join_alike(sketches, keys, first)
        return first


def _sketch(texts: list[str]) -> NDArray[np.uint8]:
    import numpy as np
    import rensa

    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    letters = np.frombuffer(joined, np.uint32).astype(np.uint64)
    hashes, starts = windows(letters, [len(text) for text in texts], RUN)
    made = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, starts, PERMUTATIONS, 1)
    return np.array(made.to_rows(), np.uint32).astype(np.uint8)  # the low byte: b-bit MinHash


def _join_alike(
    sketches: NDArray[np.uint8], keys: NDArray[np.uint32], first: NDArray[np.int64]
) -> None:
    """Join the clusters of texts that meet in a bucket of this band and are alike."""
    import numpy as np

    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    fresh = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    leaders = order[np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))]
    _join(sketches, leaders, order, first)
    for reach in range(1, _REACH + 1):
        meet = ordered[reach:] == ordered[:-reach]
        _join(sketches, order[:-reach][meet], order[reach:][meet], first)


def _join(
    sketches: NDArray[np.uint8],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    first: NDArray[np.int64],
) -> None:
    import numpy as np

    apart = first[left] != first[right]
    left, right = left[apart], right[apart]
    for start in range(0, len(left), _PAIRS):
        a, b = left[start : start + _PAIRS], right[start : start + _PAIRS]
        alike = (sketches[a] == sketches[b]).mean(axis=1) >= ALIKE
        for one, other in zip(a[alike].tolist(), b[alike].tolist(), strict=True):
            _unite(first, one, other)
    if len(left):
        while not np.array_equal(first, jumped := first[first]):
            first[:] = jumped


def _unite(first: NDArray[np.int64], one: int, other: int) -> None:
    """Join two clusters under the smaller position."""
    one, other = _root(first, one), _root(first, other)
    first[max(one, other)] = min(one, other)


def _root(first: NDArray[np.int64], place: int) -> int:
    while (above := int(first[place])) != place:
        first[place] = first[above]
        place = above
    return place
