"""Put an adapter into the weights of its model, and prove that the result answers alike.

The base is read in 32 bits and the sum is rounded once, to the base's own precision. Over a 4- or
8-bit base the adapter learned to correct rounded weights: those are unpacked and merged into, not
the original ones, which would answer otherwise.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import torch

from core import durable, mixing, models
from core.engine.adapters import open_adapter
from core.engine.chosen_template import stop_at
from core.engine.lessons import lesson_for
from core.engine.load import STORED, load_tokenizer, open_weights
from core.engine.results import whole_result
from core.engine.score import measuring
from core.errors import ModelError
from core.merging import Merge, Merged, Proof
from core.models import ModelFacts
from core.recipe import Recipe
from core.room import disk_error, in_words
from core.rundir import RunDir

ROWS, LONGEST = 8, 512
"""What is compared: so many rows of the run's own data, so many tokens of each."""

Likely = list[tuple[torch.Tensor, torch.Tensor]]
"""Of each row: the likeliest next words, and log-likelihoods of those that stand there."""


def merge(request: Merge) -> Merged:
    """Write the merged model. Raises CoreError."""
    run = RunDir.open(request.run)
    adapter, recipe = whole_result(run), run.load_recipe()
    folder = models.resolve(recipe.model)
    rows = _rows(run, recipe)
    trained = open_adapter(_base(folder, recipe), adapter, recipe.model)
    before = _likely(trained, rows)
    size = _publish(trained, run, models.look(folder), request.out)
    del trained
    gc.collect()
    after = _likely(open_weights(request.out, "cpu", torch.float32), rows)
    return Merged(
        folder=request.out,
        files=tuple(sorted(path.name for path in request.out.iterdir())),
        bytes=size,
        proof=_compare(before, after),
    )


def _base(folder: Path, recipe: Recipe) -> Any:
    model = open_weights(folder, "cpu", torch.float32, recipe.adaptation.quantisation())
    if not recipe.adaptation.quantised:
        return model
    model = model.dequantize().float()
    model.is_loaded_in_4bit = model.is_loaded_in_8bit = False  # else PEFT refuses to merge IA3
    return model


def _publish(trained: Any, run: RunDir, base: ModelFacts, out: Path) -> int:
    """Whole, or absent with the disk's reason. Raises DiskError."""
    place = out.parent
    try:
        durable.make_folder(place)
        if out == run.merged:  # elsewhere, other people's files may have names like ours
            durable.sweep(place, shared=True)
    except OSError as error:
        raise disk_error(error, place.parent, base.bytes) or error from error
    with in_words(place, base.bytes):
        return _write(trained, run, base.stored, out)


def _write(trained: Any, run: RunDir, stored: str, out: Path) -> int:
    with durable.staged(out) as aside:
        whole = trained.merge_and_unload()
        whole = whole.to(STORED.get(stored, torch.float32))
        tokenizer = load_tokenizer(run.adapter)
        stop_at(whole, tokenizer)  # also where the template of the training ends answers otherwise
        whole.save_pretrained(aside, safe_serialization=True)
        tokenizer.save_pretrained(aside)
        return durable.seal(aside)


def _rows(run: RunDir, recipe: Recipe) -> list[torch.Tensor]:
    """Held-out rows, or rows that were learned from when none were held out."""
    tokenizer, mixture = load_tokenizer(run.adapter), mixing.read(recipe)
    chosen = (mixture.heldout or mixture.train)[:ROWS]
    encoded = lesson_for(recipe.objective).encode(tokenizer, chosen, lambda done, total: None)
    return [torch.tensor([row.sides[0].ids[:LONGEST]]) for row in encoded]


def _likely(model: Any, rows: list[torch.Tensor]) -> Likely:
    found: Likely = []
    with measuring(model):
        for ids in rows:
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
            if not torch.isfinite(logits).all():
                raise ModelError(
                    "The model gives numbers that are not finite.", hint="Train again."
                )
            known = logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
            found.append((logits.argmax(-1), known))
    return found


def _compare(before: Likely, after: Likely) -> Proof:
    first, second = (torch.cat([words for words, _ in each]) for each in (before, after))
    one, other = (torch.cat([known for _, known in each]) for each in (before, after))
    return Proof(
        tokens=len(first),
        same=float((first == second).float().mean()),
        difference=float((one - other).abs().max()),
    )
