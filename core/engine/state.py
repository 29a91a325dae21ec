"""The state of training on disk without pickles: plain data as JSON, tensors as safetensors.

Numbers come back with every bit, so that a run goes on exactly as it would have.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.errors import RunError

OPTIMIZER, SCHEDULER, RANDOM = "optimizer", "scheduler", "random"
_HINT = "Resume from an older checkpoint: move this one out of the folder. Or start a new run."


def keep(folder: Path, name: str, state: Any) -> None:
    """Write nested dicts, lists, tuples, numbers, texts and tensors. Raises TypeError for more."""
    tensors = _Tensors()
    text = json.dumps(_written(state, tensors))
    (folder / f"{name}.json").write_text(text, encoding="utf-8")
    save_file(tensors.named, folder / f"{name}.safetensors")


def recall(folder: Path, name: str, device: str = "cpu") -> Any:
    """What `keep` was given, bit for bit. Raises RunError that names the file."""
    try:
        plain = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return _read(plain, load_file(folder / f"{name}.safetensors", device))
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise RunError(
            f"{folder.name} has no readable {name} state ({type(error).__name__}: {error}).",
            hint=_HINT,
        ) from error


class _Tensors:
    """Tensors by number; one that is met again, as tables of 8-bit optimizers are, is kept once."""

    def __init__(self) -> None:
        self.named: dict[str, torch.Tensor] = {}
        self._known: dict[Any, str] = {}

    def name(self, tensor: torch.Tensor) -> str:
        same = (tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and same in self._known:
            return self._known[same]
        name = self._known[same] = str(len(self.named))
        self.named[name] = tensor.detach().contiguous()
        return name


def _written(node: Any, tensors: _Tensors) -> Any:
    """Plain JSON; whatever JSON does not know is an object of one field that tells its kind."""
    match node:
        case None | bool() | int() | float() | str():
            return node
        case torch.Tensor():
            return {"tensor": tensors.name(node)}
        case dict():
            return {"dict": [[key, _written(value, tensors)] for key, value in node.items()]}
        case tuple():
            return {"tuple": [_written(value, tensors) for value in node]}
        case list():
            return [_written(value, tensors) for value in node]
    raise TypeError(f"a {type(node).__name__} cannot be kept without a pickle")


def _read(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    match node:
        case {"tensor": name}:
            return tensors[name]
        case {"dict": pairs}:
            return {key: _read(value, tensors) for key, value in pairs}
        case {"tuple": values}:
            return tuple(_read(value, tensors) for value in values)
        case list():
            return [_read(value, tensors) for value in node]
    return node


def random_state() -> dict[str, Any]:
    """Where every generator of random numbers stands: Python's, NumPy's, torch's, the card's."""
    numpy: Any = np.random.get_state()
    kind, keys, place, has_gauss, gauss = numpy
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), place, has_gauss, gauss),
        "torch": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.random.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put every generator back where it stood."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    torch.random.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.random.set_rng_state(state["cuda"])


class Keeping(transformers.Trainer):  # type: ignore[misc]
    """A trainer whose checkpoints hold no pickle of optimizer, schedule and random numbers."""

    optimizer: Any
    lr_scheduler: Any

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        keep(Path(output_dir), OPTIMIZER, self.optimizer.state_dict())
        keep(Path(output_dir), SCHEDULER, self.lr_scheduler.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.optimizer.load_state_dict(recall(Path(checkpoint), OPTIMIZER))
            self.lr_scheduler.load_state_dict(recall(Path(checkpoint), SCHEDULER))

    def _save_rng_state(self, output_dir: str) -> None:
        keep(Path(output_dir), RANDOM, random_state())

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            set_random_state(recall(Path(checkpoint), RANDOM))
