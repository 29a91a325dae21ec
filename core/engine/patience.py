"""Saving on a disk that is full, gone or read-only: training waits and loses nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from core import disk
from core.engine.emit import Voice
from core.engine.wishes import Wishes
from core.errors import DiskError
from core.events import Paused
from core.memory.disk import SPARE
from core.room import disk_error, lack_of_room
from core.rundir import RunDir

POLL = 0.2
RETRY, RETRY_MOST = 5.0, 60.0
"""Seconds until the next attempt, twice as long each time."""
T = TypeVar("T")


class Unsaved(Exception):
    """The user would rather stop than wait for the disk."""


def patiently(
    save: Callable[[], T], need: int, step: int, run: RunDir, voice: Voice, wishes: Wishes
) -> T:
    """Save, and wait for the disk as long as it takes; a wish to continue tries again at once.

    `need` are the bytes that will be written. Raises Unsaved when the user stops the waiting.
    """
    trouble, pause, wish = lack_of_room(run.root, need), RETRY, ""
    told = False
    while True:
        if trouble is None or wish == "continue":
            try:
                found = save()
            except Exception as error:
                trouble = disk_error(error, run.root, need)
                if trouble is None:
                    raise
            else:
                if told:
                    voice.say(Paused(step=step, paused=False))
                return found
        if not told or wish == "continue":
            voice.say(Paused(step=step, reason=str(trouble), hint=trouble.hint, passing=True))
            told = True
        wish = _wait(pause, wishes)
        if wish == "stop":
            _give_up(step, trouble, voice)
        pause = min(2 * pause, RETRY_MOST)
        trouble = lack_of_room(run.root, need)


def _wait(seconds: float, wishes: Wishes) -> str:
    """Until the time is over or something is wished that ends the waiting."""
    for _ in range(round(seconds / POLL)):
        match wishes.next():
            case "stop":
                return "stop"
            case "continue" | "checkpoint":
                return "continue"
        disk.current.wait(POLL)
    return ""


def _give_up(step: int, trouble: DiskError, voice: Voice) -> None:
    voice.warn("not-saved", f"Step {step:,} is not saved: {trouble}", trouble.hint)
    raise Unsaved


def patient(save: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any, Any], None]:
    """Lets a trainer's way to save a checkpoint wait for the disk, or end the training unsaved."""

    @functools.wraps(save)
    def waiting(trainer: Any, model: Any, trial: Any) -> None:
        watch, step = trainer.watch, trainer.state.global_step
        try:
            patiently(
                lambda: save(trainer, model, trial), checkpoint_bytes(trainer), step,
                watch.run, watch.voice, watch.wishes,
            )  # fmt: skip
        except Unsaved:
            watch.stopped = True
            trainer.control.should_training_stop = True

    return waiting


def checkpoint_bytes(trainer: Any) -> int:
    """Bytes that a checkpoint of this trainer takes: weights, states of the optimizer, spare."""
    states = trainer.optimizer.state.values() if trainer.optimizer else ()
    tensors = [one for state in states for one in state.values() if hasattr(one, "nbytes")]
    return artefact_bytes(trainer.model) + sum(int(one.nbytes) for one in tensors)


def artefact_bytes(model: Any) -> int:
    """Bytes that a model takes when it is saved: its adapter, if it has one, and spare."""
    adapted = hasattr(model, "peft_config")
    kept = [one for one in model.parameters() if one.requires_grad or not adapted]
    return SPARE + sum(int(one.nbytes) for one in kept)
