"""Memory of one training step, exactly: run it on meta tensors and replay what it allocates."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import torch
from trl.trainer.utils import disable_dropout_in_model

from core.adapt import Adaptation
from core.engine.emit import versions
from core.engine.meta_model import adapt, build, first_line, load, read_configuration
from core.engine.meta_ops import Routing
from core.engine.meta_step import METRICS, Precision, Steps, prepare
from core.engine.patches import patched
from core.engine.recorder import Recorder, highest
from core.errors import CoreError, ModelError
from core.memory.allocator import Replay, replay, rounded
from core.memory.setup import Setup
from core.memory.traced import Point, Traced, TracedItem

STEPS = 2
"""Optimizer states are born in the first; the second is like all that follow."""


def trace(config: dict[str, Any], adaptation: Adaptation, setup: Setup) -> Traced:
    """Trace a step of a model given by the content of its config.json. Raises CoreError."""
    begun = time.perf_counter()
    recorder = record(config, adaptation, setup)
    plain = replay(recorder.events)
    note = recorder.notes[recorder.events[plain.moment].number]
    return Traced(
        allocated_bytes=plain.peak_allocated,
        reserved_bytes=plain.peak_reserved,
        expandable_bytes=replay(recorder.events, expandable=True).peak_reserved,
        tensor_bytes=highest(recorder.events, lambda n: recorder.notes[n].kind != "workspaces"),
        phase=note.phase,
        layer=note.place,
        items=_items(recorder, plain),
        timeline=tuple(Point(event=event, bytes=size) for event, size in plain.timeline),
        seconds=time.perf_counter() - begun,
        versions=versions(),
    )


def record(config: dict[str, Any], adaptation: Adaptation, setup: Setup) -> Recorder:
    """What two steps allocate and free. Raises CoreError."""
    _refuse_what_is_not_modelled(setup)
    recorder = Recorder(hidden=setup.cuda)
    routing = Routing(setup.attention, _autocast_dtype(setup), cuda=setup.cuda)
    model = build(read_configuration(config), adaptation, setup)
    load(model, recorder, adaptation, setup)
    if setup.objective == "dpo":
        disable_dropout_in_model(model)
    model = adapt(model, adaptation, setup, recorder)
    try:
        with patched(cuda=setup.cuda, padded=setup.padded), routing:
            take_steps(model, setup, recorder, routing)
    except CoreError:
        raise
    except Exception as error:  # libraries fail on meta tensors in any way they like
        kind = config.get("model_type")
        raise ModelError(
            f"A step of this model ({kind!s:.40}) cannot be traced: {first_line(error)}",
            hint="The quick estimate still holds, with a wider margin.",
        ) from error
    return recorder


def take_steps(model: Any, setup: Setup, recorder: Recorder, precision: Precision) -> None:
    """Prepare a loaded and adapted model and train it for two steps, writing memory down."""
    with recorder:
        prepare(model, setup, recorder, precision)
        steps = Steps(model, setup, recorder, precision)
        for _ in range(STEPS):
            steps.run()


def _refuse_what_is_not_modelled(setup: Setup) -> None:
    wrong = {
        "only imitation and preference (SFT, DPO) can be traced": setup.objective not in METRICS,
        "TRL's DPO always has a fused output layer": setup.objective == "dpo"
        and (setup.engine, setup.loss) != ("trl", "fused"),
        "a step on several GPUs cannot be traced": setup.sharding != "none" or setup.gpus > 1,
        "offloading cannot be traced": setup.offload,
    }
    for what, given in wrong.items():
        if given:
            raise CoreError(
                f"This step cannot be traced exactly: {what}.",
                hint="The quick estimate still holds, with a wider margin.",
            )


def _autocast_dtype(setup: Setup) -> torch.dtype | None:
    wide = not setup.cuda or setup.engine == "plain" or setup.dtype == "fp32"
    return None if wide else {"bf16": torch.bfloat16, "fp16": torch.float16}[setup.dtype]


def _items(recorder: Recorder, found: Replay) -> tuple[TracedItem, ...]:
    """Bytes by kind at the peak, largest first."""
    sizes = {event.number: rounded(event.size) for event in recorder.events if event.size}
    sums: Counter[str] = Counter()
    for number in found.live:
        sums[recorder.notes[number].kind] += sizes[number]
    return tuple(TracedItem(kind=kind, bytes=size) for kind, size in sums.most_common())
