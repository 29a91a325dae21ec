"""The course of the learning rate over a run, for the engine and for a preview of it."""

from __future__ import annotations

import math

from core.choices import Training
from core.draft import Settings


def decay_steps(training: Training, settings: Settings) -> int:
    """Steps at the end of a run in which "wsd" falls; what the warm-up takes is taken."""
    wanted = math.ceil(settings.steps * training.decay)
    return min(wanted, settings.steps - settings.warmup_steps)


def rate_at(training: Training, settings: Settings, step: int) -> float:
    """Learning rate of a step; the first is 1. Later than the last, schedules stay where they end.

    The same numbers as transformers' schedules give (transformers/optimization.py): the first step
    of a warm-up has a rate of 0.
    """
    return settings.learning_rate * _share(training, settings, step - 1)


def _share(training: Training, settings: Settings, done: int) -> float:
    """Share of the top rate after so many steps."""
    warm, whole = settings.warmup_steps, settings.steps
    low = training.final_rate
    if done < warm:
        begun = done / warm
        return begun * (1 - low) + low if training.schedule == "wsd" else begun
    match training.schedule:
        case "linear":
            return max(0.0, (whole - done) / max(1, whole - warm))
        case "cosine":
            return _cosine((done - warm) / max(1, whole - warm)) * (1 - low) + low
        case "inverse_sqrt":
            scale = warm or 10_000
            return 1 / math.sqrt((done + scale - warm) / scale)
        case "wsd":
            return _late(done - whole, decay_steps(training, settings)) * (1 - low) + low
    return 1.0


def _cosine(progress: float) -> float:
    return (1 + math.cos(math.pi * min(1.0, progress))) / 2


def _late(left: int, falling: int) -> float:
    """One until so many steps are left, then 1 - sqrt (Haegele et al. 2024, arXiv 2405.18392)."""
    progress = (left + falling) / max(1, falling)
    return 1 - math.sqrt(min(1.0, max(0.0, progress)))
