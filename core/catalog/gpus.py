"""GPUs one can buy or rent: usable memory, arithmetic, and prices with date and source."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from core.catalog.entries import Named, called, check, fault, find, read, section
from core.places import data_home, resources
from core.value import Value

DEFAULT_CONTEXT = 483_183_821
"""Bytes the CUDA context takes where nobody measured it: 0.45 GiB, 0.25 to 0.65 are seen."""
Kind = Literal["geforce", "workstation", "turing", "ampere", "hopper", "blackwell", "amd"]
"""Cards whose training reaches a similar share of their peak arithmetic."""
Basis = Literal["planning", "typical"]
"""Cautious figures for a budget, or what clouds and marketplaces ask today."""


class Source(Value):
    """Where a figure is from, and when it was read there."""

    date: str = Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")
    text: str = Field(min_length=1)


class Price(Value):
    """What a machine with so many of these GPUs costs, in USD per hour for all of them."""

    basis: Basis = "typical"
    gpus: int = Field(1, ge=1)
    low: float = Field(ge=0)
    high: float = Field(ge=0)
    source: Source


class Gpu(Named):
    """One kind of GPU."""

    vram_bytes: int = Field(gt=0)
    """Memory that torch reports, less than what is printed on the box."""
    capability: str = Field(pattern=r"^\d{1,2}\.\d$")
    """CUDA compute capability; bfloat16 needs 8.0."""
    bandwidth_gb_per_second: float = Field(gt=0)
    """Memory bandwidth, 1e9 bytes per second."""
    dense_tflops: float = Field(gt=0)
    """Peak of bf16 (fp16 before 8.0) matrix arithmetic that adds in fp32, without sparsity."""
    context_bytes: int = Field(DEFAULT_CONTEXT, ge=0)
    """Memory of the CUDA context, which torch does not count as allocated."""
    kind: Kind
    nvlink: bool = False
    """Whether several in one machine talk through NVLink, else PCIe."""
    supported: bool = True
    """Whether our engine runs on it."""
    source: Source
    prices: tuple[Price, ...] = Field(min_length=1)

    def hourly(self, count: int = 1, basis: Basis = "typical") -> tuple[float, float]:
        """USD per hour for so many, lowest and highest; typical where no such basis is known."""
        known = [p for p in self.prices if p.basis == basis] or list(self.prices)
        nearest = max((p for p in known if p.gpus <= count), key=lambda p: p.gpus, default=known[0])
        machines = count / nearest.gpus
        return nearest.low * machines, nearest.high * machines


def gpus() -> tuple[Gpu, ...]:
    """Every GPU, cheapest memory first as listed; entries of the user's own file win over ours.

    Raises CoreError that names the file, the entry and the field at fault.
    """
    own = data_home() / "catalog" / "gpus.yaml"
    return _read(own, own.stat().st_mtime_ns if own.is_file() else None)


@functools.lru_cache(maxsize=1)
def _read(own: Path, changed: int | None) -> tuple[Gpu, ...]:
    ours = read(resources() / "catalog" / "gpus.yaml")
    listed = _gpus(resources() / "catalog" / "gpus.yaml", ours, {})
    if changed is not None:
        own_entries = read(own)
        listed |= _gpus(own, own_entries, section(own, ours, "sources", dict))
    return tuple(listed.values())


def find_gpu(name: str) -> Gpu:
    """A GPU by name or alias, in any case. Raises CoreError with the nearest names."""
    return find(name, gpus(), "GPU")


_VARIANTS = {"ti", "super", "ada", "laptop", "max", "mobile", "d", "pcie"}
"""Words of a driver's name that make it another card."""
_SAME_MEMORY = 0.08


def recognise_gpu(name: str, total: int) -> Gpu | None:
    """The entry of a card as its driver calls it, None when unsure; `total` is its memory."""
    words = _words(name)
    known = [
        gpu
        for gpu in gpus()
        if abs(gpu.vram_bytes / total - 1) < _SAME_MEMORY
        and _words(gpu.name) <= words
        and words & _VARIANTS == _words(gpu.name) & _VARIANTS
    ]
    return known[0] if len(known) == 1 else None


@functools.cache
def _words(name: str) -> set[str]:
    """What tells cards apart; memory is compared as a number, and SXM is a usual socket."""
    words = re.split(r"[^a-z0-9]+", name.casefold())
    return {word for word in words if word and not re.fullmatch(r"\d+gb|sxm\d?", word)}


def _gpus(path: Path, found: dict[str, Any], known: dict[str, Any]) -> dict[str, Gpu]:
    """GPUs of one file by their name in lower case; `known` sources may be named too."""
    own = section(path, found, "sources", dict) if "sources" in found else {}
    sources = known | own
    listed: dict[str, Gpu] = {}
    for place, raw in enumerate(section(path, found, "gpus", list), 1):
        name = called(raw, place)
        gpu = check(path, Gpu, _sourced(path, name, raw, sources), name=name)
        if any(price.low > price.high for price in gpu.prices):
            raise fault(path, name, "prices: low is above high.")
        if gpu.name.casefold() in listed:
            raise fault(path, name, "name: listed twice.")
        listed[gpu.name.casefold()] = gpu
    return listed


def _sourced(path: Path, name: str, raw: Any, sources: dict[str, Any]) -> Any:
    """An entry with the sources it names by their key put in, also in its prices."""
    if isinstance(raw, list):
        return [_sourced(path, name, item, sources) for item in raw]
    if not isinstance(raw, dict):
        return raw
    filled = {
        key: _sourced(path, name, value, sources) if key == "prices" else value
        for key, value in raw.items()
    }
    key = raw.get("source")
    if isinstance(key, str):
        if key not in sources:
            raise fault(path, name, f"source: {key!r:.60} is not among the sources of the file.")
        filled["source"] = sources[key]
    return filled
