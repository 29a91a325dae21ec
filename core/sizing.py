"""What the number and the length of rows say about a run: rules of thumb, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence

COVERED = 0.97
"""Share of the rows that an automatic length leaves whole."""
STEP = 64
"""Automatic lengths are multiples of this, as kernels like them."""
FEW_HELD_OUT, MOST_HELD_OUT = 100, 500
"""Fewer rows tell little; more tell no more than the third digit of the loss."""

_EPOCHS = (
    (300, 5.0, "so few rows must be seen several times; the held-out loss tells when to stop"),
    (3_000, 3.0, "up to some thousand rows are learned in about three rounds"),
    (100_000, 2.0, "thousands of rows are learned in about two rounds"),
)
_ONCE = (1.0, "with so many rows, new ones teach more than old ones seen again")
_BATCHES = ((1_000, 8), (10_000, 16), (100_000, 32))
_LARGEST_BATCH = 64


def epochs_for(rows: int) -> tuple[float, str]:
    """How often every row should be seen."""
    for limit, epochs, because in _EPOCHS:
        if rows < limit:
            return epochs, because
    return _ONCE


def batch_for(rows: int) -> tuple[int, str]:
    """Rows for one change of the weights."""
    size = next((size for limit, size in _BATCHES if rows < limit), _LARGEST_BATCH)
    return size, f"usual for {rows:,} rows: small sets need many steps, large ones calm steps"


def heldout_for(rows: int) -> tuple[int, str]:
    """Rows to set aside for measuring."""
    few = min(FEW_HELD_OUT, round(0.1 * rows))
    kept = min(MOST_HELD_OUT, max(round(0.05 * rows), few))
    if kept == MOST_HELD_OUT:
        return kept, f"{MOST_HELD_OUT} rows tell the loss to three digits"
    if kept == few:
        return kept, f"a tenth, up to {FEW_HELD_OUT} rows; fewer tell little"
    return kept, "a twentieth of the rows"


def length_for(sizes: Sequence[int], context: int) -> int:
    """A length that leaves 97 % of rows with these numbers of tokens whole, within the context."""
    ordered = sorted(sizes)
    covering = ordered[math.ceil(COVERED * len(ordered)) - 1]
    return rounded_length(covering, context)


def with_room(length: int, room: int, context: int) -> int:
    """A length with room for an answer that is written; never more than the model reads."""
    return min(length + room, context) if context else length + room


def rounded_length(tokens: int, context: int) -> int:
    """So many tokens, rounded up; never more than the model reads."""
    length = math.ceil(tokens / STEP) * STEP
    return min(length, context) if context else length
