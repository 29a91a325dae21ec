"""Each optimizer step as an event."""

from __future__ import annotations

import math
import time
from typing import Any

from transformers import TrainerCallback

from core.engine.emit import Voice, memory_now
from core.events import Step

FIGURES = {
    "reward": "reward",
    "kl": "kl_per_token",
    "entropy": "entropy",
    "completions/mean_length": "length",
}
"""What TRL calls the figures of core.metrics."""
OWN = "told/"
"""Stands before the names of core.metrics in our own trainers: some of TRL's mean other things."""


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Tells every step; time counts only while a step is being computed."""

    def __init__(self, voice: Voice, earlier: Step | None) -> None:
        self._voice = voice
        self._seconds = earlier.seconds if earlier else 0.0
        self._before = earlier.tokens if earlier else 0
        self._tokens = 0
        self._begun = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """Start the clock."""
        self._begun = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **named: Any) -> None:
        """Tell a step, but neither one that was left out nor the library's closing summary."""
        if not logs or "learning_rate" not in logs:
            return
        spent = time.perf_counter() - self._begun
        self._seconds += spent
        tokens = int(logs.get("num_tokens", self._tokens))  # steps may share what was generated
        if "loss" in logs:
            self._voice.say(self._step(state, logs, tokens, spent))
        self._tokens = tokens

    def _step(self, state: Any, logs: dict[str, Any], tokens: int, spent: float) -> Step:
        return Step(
            step=state.global_step,
            total=state.max_steps,
            epoch=round(state.epoch or 0.0, 4),
            loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            grad_norm=logs.get("grad_norm"),
            tokens=self._before + tokens,
            tokens_per_second=(tokens - self._tokens) / max(spent, 1e-9),
            seconds=self._seconds,
            memory=memory_now(),
            metrics=figures(logs),
        )


def figures(logs: dict[str, Any]) -> dict[str, float]:
    """What the logs of a step say beside the loss, each reward's own mean included."""
    known = {ours: logs[theirs] for theirs, ours in FIGURES.items() if theirs in logs}
    each = {
        f"reward/{name.split('/')[1]}": value
        for name, value in logs.items()
        if name.startswith("rewards/") and name.endswith("/mean")
    }
    own = {name.removeprefix(OWN): logs[name] for name in logs if name.startswith(OWN)}
    found = known | each | own
    return {
        name: float(value)
        for name, value in found.items()
        if value is not None and math.isfinite(value)
    }
