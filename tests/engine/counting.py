"""Count the tensors of a model that was there before the recorder."""

from __future__ import annotations

from typing import Any

from core.engine.recorder import Recorder


def watch_model(recorder: Recorder, model: Any) -> None:
    """Weights, buffers, and the constants of 4-bit weights."""
    for tensor in [*model.parameters(), *model.buffers()]:
        recorder.watch(tensor, "weights")
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            tensors = [state.absmax, state.code]
            if state.nested:
                tensors += [state.offset, state.state2.absmax, state.state2.code]
            for tensor in tensors:
                recorder.watch(tensor, "weights")
