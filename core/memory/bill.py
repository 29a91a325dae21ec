"""What a training step needs, as it is told to people: items that add up, and how sure they are."""

from __future__ import annotations

from typing import Literal

from core.value import Value

Phase = Literal["load", "generation", "forward", "loss", "backward", "optimizer"]
Method = Literal["closed-form", "traced", "measured"]

DRIVER = "Driver and libraries"
"""The item that stands for what lies outside of tensors: `context`."""


class Item(Value):
    """One part of the memory bill, in bytes."""

    name: str
    bytes: int
    note: str = ""


class Bill(Value):
    """Memory of the device at the moment when a step needs most; sizes in bytes."""

    items: tuple[Item, ...]
    """What is there at that moment; together they are `total`."""
    allocated: int
    """What tensors take, as `torch.cuda.max_memory_allocated` counts it."""
    reserved: int
    """What the allocator holds for them, as `torch.cuda.max_memory_reserved` counts it."""
    context: int
    """What the driver takes for itself, or imported libraries on a processor."""
    total: int
    phase: Phase
    """What the step is doing at that moment."""
    method: Method = "closed-form"
    band: float
    """Relative error of `allocated` to expect."""
    host: int = 0
    """Memory of the computer beside that of the GPU, for what is offloaded."""
    note: str = ""
    """What else there is to know of these figures."""
    corrected_by: tuple[float, float] = (1.0, 1.0)
    """Measured over estimated, of `allocated` and `reserved`, if a measurement corrected them."""
