"""Estimates corrected by what was measured on this computer before.

A measurement leaves its ratios to the estimate in a small file of the user's folder: one entry for
each device, driver, version of torch and kind of adaptation. The file may be lost at any time.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from core import durable, places
from core.errors import Problem
from core.machine import Machine
from core.memory.bill import DRIVER, Bill, Item
from core.memory.measured import Measured
from core.value import Value

LOWEST, HIGHEST = 0.5, 2.0
"""Ratios beyond say that something else was wrong: they are told and not remembered."""
LEAST = 1_000_000_000
"""Bytes: below, what every process takes (0.1 to 0.2 GB) hides how good the estimate is."""


Ratio = Annotated[float, Field(ge=LOWEST, le=HIGHEST)]


class Correction(Value):
    """How measured figures relate to estimated ones; None where nothing can be said."""

    device: str
    driver: str
    torch: str
    adaptation: str
    made: str
    """The day, as 2026-11-24."""
    allocated: Ratio | None = None
    reserved: Ratio | None = None
    seconds: Ratio | None = None
    """Of the time for one token."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a later measurement must share to take its place."""
        return self.device, self.driver, self.torch, self.adaptation


class Corrections(Value):
    """What is remembered for this computer as it is now, and what was wrong with the file."""

    known: tuple[Correction, ...] = ()
    problem: Problem | None = None

    def find(self, device: str, adaptation: str) -> Correction | None:
        """The correction for a kind of adaptation on a device."""
        found = [c for c in self.known if (c.device, c.adaptation) == (device, adaptation)]
        return found[-1] if found else None


class _File(Value):
    format: Literal[1] = 1
    corrections: tuple[Correction, ...] = ()


def device_name(machine: Machine, *, cuda: bool) -> str:
    """What a measurement is remembered under: the first GPU, or the processor of this computer."""
    if cuda and machine.gpus:
        return machine.gpus[0].name
    return f"{machine.cores} cores, {machine.system}"


def recall(machine: Machine) -> Corrections:
    """Corrections for this computer with the driver and the torch it has now."""
    try:
        every = _read()
    except (OSError, ValidationError):
        return Corrections(problem=_ignored())
    torch = _torch_version()
    now = {device_name(machine, cuda=False): ""}
    now |= {device_name(machine, cuda=True): machine.driver} if machine.gpus else {}
    known = [c for c in every if c.torch == torch and now.get(c.device) == c.driver]
    return Corrections(known=tuple(known))


def learn(found: Measured, estimate: Bill, token_seconds: float | None) -> tuple[Problem, ...]:
    """Remember how a measurement relates to the estimates; returns what is odd about it."""
    if not found.fits:
        return ()
    ratios = dict(_ratios(found, estimate, token_seconds))
    odd = {name for name, ratio in ratios.items() if not LOWEST <= ratio <= HIGHEST}
    problems = [_odd(name, ratios[name]) for name in sorted(odd)]
    sound = {name: round(ratio, 4) for name, ratio in ratios.items() if name not in odd}
    if sound:
        problems += _remember(_correction(found, sound))
    return tuple(problems)


def corrected(bill: Bill, known: Correction | None) -> Bill:
    """The same bill, scaled to what was measured; what the driver takes stays as it is."""
    if known is None or known.allocated is None or known.reserved is None:
        return bill
    allocated = round(bill.allocated * known.allocated)
    reserved = max(allocated, round(bill.reserved * known.reserved))
    return bill.model_copy(
        update={
            "items": _scaled(bill, reserved),
            "allocated": allocated,
            "reserved": reserved,
            "total": reserved + bill.context,
            "note": "; ".join(filter(None, (bill.note, _by(known)))),
            "corrected_by": (known.allocated, known.reserved),
        }
    )


def _by(known: Correction) -> str:
    return f"corrected by a measurement on this machine, {known.made}"


def _scaled(bill: Bill, reserved: int) -> tuple[Item, ...]:
    """Items that add up to the new total; the largest takes what rounding leaves."""
    outside = [item for item in bill.items if item.name == DRIVER]
    tensors = sorted((i for i in bill.items if i.name != DRIVER), key=lambda item: -item.bytes)
    scaled = {i.name: round(i.bytes * reserved / bill.reserved) for i in tensors}
    scaled[tensors[0].name] += reserved - sum(scaled.values())
    scaled |= {item.name: item.bytes for item in outside}
    return tuple(item.model_copy(update={"bytes": scaled[item.name]}) for item in bill.items)


def _ratios(
    found: Measured, estimate: Bill, token_seconds: float | None
) -> Iterator[tuple[str, float]]:
    """Measured over what the formula alone says, without an earlier correction."""
    if found.allocated_bytes >= LEAST:
        allocated, reserved = estimate.corrected_by
        yield "allocated", found.allocated_bytes * allocated / estimate.allocated
        yield "reserved", found.reserved_bytes * reserved / estimate.reserved
    if token_seconds and found.tokens_per_second:
        yield "seconds", 1 / found.tokens_per_second / token_seconds


def _correction(found: Measured, ratios: dict[str, float]) -> Correction:
    return Correction(
        device=found.device,
        driver=found.driver,
        torch=found.versions.get("torch", ""),
        adaptation=found.adaptation,
        made=time.strftime("%Y-%m-%d", time.localtime(found.made)),
        **ratios,
    )


def _odd(name: str, ratio: float) -> Problem:
    what = {"allocated": "memory", "reserved": "reserved memory", "seconds": "time"}[name]
    return Problem(
        level="warning",
        where="",
        text=f"The measured {what} is {ratio:.2g} times the estimate, too far off to correct "
        "later estimates by. The measured figure holds for this run.",
    )


def _remember(correction: Correction) -> list[Problem]:
    """Add to what is known; a file that cannot be read is begun anew."""
    place = places.corrections_file()
    try:
        earlier = {known.key: known for known in _read()}
    except (OSError, ValidationError):
        earlier = {}
    older = earlier.pop(correction.key, correction)
    fresh = older.model_copy(update=correction.model_dump(exclude_none=True))
    whole = _File(corrections=(*earlier.values(), fresh))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        durable.write_atomically(place, whole.model_dump_json(indent=1))
    except OSError as error:
        text = f"The measurement could not be remembered: {error.strerror or error}."
        return [Problem(level="tip", where="", text=text)]
    return []


def _read() -> tuple[Correction, ...]:
    """All that is in the file. Raises OSError or ValidationError."""
    try:
        return _File.model_validate_json(places.corrections_file().read_bytes()).corrections
    except FileNotFoundError:
        return ()


def _ignored() -> Problem:
    return Problem(
        level="warning",
        where="",
        text=f"{places.corrections_file()} cannot be read and is ignored; estimates are not "
        "corrected by earlier measurements. Delete it, or measure again to replace it.",
    )


def _torch_version() -> str:
    """Without importing it; empty when it is not installed."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""
