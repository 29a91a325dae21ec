"""A traced step against real ones: of this machine to the byte, of published measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import core.engine.run
from core.adapt import ADAPTATIONS, Adaptation
from core.engine.recorder import Recorder, highest
from core.engine.trace import trace
from core.engine.trainer import Trainer
from core.memory.setup import Setup
from core.places import starter
from core.recipe import Recipe
from tests.engine.conftest import create, go

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
LENGTH = 64
ROWS = 4


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What the real engine's real steps allocate, operation by operation."""
    recorder = Recorder(hidden=False)

    class Measured(Trainer):
        def train(self, *rest: Any, **named: Any) -> Any:
            for tensor in [*self.model.parameters(), *self.model.buffers()]:
                recorder.watch(tensor, "weights")
            for module in self.model.modules():
                state = getattr(getattr(module, "weight", None), "quant_state", None)
                if state is not None:
                    _watch_constants(recorder, state)
            with recorder:
                return super().train(*rest, **named)

    monkeypatch.setattr(core.engine.run, "Trainer", Measured)
    return recorder


def _watch_constants(recorder: Recorder, state: Any) -> None:
    tensors = [state.absmax, state.code]
    if state.nested:
        tensors += [state.offset, state.state2.absmax, state.state2.code]
    for tensor in tensors:
        recorder.watch(tensor, "weights")


@pytest.mark.parametrize("checkpointing", ["off", "on"])
@pytest.mark.parametrize("kind", ADAPTATIONS)
def test_a_traced_step_is_a_real_step(
    tmp_path: Path, recipe: Recipe, measured: Recorder, kind: type[Adaptation], checkpointing: str
) -> None:
    recipe = recipe.edit("adaptation", kind().model_dump()).edit("training.max_steps", 3)
    recipe = recipe.edit("training.max_length", LENGTH).edit("training.accumulation", 1)
    recipe = recipe.edit("training.checkpointing", checkpointing)
    recipe = recipe.edit("data.heldout_share", 0.0).edit("training.learning_rate", 1e-4)
    go(create(tmp_path / "run", recipe))
    config = json.loads((starter() / "config.json").read_text())
    setup = Setup(
        cuda=False, dtype="fp32", rows=ROWS, length=LENGTH, checkpointing=checkpointing == "on"
    )
    real = highest(measured.events)
    traced = trace(config, recipe.adaptation, setup).tensors
    ahead = 2 * 3 * ROWS * LENGTH * 8
    assert 0 <= real - traced <= ahead + 32, "more than the batches that are read ahead"
