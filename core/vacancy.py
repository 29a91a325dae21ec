"""Whether the machine is free for another run."""

from __future__ import annotations

from pathlib import Path

from core.machine import Machine
from core.numbers import show_bytes
from core.plan import Plan
from core.rundir import RunDir

MOST_OF_A_CARD = 0.9
"""A run that needs nearly all of a card does not wait for what a desktop always keeps of it."""


def training(home: Path) -> RunDir | None:
    """A run below `home` that an engine holds now."""
    if not home.is_dir():
        return None
    runs = (RunDir(path) for path in sorted(home.iterdir(), reverse=True))
    return next((run for run in runs if run.is_running()), None)


def short_of_memory(plan: Plan, machine: Machine) -> str:
    """What another program keeps of the card that a run needs, in a sentence; empty when nothing.

    On a processor memory is given and taken all the time; there the plan's own verdict must do.
    """
    if plan.settings is None or plan.settings.device != "cuda" or not machine.gpus:
        return ""
    card = machine.gpus[0]
    wanted = min(plan.needed, int(card.total * MOST_OF_A_CARD))
    if card.free >= wanted:
        return ""
    return (
        f"{show_bytes(card.free)} of {show_bytes(card.total)} are free on {card.name}, about "
        f"{show_bytes(wanted)} are needed: another program holds the rest."
    )
