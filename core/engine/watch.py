"""Each optimizer step as an event."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback

from core.engine.emit import Voice, memory_now
from core.events import Step
from core.metrics import KNOWN


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
        """Tell a step; the library's closing summary has no loss of its own and is left out."""
        if not logs or "loss" not in logs:
            return
        spent = time.perf_counter() - self._begun
        self._seconds += spent
        tokens = int(logs.get("num_tokens", 0))
        self._voice.say(
            Step(
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
                metrics={name: value for name, value in logs.items() if name in KNOWN},
            )
        )
        self._tokens = tokens
