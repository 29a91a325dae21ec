"""Memory of one training step, exactly: run it on meta tensors and replay what it allocates."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from trl.trainer.utils import disable_dropout_in_model

from core.adapt import Adaptation
from core.choices import PROJECTED
from core.engine.emit import versions
from core.engine.faults import first_line
from core.engine.meta_model import adapt, build, load, read_configuration
from core.engine.meta_ops import Routing
from core.engine.meta_shard import Shards, keep_buckets, on_nothing, processes, shard, storages
from core.engine.meta_step import METRICS, Precision, Steps, Trained, prepare
from core.engine.patches import changed, patched
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
        doubt="; ".join(_doubts(config, adaptation, setup)),
    )


def _doubts(config: dict[str, Any], adaptation: Adaptation, setup: Setup) -> Iterator[str]:
    """What was never compared with measurements on a GPU."""
    kinds = {
        "mixtures of experts": any(
            config.get(name) for name in ("num_experts", "num_local_experts")
        ),
        "several GPUs": setup.sharding != "none",
        "pairs (DPO)": setup.objective == "dpo",
        "this optimizer": setup.optimizer not in ("adamw", "adamw_foreach"),
        "this method": not adaptation.traced,
    }
    for kind, given in kinds.items():
        if given:
            yield f"traces of {kind} were not compared with measurements yet"


def record(config: dict[str, Any], adaptation: Adaptation, setup: Setup) -> Recorder:
    """What two steps allocate and free. Raises CoreError."""
    _refuse_what_is_not_modelled(adaptation, setup)
    recorder = Recorder(hidden=setup.cuda)
    routing = Routing(setup.attention, _autocast_dtype(setup), cuda=setup.cuda)
    model = build(read_configuration(config), adaptation, setup)
    try:
        with ExitStack() as around:
            model = _placed(model, adaptation, setup, recorder, around)
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


def _placed(
    model: Any, adaptation: Adaptation, setup: Setup, recorder: Recorder, around: ExitStack
) -> Any:
    """The model, loaded and adapted; or its part on one of several GPUs, which hold no whole."""
    if setup.sharding != "fsdp":
        load(model, recorder, adaptation, setup)
        if setup.objective == "dpo":
            disable_dropout_in_model(model)
        return adapt(model, adaptation, setup, recorder)
    for state in (processes(setup.gpus), changed(storages(recorder)), on_nothing()):
        around.enter_context(state)
    model = adapt(model, adaptation, setup, Recorder(hidden=False))
    shard(model, setup, recorder)
    return model


def take_steps(model: Any, setup: Setup, recorder: Recorder, precision: Precision) -> None:
    """Prepare a loaded and adapted model and train it for two steps, writing memory down."""
    trained = Shards(model) if setup.sharding == "fsdp" else Trained(model)
    with recorder:
        prepare(model, setup, recorder, precision)
        if setup.sharding == "ddp":
            keep_buckets(trained.weights, recorder)
        steps = Steps(model, trained, setup, recorder, precision)
        for _ in range(STEPS):
            steps.run()


def _refuse_what_is_not_modelled(adaptation: Adaptation, setup: Setup) -> None:
    wrong = {
        "only imitation and preference (SFT, DPO) can be traced": setup.objective not in METRICS,
        "TRL's DPO always has a fused output layer": setup.objective == "dpo"
        and (setup.engine, setup.loss) != ("trl", "fused"),
        "pairs on several GPUs cannot be traced": setup.objective == "dpo" and setup.gpus > 1,
        "of the ways to share a model among GPUs, DDP and FSDP can be traced, DeepSpeed's ZeRO not":
            setup.sharding.startswith("zero"),
        "several GPUs need a way to share the model": setup.sharding == "none" and setup.gpus > 1,
        "processors do not share a model": setup.sharding != "none" and not setup.cuda,
        "offloading cannot be traced": setup.offload,
        "GaLore and APOLLO cannot be traced": setup.optimizer in PROJECTED,
        "Muon on several GPUs cannot be traced": setup.optimizer == "muon" and setup.gpus > 1,
        "a partly trained model can be traced on processors only": adaptation.partly and setup.cuda,
    }  # fmt: skip
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
