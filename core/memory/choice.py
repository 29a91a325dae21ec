"""Which GPUs a training fits on, how many it takes, and which is cheapest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from core.catalog import Gpu
from core.catalog.gpus import Basis
from core.memory.cost import Work, hours_per_million_tokens, usd_per_million_tokens
from core.value import Value

Fits = Literal["fits", "tight", "no"]
BytesNeeded = Callable[[Gpu, int, str], int]
"""Bytes each of so many GPUs of a kind needs when they share like this, CUDA context included."""
COUNTS = (1, 2, 4, 8)
TIGHT = 0.05
"""With less than this share to spare a GPU is full: the error of a good estimate is 5 %."""


class Option(Value):
    """So many GPUs of one kind, judged."""

    name: str
    vram_bytes: int
    """Memory of one of them."""
    count: int
    sharding: str
    fits: Fits
    needed_bytes: int
    """On each of them."""
    headroom_bytes: int
    """What each has left; negative where it does not fit."""
    hours_per_million_tokens: float
    usd_low: float
    """US dollars for 1e6 tokens at the lowest price."""
    usd_high: float

    @property
    def usd(self) -> float:
        """US dollars for 1e6 tokens, between the lowest and the highest price."""
        return (self.usd_low + self.usd_high) / 2


def verdict(needed: int, room: int, band: float = TIGHT) -> Fits:
    """Whether so many bytes fit in so much room, when `needed` may be wrong by `band`."""
    if needed > room:
        return "no"
    return "tight" if needed * (1 + max(band, TIGHT)) > room else "fits"


def options(
    bytes_needed: BytesNeeded,
    work: Work,
    gpus: Iterable[Gpu],
    *,
    sharding: str = "fsdp",
    basis: Basis = "typical",
) -> tuple[Option, ...]:
    """For every GPU our engine runs on, the smallest count that fits; few first, then cheap ones.

    Several GPUs share the model by `sharding`. What fits on no count is listed last, with eight.
    """
    judged = [_smallest(bytes_needed, work, gpu, sharding, basis) for gpu in gpus if gpu.supported]
    return tuple(sorted(judged, key=lambda o: (o.fits == "no", o.count, o.usd)))


def _smallest(
    bytes_needed: BytesNeeded, work: Work, gpu: Gpu, sharding: str, basis: Basis
) -> Option:
    for count in COUNTS:
        option = judge(bytes_needed, work, gpu, count, sharding if count > 1 else "none", basis)
        if option.fits != "no":
            break
    return option


def judge(
    bytes_needed: BytesNeeded,
    work: Work,
    gpu: Gpu,
    count: int,
    sharding: str,
    basis: Basis = "typical",
) -> Option:
    """So many GPUs of one kind, whether they suffice or not."""
    needed = bytes_needed(gpu, count, sharding)
    low, high = usd_per_million_tokens(work, gpu, count, basis)
    return Option(
        name=gpu.name,
        vram_bytes=gpu.vram_bytes,
        count=count,
        sharding=sharding,
        fits=verdict(needed, gpu.vram_bytes),
        needed_bytes=needed,
        headroom_bytes=gpu.vram_bytes - needed,
        hours_per_million_tokens=hours_per_million_tokens(work, gpu, count),
        usd_low=low,
        usd_high=high,
    )


def best(judged: Sequence[Option]) -> Option | None:
    """The fewest and cheapest GPUs with room to spare, else the best tight ones, else None."""
    for wanted in ("fits", "tight"):
        found = [option for option in judged if option.fits == wanted]
        if found:
            return min(found, key=lambda option: (option.count, option.usd))
    return None
