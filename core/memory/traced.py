"""What a traced step says about memory, and what has to be known to trace one. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from core.memory.bill import DRIVER, Bill, Item
from core.memory.setup import Setup
from core.recipe import AnyAdaptation
from core.value import Value

SURE = 0.01
"""Relative error of a traced step: 0.04 % in the mean and 0.34 % at worst on published ones."""

UNMEASURED = 0.05
"""The same where traces equal real steps on a processor and nobody measured on a card yet."""


class TracedItem(Value):
    """One kind of memory at the moment of the peak, in bytes as the allocator counts them."""

    kind: str
    bytes: int


class Point(Value):
    """How much was allocated after so many events, in bytes."""

    event: int
    bytes: int


class Traced(Value):
    """Memory of one training step, found by running it on tensors without numbers.

    `allocated_bytes` and `reserved_bytes` are what `torch.cuda.max_memory_allocated` and
    `max_memory_reserved` would say; the driver's own context is not in them.
    """

    method: Literal["traced"] = "traced"
    allocated_bytes: int
    reserved_bytes: int
    expandable_bytes: int
    """Reserved with PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True."""
    tensor_bytes: int
    """Peak of what tensors alone ask for: no workspaces, no rounding."""
    phase: str
    """When most is allocated: "load", "forward", "backward" or "optimizer"."""
    layer: str
    """Where in the model that is; empty outside of it."""
    items: tuple[TracedItem, ...]
    """What is allocated at the peak, largest first."""
    timeline: tuple[Point, ...]
    seconds: float
    """Time the trace took, without the import of the libraries."""
    versions: dict[str, str]
    doubt: str = ""
    """Why this trace is less sure than others; empty when its like was measured."""

    def bill(self, quick: Bill, setup: Setup) -> Bill:
        """The bill of this step; what lies outside of tensors is taken from the quick one."""
        reserved = self.reserved_bytes
        if setup.engine == "trl":
            reserved = max(self.allocated_bytes, self.expandable_bytes)
        outside = {
            "items": (*self._items(), *_outside(reserved - self.allocated_bytes, quick.context)),
            "allocated": self.allocated_bytes,
            "reserved": reserved,
            "total": reserved + quick.context,
            "phase": self.phase,
            "method": "traced",
            "band": (UNMEASURED if self.doubt else SURE) if setup.cuda else quick.band,
            "note": self.doubt if setup.cuda else quick.note,
        }
        return quick.model_copy(update=outside)

    def _items(self) -> tuple[Item, ...]:
        return tuple(Item(name=item.kind.capitalize(), bytes=item.bytes) for item in self.items)


def _outside(spare: int, context: int) -> Iterator[Item]:
    yield Item(name="Allocator", bytes=spare, note="reserved, not in use")
    yield Item(name=DRIVER, bytes=context)


class Request(Value):
    """What is to be traced: a model folder or a config.json, how it is adapted, and the step."""

    model: Path
    adaptation: AnyAdaptation
    setup: Setup


class Exact(Value):
    """A traced step, and what it holds for."""

    request: Request
    found: Traced

    def holds(self, model: Path, adaptation: AnyAdaptation, setup: Setup) -> bool:
        """Whether this is still the step in question."""
        return self.request == Request(model=model, adaptation=adaptation, setup=setup)
