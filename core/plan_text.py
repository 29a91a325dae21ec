"""Plans as sentences for a terminal and as plain data for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.memory import Bill
from core.memory.choice import Option, best
from core.mixing import Drawn
from core.numbers import percent, show_bytes, show_count, show_duration
from core.plan import Plan
from core.terminal import table

MILLION = 1_000_000
SPEED_BAND = 0.4
"""How far off a computed speed may be (core/memory/cost.py)."""
SHOWN = 10
"""GPUs listed in a terminal."""


def plan_lines(plan: Plan) -> Iterator[str]:
    """The memory bill, the steps and every automatic choice with its reason."""
    if plan.settings is not None:
        yield (
            f"{plan.rows:,} rows to learn from, {plan.heldout:,} held out; "
            f"{plan.settings.steps:,} steps, {show_count(plan.trainable)} of "
            f"{show_count(plan.parameters)} numbers trained."
        )
    if len(plan.sources) > 1:
        yield "Datasets:"
        yield table(map(_source, plan.sources))
    yield from memory_lines(plan)
    if plan.seconds is not None:
        yield f"About {show_duration(plan.seconds)} on {_place(plan.device)}."
    if plan.decisions:
        yield "Chosen automatically:"
        yield table([(d.name, d.value, f"because: {d.because}") for d in plan.decisions])


def _source(source: Drawn) -> tuple[str, ...]:
    drawn = f"{source.drawn:,} of {source.rows:,} rows"
    name, digest = Path(source.path).name, f"sha256 {source.digest[:12]}"
    return name, drawn, source.format, digest, source.because


def _place(device: str) -> str:
    return device.removesuffix("'s memory")


def memory_lines(plan: Plan) -> Iterator[str]:
    """The memory bill item by item, and whether it fits."""
    if plan.bill:
        bill, limit = show_bytes(plan.needed), show_bytes(plan.limit)
        yield f"Memory: about {bill} of {limit} ({plan.device}), {doubt(plan.bill)}."
        yield table([(i.name, show_bytes(i.bytes), i.note) for i in plan.items])
        if plan.bill.host:
            yield f"And {show_bytes(plan.bill.host)} of the computer's own memory."
        yield verdict_line(plan)


def doubt(bill: Bill) -> str:
    """How far off the figure may be, and why it is less sure than usual."""
    return f"give or take {percent(bill.band)}" + (f": {bill.note}" if bill.note else "")


def verdict_line(plan: Plan) -> str:
    """Whether the bill fits, as a sentence."""
    spare = plan.limit - plan.needed
    match plan.fit:
        case None:
            return "The memory of the device is not known."
        case "no":
            return f"Does not fit: {show_bytes(-spare)} more are needed."
        case "tight":
            rough = ", and this is an estimate" if _is_estimate(plan) else ""
            return f"Tight: only {show_bytes(spare)} to spare{rough}."
    return f"Fits, {show_bytes(spare)} to spare."


def _is_estimate(plan: Plan) -> bool:
    return plan.bill is not None and plan.bill.method == "closed-form"


def price_line(option: Option, tokens: int | None) -> str:
    """Time and money on one kind of GPU."""
    hours, low, high = priced(option, tokens)
    work = f"{show_count(tokens)} tokens" if tokens else "a million tokens"
    band = percent(SPEED_BAND)
    return (
        f"On {called(option)}, {work} take about {show_duration(hours * 3600)} ({hours:.2g} h) "
        f"and cost ${low:.2f} to ${high:.2f} where it is rented, give or take {band}."
    )


def offer_lines(
    offers: Sequence[Option], tokens: int | None, *, timed: bool = True
) -> Iterator[str]:
    """Where else it fits: the fewest GPUs first, then the cheapest."""
    fitting = [option for option in offers if option.fits != "no"]
    chosen = best(fitting)
    if chosen is None:
        yield "It fits on none of the other GPUs of the catalogue, nor on eight of one kind."
        return
    room = "with room to spare" if chosen.fits == "fits" else "with hardly any room to spare"
    yield f"The fewest and cheapest GPUs {room}: {called(chosen)}. All on which it fits:"
    yield table(_offer_rows(fitting[:SHOWN], tokens, timed=timed))
    if len(fitting) > SHOWN:
        yield f"  ... and {len(fitting) - SHOWN} more; --json lists them."


def _offer_rows(
    offers: Sequence[Option], tokens: int | None, *, timed: bool
) -> Iterator[tuple[str, ...]]:
    heads = ("GPU", "memory of each", "", "to spare", "hours", "USD")
    yield heads if timed else heads[:4]
    for option in offers:
        hours, low, high = priced(option, tokens)
        memory, spare = show_bytes(option.vram_bytes), show_bytes(option.headroom_bytes)
        cells = (
            called(option),
            memory,
            option.fits,
            spare,
            f"{hours:.2g}",
            f"{low:.2f}-{high:.2f}",
        )
        yield cells if timed else cells[:4]


def called(option: Option) -> str:
    """GPUs as people name them: 2 x RTX 4090."""
    return option.name if option.count == 1 else f"{option.count} x {option.name}"


def priced(option: Option, tokens: int | None) -> tuple[float, float, float]:
    """Hours, and US dollars at the lowest and the highest price; for a million tokens if None."""
    millions = (tokens or MILLION) / MILLION
    hours = option.hours_per_million_tokens
    return hours * millions, option.usd_low * millions, option.usd_high * millions


def plan_document(
    plan: Plan, offers: Sequence[Option] = (), *, timed: bool = True
) -> dict[str, Any]:
    """The plan as plain data, with the keys that scripts rely on."""
    return plan.model_dump(mode="json", exclude={"bill"}) | {
        "memory": _memory(plan.bill) if plan.bill else None,
        "trainable_parameters": plan.trainable,
        "total_parameters": plan.parameters,
        "fits": plan.fit != "no" if plan.fit else None,
        "verdict": plan.fit,
        "gpus": [_offer(option, plan.tokens, timed=timed) for option in offers],
        "gpus_tokens": plan.tokens or MILLION,
        "ready": plan.ready,
        "steps": plan.settings.steps if plan.settings else None,
    }


def _offer(option: Option, tokens: int | None, *, timed: bool) -> dict[str, Any]:
    hours, low, high = priced(option, tokens)
    return {
        "name": option.name,
        "vram_bytes": option.vram_bytes,
        "count": option.count,
        "sharding": option.sharding,
        "fits": option.fits != "no",
        "verdict": option.fits,
        "needed_bytes": option.needed_bytes,
        "headroom_bytes": option.headroom_bytes,
        "hours": hours if timed else None,
        "cost_usd": (low + high) / 2 if timed else None,
        "cost_usd_range": [low, high] if timed else None,
    }


def _memory(bill: Bill) -> dict[str, Any]:
    return {
        "allocated_bytes": bill.allocated,
        "reserved_bytes": bill.reserved,
        "total_bytes": bill.total,
        "host_bytes": bill.host,
        "items": [item.model_dump() for item in bill.items],
        "method": bill.method,
        "note": bill.note,
        "phase": bill.phase,
        "band": bill.band,
    }
