"""Open a stranger's pickle for its tensors alone, in a process that can do nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from core.converting import Conversion, Written
from core.engine.confine import Allowance, give_up
from core.errors import ModelError

_WORK = 3
"""Copies of the file in memory: as stored, as tensors, and as bytes to be written."""
_ROOM = 2**30
_RATE = 2_000_000
"""Bytes a second that the slowest processor converts."""
_WRAPPED = "state_dict"


def convert(asked: Conversion) -> Written:
    """Write the tensors of a pickle as safetensors. Raises ModelError."""
    os.chdir(asked.out.parent)
    size = asked.source.stat().st_size
    allowed = Allowance(memory=_WORK * size + _ROOM, seconds=60 + size // _RATE, file=size + 2**26)
    sealed = give_up(allowed)
    found = _tensors(asked.source, size)
    save_file(found, asked.out, metadata={"format": "pt"})
    return Written(tensors=len(found), sealed=sealed)


def _tensors(source: Path, size: int) -> dict[str, torch.Tensor]:
    raw: Any = torch.load(source, map_location="cpu", weights_only=True)
    if isinstance(raw, dict) and isinstance(raw.get(_WRAPPED), dict):
        raw = raw[_WRAPPED]
    if not isinstance(raw, dict) or not raw:
        raise ModelError(f"{source} holds no tensors with names.", hint="It is not a model.")
    for name, tensor in raw.items():
        _check(source, name, tensor)
    if sum(tensor.nbytes for tensor in raw.values()) > 2 * size:
        raise ModelError(f"{source} unfolds to more than twice its size.", hint="Do not use it.")
    return {name: tensor.detach().clone().contiguous() for name, tensor in raw.items()}


def _check(source: Path, name: object, tensor: object) -> None:
    """Only numbers side by side: computing with others trusts what the file says of them."""
    plain = (
        isinstance(name, str)
        and isinstance(tensor, torch.Tensor)
        and tensor.layout is torch.strided
        and not tensor.is_quantized
        and tensor.device.type == "cpu"
    )
    if not plain:
        raise ModelError(
            f"{source}: {ascii(name)[:60]} is not a plain tensor; sparse and quantised ones are "
            "not opened.",
            hint="Look for a version of this model in safetensors.",
        )
