"""What a run has made, opened in the precision in which the run has scored it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from core import durable, models
from core.engine.load import STORED, load_tokenizer, open_weights
from core.errors import RunError
from core.rundir import RunDir


class Opened(NamedTuple):
    """A model and the tokenizer that speaks its language."""

    model: Any
    tokenizer: PreTrainedTokenizerBase


def whole_result(run: RunDir) -> Path:
    """The folder of a run's result. Raises RunError when not all of it is what was written."""
    result = run.model if run.model.is_dir() else run.adapter
    if fault := durable.verify(result):
        raise RunError(f"The result of {run.root.name} is damaged: {fault}.", hint="Train again.")
    return result


def open_result(run: RunDir, *, scores: bool = False) -> Opened:
    """The trained model; with `scores` one that judges. Raises RunError, ModelError."""
    result, (device, dtype) = whole_result(run), where_it_runs()
    if result == run.model:
        stored = STORED.get(models.look(result).stored, torch.float32)
        return Opened(open_weights(result, device, stored, scores=scores), load_tokenizer(result))
    from core.engine.adapters import open_adapter  # slow to load, and not always needed

    recipe = run.load_recipe()
    folder, quantised = models.resolve(recipe.model), recipe.adaptation.quantisation()
    base = open_weights(folder, device, dtype, quantised, scores=scores)
    return Opened(open_adapter(base, result, recipe.model), load_tokenizer(result))


def where_it_runs() -> tuple[str, torch.dtype]:
    """Where models run here, and in which precision."""
    if not torch.cuda.is_available():
        return "cpu", torch.float32
    ampere = torch.cuda.get_device_capability() >= (8, 0)
    return "cuda", torch.bfloat16 if ampere else torch.float32
