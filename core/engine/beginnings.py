"""Beginnings of LoRA that are computed once: along the rows, or from what 4 bits have lost.

A run that goes on takes the matrices of its checkpoint; nothing here is done a second time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from peft.tuners.lora import Linear4bit, LoraLayer
from peft.utils.incremental_pca import IncrementalPCA
from safetensors import safe_open

from core.engine.encode import IGNORED, Progress, Row
from core.engine.lesson import Lesson
from core.engine.score import joined, measuring
from core.errors import DataError, ModelError
from core.weights import read_header, text_stack, weight_files

ALIKE = 0.99
"""Cosine of directions before and after a batch at which a layer is known (arXiv 2410.07170)."""
MOST = 64
"""Batches at most; layers that are not known by then begin with what was seen."""
SPARE, PASSES = 2, 4
"""The SVD looks for so many times the wanted directions, and so often: 0.3 % from the exact one on
what NF4 loses of the starter model, where an exact one of a large layer takes minutes."""
SEED = 42


def begin(model: Any, lesson: Lesson[Any], folder: Path, progress: Progress) -> None:
    """Compute what the recipe's beginning asks for, if anything. Raises DataError, ModelError."""
    match getattr(lesson.recipe.adaptation, "init", ""):
        case "eva":
            follow_rows(model, lesson, progress)
        case "loftq":
            give_back_rounding(model, folder, progress)


def follow_rows(model: Any, lesson: Lesson[Any], progress: Progress) -> None:
    """Explained variance adaptation without moving ranks (EVA, arXiv 2410.07170, rho = 1).

    The first side matrix of a layer becomes the main directions of what goes into the layer at
    learned tokens. Raises DataError.
    """
    adapter = model.active_adapter
    layers = {name: one for name, one in model.named_modules() if isinstance(one, LoraLayer)}
    heard = _Heard()
    hooks = [
        layer.register_forward_pre_hook(functools.partial(heard.take, name, layer.r[adapter]))
        for name, layer in layers.items()
    ]
    trunk, batches = model.get_base_model().base_model, batches_of(lesson)
    try:
        with measuring(model):
            for done, rows in enumerate(batches):
                progress(done, len(batches))
                inputs = joined(rows, lesson.pad, model.device)
                heard.learned = inputs.pop("labels").flatten() != IGNORED
                trunk(**inputs, use_cache=False)
                if heard.enough:
                    break
    finally:
        for hook in hooks:
            hook.remove()
    for name, layer in layers.items():
        found = heard.of[name].main()
        layer.lora_A[adapter].weight.data.copy_(found)


