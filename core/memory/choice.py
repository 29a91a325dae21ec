"""Which GPUs a training fits on, how many it takes, and which is cheapest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from core.catalog import Gpu
from core.catalog.gpus import Basis
from core.memory.cost import Work, hours_per_million_tokens, usd_per_million_tokens
from core.value import Value

Fits = Literal["fits", "tight", "no"]
BytesNeeded = Callable[[int, str], int]
"""Bytes each GPU needs, given how many there are and how they share; without CUDA context."""
COUNTS = (1, 2, 4, 8)
TIGHT = 0.95
"""Above this share of its capacity a GPU is full: the error of a good estimate is 5 %."""


class Option(Value):
    """So many GPUs of one kind, judged."""

    name: str
    vram_bytes: int
    """Memory of one of them."""
    count: int
    sharding: str
    fits: Fits
    needed_bytes: int
    """On each of them, without CUDA context."""
    headroom_bytes: int
    """What each has left; negative where it does not fit."""
    hours_per_million_tokens: float
    usd_low: float
    """US dollars for 1e6 tokens at the lowest price."""
    usd_high: float


def capacity(gpu: Gpu) -> int:
    """Bytes that one GPU has for tensors."""
    return gpu.vram_bytes - gpu.context_bytes


def verdict(needed: int, room: int) -> Fits:
    """Whether so many bytes fit in so much room."""
    if needed > room:
        return "no"
    return "tight" if needed > TIGHT * room else "fits"


def options(
    bytes_needed: BytesNeeded,
    work: Work,
    gpus: Iterable[Gpu],
    *,
    sharding: str = "fsdp",
    basis: Basis = "typical",
) -> tuple[Option, ...]:
    """For every GPU our engine runs on, the smallest count that fits; cheapest first.

    Several GPUs share the model by `sharding`. What fits on no count is listed last, with eight.
    """
    judged = [_smallest(bytes_needed, work, gpu, sharding, basis) for gpu in gpus if gpu.supported]
    return tuple(sorted(judged, key=lambda o: (o.fits == "no", o.usd_low + o.usd_high)))


def _smallest(
    bytes_needed: BytesNeeded, work: Work, gpu: Gpu, sharding: str, basis: Basis
) -> Option:
    for count in COUNTS:
        option = _judge(bytes_needed, work, gpu, count, sharding if count > 1 else "none", basis)
        if option.fits != "no":
            break
    return option


def _judge(
    bytes_needed: BytesNeeded, work: Work, gpu: Gpu, count: int, sharding: str, basis: Basis
) -> Option:
    needed, room = bytes_needed(count, sharding), capacity(gpu)
    low, high = usd_per_million_tokens(work, gpu, count, basis)
    return Option(
        name=gpu.name,
        vram_bytes=gpu.vram_bytes,
        count=count,
        sharding=sharding,
        fits=verdict(needed, room),
        needed_bytes=needed,
        headroom_bytes=room - needed,
        hours_per_million_tokens=hours_per_million_tokens(work, gpu, count),
        usd_low=low,
        usd_high=high,
    )


def cheapest(judged: Sequence[Option]) -> Option | None:
    """The cheapest option with room to spare, else the cheapest tight one, else None."""
    for wanted in ("fits", "tight"):
        found = [option for option in judged if option.fits == wanted]
        if found:
            return min(found, key=lambda option: option.usd_low + option.usd_high)
    return None
