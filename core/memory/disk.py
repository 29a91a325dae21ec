"""Bytes that a run leaves on the disk."""

from __future__ import annotations

from core.adapt import Adaptation
from core.memory.setup import Optimizer
from core.memory.states import optimizer_states
from core.models import ModelFacts
from core.value import Value

SPARE = 2**24
"""Tokenizer, states of random numbers, manifest and the like: a large vocabulary has 16 MB."""
COMFORT = 2.2
"""So many times the checkpoints should have room: disks slow down and fill up from elsewhere."""
STORED_WIDTHS = {"fp32": 4, "bf16": 2, "fp16": 2}


class DiskNeed(Value):
    """What a run writes, in bytes."""

    checkpoint: int
    """One of them: weights in 32 bits, and what the optimizer keeps."""
    artefact: int
    kept: int
    """Checkpoints that are kept: the newest ones."""

    @property
    def least(self) -> int:
        """Those kept, the best one, one that is being written, and the result."""
        return self.checkpoint * (self.kept + 2) + self.artefact

    @property
    def comfortable(self) -> int:
        """With room for what else happens on a disk meanwhile."""
        return max(self.least, round(COMFORT * self.checkpoint * (self.kept + 1)) + self.artefact)


def disk_need(
    model: ModelFacts,
    adaptation: Adaptation,
    trained: int,
    optimizer: Optimizer,
    keep: int,
    rank: int = 1,
) -> DiskNeed:
    """What checkpoints and the result take; `trained` counts the numbers that are trained, `rank`
    the directions of each matrix that an optimizer may keep."""
    full = adaptation.trains_base
    plain = optimizer.removeprefix("paged_")
    states = round(optimizer_states(model, adaptation, trained, plain, 4, rank))
    if full:
        rest = model.parameters - trained if adaptation.partly else 0
        width = STORED_WIDTHS.get(model.stored, 4)
        weights, artefact = 4 * trained + width * rest, width * model.parameters
    else:
        artefact = 4 * (trained + adaptation.frozen(model))
        weights = artefact * (2 if adaptation.reparametrised else 1)
    return DiskNeed(
        checkpoint=weights + states + SPARE, artefact=artefact + SPARE, kept=max(2, keep)
    )
