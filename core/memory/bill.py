"""The memory bill of one training step, whoever worked it out."""

from __future__ import annotations

from typing import Literal

from core.value import Value

Method = Literal["closed-form", "traced", "measured"]
Phase = Literal["loss", "backward", "optimizer"]


class Item(Value):
    """One part of the memory bill, in bytes."""

    name: str
    bytes: int
    note: str = ""


class Bill(Value):
    """What one step needs on one device at its worst moment, in bytes."""

    items: tuple[Item, ...]
    """Add up to `total`."""
    allocated: int
    """Peak of tensors, as torch.cuda.max_memory_allocated would say."""
    reserved: int
    """Peak of the caching allocator, as torch.cuda.max_memory_reserved would say."""
    total: int
    """Reserved and the driver's context; on a processor tensors and imported libraries."""
    phase: Phase
    """When most is allocated."""
    method: Method = "closed-form"
    band: float
    """Relative error to expect of `total`."""
