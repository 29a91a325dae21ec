"""Hashes of all windows of several sequences at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BASE = 0x9E3779B97F4A7C15
_MIX = 0xFF51AFD7ED558CCD


def windows(
    values: NDArray[np.uint64], lengths: Sequence[int], size: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hashes of every `size` neighbouring values, and where each sequence's hashes begin.

    The sequences lie one behind the other; each must be at least `size` long.
    """
    import numpy as np

    rolled = np.zeros(max(0, len(values) - size + 1), np.uint64)
    for offset in range(size):
        rolled = rolled * np.uint64(_BASE) + values[offset : offset + len(rolled)]
    sizes = np.asarray(lengths, np.int64)
    inside = np.ones(len(values), bool)
    ends = np.cumsum(sizes)
    for back in range(1, size):
        inside[ends - back] = False  # windows that would reach into the next sequence
    rolled = rolled[inside[: len(rolled)]]
    rolled = (rolled ^ (rolled >> np.uint64(33))) * np.uint64(_MIX)
    starts = np.concatenate(([0], np.cumsum(sizes - size + 1))).astype(np.uint64)
    return rolled ^ (rolled >> np.uint64(33)), starts
