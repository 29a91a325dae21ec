"""A model shared by several GPUs, as one of them holds it: torch's own fully_shard on meta tensors.

Every layer is a unit and the model around them is one (FSDP2). The processes are those of torch's
fake process group: buffers of an exchange are asked for, and nothing is sent. Streams of their own,
on which they are allocated on a GPU, are counted as one with all others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import bitsandbytes
import torch
import torch.distributed.fsdp._fully_shard._fsdp_collectives as collectives
import torch.distributed.fsdp._fully_shard._fsdp_param as parameters
import torch.distributed.fsdp._fully_shard._fsdp_param_group as groups
import torch.distributed.fsdp._fully_shard._fsdp_state as states
import torch.distributed.fsdp._fully_shard._fully_shard as entry
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.fsdp._fully_shard._fsdp_api import AllGather, ReduceScatter
from torch.testing._internal.distributed.fake_pg import FakeStore

from core.engine.meta_model import DTYPES
from core.engine.meta_step import Trained
from core.engine.optimizers import layers_of
from core.engine.patches import Change, changed
from core.engine.recorder import Kind, Recorder
from core.memory.setup import Setup

BUCKETS = 1 << 20, 25 << 20
"""Least bytes of DistributedDataParallel's first bucket of gradients, and of all others."""


@contextlib.contextmanager
def processes(count: int) -> Iterator[None]:
    """Be the first of so many processes."""
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=count)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def on_nothing() -> AbstractContextManager[None]:
    """Meta tensors are on a device that can be shared."""
    handles: list[Change] = [
        (module, "_get_device_handle", lambda *_: torch.cpu)
        for module in (collectives, groups, states)
    ]
    return changed(
        [
            *handles,
            (entry, "_get_device_from_mesh", lambda mesh: torch.device("meta")),
            (groups.FSDPParamGroup, "_validate_no_meta_params", lambda group: None),
        ]
    )


def storages(recorder: Recorder) -> list[Change]:
    """A whole weight is one tensor for ever; its storage is given up and asked for again."""

    def told(change: Any) -> Any:
        def resize(tensor: torch.Tensor) -> None:
            before = tensor.untyped_storage().nbytes()
            change(tensor)
            if tensor.untyped_storage().nbytes() != before:
                recorder.resized(tensor, "exchange")

        return resize

    allocate, free = told(parameters.alloc_storage), told(parameters.free_storage)
    return [
        (parameters, "alloc_storage", allocate),
        (parameters, "free_storage", free),
        (groups, "alloc_storage", allocate),
    ]


class _Buffers:
    """Asks for the memory of an exchange, and exchanges nothing."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def allocate(self, size: Any, *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Memory for what goes to or comes from the other GPUs."""
        buffer = torch.empty(*size, dtype=dtype, device=device)
        self._recorder.rename([buffer], "exchange")
        return buffer

    def __call__(self, *_: Any, **__: Any) -> None:
        return None


class _Gather(_Buffers, AllGather):  # type: ignore[misc]
    """Weights of one unit from all GPUs."""


class _Reduce(_Buffers, ReduceScatter):  # type: ignore[misc]
    """Gradients of one unit to all GPUs."""


def shard(model: Any, setup: Setup, recorder: Recorder) -> None:
    """Divide an adapted model, and write down the part of this GPU as if it was loaded alone."""
    _let_4bit_weights_be_divided(model)
    mesh = init_device_mesh("cpu", (setup.gpus,))
    for unit in (*layers_of(model), model):
        fully_shard(unit, mesh=mesh, mp_policy=_precision(setup))
        unit.set_custom_all_gather(_Gather(recorder))
        unit.set_custom_reduce_scatter(_Reduce(recorder))
    adapted = hasattr(model, "peft_config")
    for parameter in model.parameters():
        kind: Kind = "adapters" if adapted and parameter.requires_grad else "weights"
        recorder.watch(parameter._local_tensor, kind)
    for tensor in (*model.buffers(), *_constants(model)):
        recorder.watch(tensor, "weights")


def _precision(setup: Setup) -> MixedPrecisionPolicy:
    """As accelerate asks for it: whole weights and their gradients in 16 bits."""
    half = DTYPES[setup.dtype] if setup.dtype != "fp32" else None
    return MixedPrecisionPolicy(param_dtype=half, reduce_dtype=half, output_dtype=half)


def _linear_4bit(model: Any) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]


def _let_4bit_weights_be_divided(model: Any) -> None:
    """They have to be stored as numbers of 16 bits (bnb_4bit_quant_storage)."""
    for layer in _linear_4bit(model):
        packed = torch.empty(-(-layer.weight.numel() // 2), 1, dtype=torch.bfloat16, device="meta")
        layer.weight = torch.nn.Parameter(packed, requires_grad=False)
        layer.quant_storage = torch.bfloat16


def _constants(model: Any) -> Iterator[torch.Tensor]:
    """Of 4-bit weights: they are no parameters, so every GPU holds all of them."""
    for layer in _linear_4bit(model):
        state = layer.quant_state
        yield from (state.absmax, state.code)
        if state.nested:
            yield from (state.offset, state.state2.absmax, state.state2.code)


class Shards(Trained):
    """The parts of trained weights that this GPU updates."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._model = model
        self._whole = self.weights
        self.weights = [torch.nn.Parameter(weight._local_tensor) for weight in self._whole]

    def gradients(self) -> list[torch.Tensor]:
        """What is there of them on this GPU."""
        return [weight.grad._local_tensor for weight in self._whole if weight.grad is not None]

    def exchange(self, *, now: bool) -> None:
        """While batches accumulate, whole gradients stay where they are (accelerate's no_sync)."""
        self._model.set_requires_gradient_sync(now)

    def settle(self) -> None:
        """Give the gradients to the parts."""
        for part, weight in zip(self.weights, self._whole, strict=True):
            if weight.grad is not None:
                part.grad, weight.grad = weight.grad._local_tensor, None


def keep_buckets(weights: Iterable[torch.Tensor], recorder: Recorder) -> None:
    """DistributedDataParallel holds all gradients a second time, in buckets, from last to first.

    A bucket is closed by the gradient that fills it (torch/csrc/distributed/c10d/reducer.cpp).
    """
    full, size = BUCKETS[0], 0
    for weight in reversed(list(weights)):
        size += weight.numel() * weight.element_size()
        if size >= full:
            recorder.allocate(size, "exchange")
            full, size = BUCKETS[1], 0
    if size:
        recorder.allocate(size, "exchange")
