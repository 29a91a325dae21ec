"""Count what a recorder saw, and what was there before it."""

from __future__ import annotations

from typing import Any

from core.engine.recorder import Phase, Recorder


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


def highest_in(recorder: Recorder, phase: Phase) -> int:
    """Most bytes allocated at once while a phase asks for memory."""
    sizes: dict[int, int] = {}
    level = peak = 0
    for event in recorder.events:
        if event.size:
            sizes[event.number] = event.size
            level += event.size
            peak = max(peak, level) if recorder.notes[event.number].phase == phase else peak
        else:
            level -= sizes.pop(event.number, 0)
    return peak
