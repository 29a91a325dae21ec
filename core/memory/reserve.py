"""What the caching allocator holds beyond what tensors take, in bytes.

No formula follows from shapes: it depends on the order of requests. The shares below are fitted:
for a plain loop on the published measurements of a Tesla T4, for our engine on traced steps
replayed with expandable segments (docs/memory-accuracy.md). Leftovers of a differentiated layer
are what the loss, or the next layer, cannot use.
"""

from __future__ import annotations

from core.memory.bill import Phase
from core.memory.setup import Setup

LEAST = 50 << 20
"""Segments that are begun and not full."""
PLAIN_LOSS, PLAIN_BACKWARD, RAISED = 0.85, 0.65, 0.25
"""Shares of a layer at its peak; share of the table that was raised to 32 bits after loading."""
ENGINE = 0.25


def slack(setup: Setup, phase: Phase, layer: int, table: int, *, full: bool, tied: bool) -> int:
    """Unused room: `layer` is what one layer takes at its peak, `table` the embedding's bytes."""
    if setup.engine == "plain":
        share = PLAIN_BACKWARD if phase == "backward" else PLAIN_LOSS
        return round(share * layer + RAISED * table * setup.kbit_prepare)
    if full and phase == "backward":
        return LEAST + layer + (0 if tied else table)
    return LEAST + round(ENGINE * layer)
