"""Answers that libraries look for in data or devices, which meta tensors do not have."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
import transformers.masking_utils
import trl.kernels.chunked_logprob
import trl.trainer.utils
from transformers.utils.generic import maybe_autocast

Change = tuple[Any, str, Any]


@contextlib.contextmanager
def patched(*, cuda: bool, padded: bool) -> Iterator[None]:
    """Let libraries believe in a GPU, or in this computer's processor, while inside."""
    changes = [*_masks(padded=padded), *_optimizers(), *_autocast("cuda" if cuda else "cpu")]
    changes += _head() if cuda else []
    with changed(changes):
        yield


@contextlib.contextmanager
def changed(changes: list[Change]) -> Iterator[None]:
    """Attributes of modules and classes have other values inside."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    _put(changes)
    try:
        yield
    finally:
        _put(before)


def _put(changes: list[Change]) -> None:
    for owner, name, value in changes:
        setattr(owner, name, value)


def _masks(*, padded: bool) -> list[Change]:
    """Whether rows are padded or packed is written in the mask; here it is known beforehand."""

    def skip(*given: Any) -> bool:
        _mask, _queries, keys, _query_offset, _key_offset, window = given
        return not padded and (window is None or keys < window)

    masks = transformers.masking_utils
    return [
        (masks, "find_packed_sequence_indices", lambda position_ids: None),
        (masks, "_ignore_causal_mask_sdpa", skip),
    ]


def _optimizers() -> list[Change]:
    """Meta kernels exist for fused and foreach steps; only the lists of devices leave them out."""
    devices = ["cuda", "cpu", "meta"]
    return [
        (importlib.import_module(owner), f"_get_{kind}_kernels_supported_devices", lambda: devices)
        for owner in ("torch.optim.optimizer", "torch.utils._foreach_utils")
        for kind in ("foreach", "fused")
    ]


def _autocast(stands_for: str) -> list[Change]:
    """torch knows no autocast for meta tensors; it is asked about the device they stand for."""

    def translated(function: Any) -> Any:
        def ask(*given: Any, **named: Any) -> Any:
            if named.get("device_type") == "meta":
                named["device_type"] = stands_for
            return function(*(stands_for if one == "meta" else one for one in given), **named)

        return ask

    modules = list(sys.modules.values())
    users = [m for m in modules if getattr(m, "maybe_autocast", None) is maybe_autocast]
    return [
        (torch, "is_autocast_enabled", translated(torch.is_autocast_enabled)),
        (torch, "get_autocast_dtype", translated(torch.get_autocast_dtype)),
        (torch.autocast, "__init__", translated(torch.autocast.__init__)),
        *((module, "maybe_autocast", translated(maybe_autocast)) for module in users),
    ]


def _head() -> list[Change]:
    """On a GPU Triton kernels work inside the tile, and a product is added without a copy."""
    tiles = trl.kernels.chunked_logprob
    return [
        (trl.trainer.utils, "_use_triton", lambda device: True),
        (tiles, "_forward_tile", lambda *_, **__: None),
        (tiles, "_backward_tile", lambda *_, **__: None),
        (tiles, "_addmm_fp32", lambda *_: None),
    ]
