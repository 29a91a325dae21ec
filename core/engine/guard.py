"""A step whose loss or gradient is no number is left out; a run that diverges waits for a word.

What is judged are numbers that each optimizer step fetches anyway: no micro-batch waits for it.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from core.engine.faults import Diverged

IN_A_ROW = 3
"""Steps left out one after the other before the run pauses."""
WINDOW, FACTOR, LASTING = 50, 3.0, 20
"""The run pauses when the loss is above so many times the median of the last good steps, and stays
there for so many steps."""
LEARNED = 0.1
"""Nats: losses below it are as good as learned, whatever they are a multiple of."""


@dataclass(frozen=True)
class Fault:
    """What was no finite number, and in which micro-batches of the step; all of them if empty."""

    what: Literal["loss", "gradient"]
    batches: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Alarm:
    """Why the run must not go on by itself, and the step after which all was well."""

    reason: str
    good: int


class Guard:
    """Remembers how the steps went; `known` are the losses of steps taken before this process."""

    def __init__(self, known: Iterable[float] = ()) -> None:
        self._good = deque(known, WINDOW)
        self._left_out = self._high = 0
        self._last_good = 0

    def fault(self, losses: Sequence[tuple[int, float]], length: float) -> Fault | None:
        """Judge a step before it is taken: the loss of each micro-batch, and the gradient's length.

        A micro-batch may have several losses, each under its number.
        """
        broken = frozenset(batch for batch, loss in losses if not math.isfinite(loss))
        if not broken and math.isfinite(length):
            self._left_out = 0
            return None
        self._left_out += 1
        return Fault("loss", broken) if broken else Fault("gradient")

    def taken(self, step: int, loss: float) -> None:
        """Note the loss of a step that was taken."""
        if self._good and loss > max(FACTOR * statistics.median(self._good), LEARNED):
            self._high += 1
            return
        self._high, self._last_good = 0, step
        self._good.append(loss)

    @property
    def doubtful(self) -> bool:
        """Whether the last steps were such that nothing good should make room for them."""
        return bool(self._left_out or self._high)

    def alarm(self) -> Alarm | None:
        """Whether it is enough."""
        if self._left_out >= IN_A_ROW:
            text = f"Loss or gradient were not finite numbers in {self._left_out} steps in a row."
            return Alarm(text, self._last_good)
        if self._high >= LASTING:
            usual = statistics.median(self._good)
            text = f"The loss has been above {FACTOR:g} times its usual value ({usual:.3g}) for "
            return Alarm(f"{text}{self._high} steps: training diverges.", self._last_good)
        return None

    def forgive(self) -> None:
        """The user has seen it and wants to go on: what is now, is usual."""
        self._left_out = self._high = 0
        self._good.clear()


def forget_gradients(optimizer: Any) -> None:
    """Without gradients an optimizer changes neither weights nor its own states."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = None


def has_gradients(model: Any) -> bool:
    """Whether the step that is being taken was not left out."""
    return any(weight.grad is not None for weight in model.parameters())


def refuse_broken(model: Any, step: int, rate: float) -> None:
    """Weights that are no numbers are never saved. Raises Diverged."""
    trained = [weight.detach() for weight in model.parameters() if weight.requires_grad]
    if not math.isfinite(float(torch.nn.utils.get_total_norm(trained, float("inf")))):
        raise Diverged("weight", step, rate)