def batches_of(lesson: Lesson[Any]) -> list[list[tuple[list[int], list[int]]]]:
    """Training rows from everywhere, in batches as large as the steps will have.

    Ids and labels of each row, cut; questions without answers are looked at whole.
    """
    sides: list[Row] = [side for row in lesson.corpus.train for side in row.sides]
    size = lesson.settings.micro_batch
    stride = max(1, len(sides) // (MOST * size))
    cut = [side.cut(lesson.length) for side in sides[::stride][: MOST * size]]
    if all(label == IGNORED for _, labels in cut for label in labels):
        cut = [(ids, ids) for ids, _ in cut]
    return [cut[start : start + size] for start in range(0, len(cut), size)]


class _Directions:
    """The main directions of what goes into a layer, learned batch by batch."""

    def __init__(self, name: str, rank: int, width: int) -> None:
        self.name, self.rank, self.known = name, rank, False
        self.least = SPARE * rank
        self._waiting: list[torch.Tensor] = []
        quick = self.least <= width
        self._pca = IncrementalPCA(rank, lowrank=quick, lowrank_seed=SEED if quick else None)

    def take(self, seen: torch.Tensor) -> None:
        """Tokens x inputs; too few wait for others."""
        if self.known:
            return
        seen = torch.cat([*self._waiting, seen.float()])
        self._waiting = [seen]
        if len(seen) < self.least:
            return
        self._waiting = []
        before = getattr(self._pca, "components_", None)
        self._pca.partial_fit(seen)
        if before is not None:
            alike = torch.cosine_similarity(self._pca.components_, before)
            self.known = bool((alike >= ALIKE).all())

    def main(self) -> torch.Tensor:
        """Rank x inputs. Raises DataError when too little was seen."""
        found: torch.Tensor | None = getattr(self._pca, "components_", None)
        if found is None:
            raise DataError(
                f"The training rows have fewer than {self.least:,} learned tokens to look along.",
                hint="Take more rows or a lower rank, or begin with the default.",
            )
        return found


class _Heard:
    """What goes into the layers; queries, keys and values of a layer get the very same."""

    learned: torch.Tensor

    def __init__(self) -> None:
        self.of: dict[str, _Directions] = {}
        self._last: torch.Tensor | None = None
        self._owner = ""

    @property
    def enough(self) -> bool:
        """Whether every layer is known."""
        return all(found.known for found in self.of.values())

    def take(self, name: str, rank: int, _layer: Any, given: tuple[Any, ...]) -> None:
        """Called before a layer computes. Rows x tokens x inputs, or all tokens x inputs."""
        inputs = given[0]
        if name not in self.of:
            self.of[name] = self._shared(inputs, rank) or _Directions(name, rank, inputs.shape[-1])
        self._last, self._owner = inputs, self.of[name].name
        if self._owner == name:
            self.of[name].take(inputs.reshape(-1, inputs.shape[-1])[self.learned])

    def _shared(self, inputs: torch.Tensor, rank: int) -> _Directions | None:
        owner = self.of.get(self._owner)
        return owner if owner and inputs is self._last and rank == owner.rank else None


def give_back_rounding(model: Any, folder: Path, progress: Progress) -> None:
    """The low-rank part of what 4 bits lose begins in the adapter (LoftQ, arXiv 2310.08659).

    One iteration, because the base stays what everybody loads. One layer at a time is read from
    the files. Raises ModelError.
    """
    layers = {name: one for name, one in model.named_modules() if isinstance(one, Linear4bit)}
    files, adapter = Files(folder, layers), model.active_adapter
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(SEED)
        for done, (name, layer) in enumerate(layers.items()):
            progress(done, len(layers))
            packed = layer.get_base_layer().weight
            kept = dequantize_4bit(packed.data, packed.quant_state).float()
            lost = files.weight(name, kept.shape).to(kept) - kept
            up, down = halves(lost / layer.scaling[adapter], layer.r[adapter])
            layer.lora_B[adapter].weight.data.copy_(up)
            layer.lora_A[adapter].weight.data.copy_(down)


def halves(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two factors of nearly the closest matrix of this rank: rows x rank, rank x columns."""
    wider = min(SPARE * rank, *matrix.shape)
    left, sizes, right = torch.svd_lowrank(matrix, q=wider, niter=PASSES)
    root = sizes[:rank].sqrt()
    return left[:, :rank] * root, (right[:, :rank] * root).T


class Files:
    """Weights in a model's files, by the names of its layers in memory."""

    def __init__(self, folder: Path, layers: Iterable[str]) -> None:
        self._files = {name: file for file in weight_files(folder) for name in read_header(file)}
        self._there, self._here = text_stack(self._files)[0], text_stack(layers)[0]

    def weight(self, layer: str, shape: torch.Size) -> torch.Tensor:
        """Rows x columns, in the precision of the file. Raises ModelError."""
        name = f"{self._there}{layer.removeprefix(self._here)}.weight"
        found = self._read(name) if name in self._files else None
        if found is None or found.shape != shape:
            raise ModelError(
                f"The files of the model have no {name} as it is loaded.",
                hint="Begin with the default: set adaptation.init to default.",
            )
        return found

    def _read(self, name: str) -> torch.Tensor:
        with safe_open(self._files[name], framework="pt", device="cpu") as opened:
            found: torch.Tensor = opened.get_tensor(name)
        return found
