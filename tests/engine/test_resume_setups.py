"""Set-ups in which a resumed run ends with the same bits as one that was left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.recipe import Recipe
from tests.engine.test_trajectories import goes_on_alike

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
]
LORA = {"kind": "lora", "dropout": 0.1}
SETUPS: dict[str, dict[str, Any]] = {
    "in the first epoch": {"training.micro_batch": 2, "training.accumulation": 1},
    "at the end of an epoch": {"data.heldout_share": 0, "stop at": 5},
    "in the third epoch": {"stop at": 9},
    "after the first step": {"stop at": 1},
    "an odd number of rows per step": {"training.micro_batch": 3, "training.accumulation": 4},
    "without accumulation": {"training.accumulation": 1},
    "packed rows": {"objective.packing": True},
    "gradient checkpointing with dropout": {"training.checkpointing": "on"},
    "noise on the embeddings": {"training.neftune": 5.0},
    "weight decay, no clipping, a linear schedule": {
        "training.weight_decay": 0.1, "training.clip": 0.0, "training.schedule": "linear",
    },
    "early stopping in sight": {"checks.every": 1, "checks.patience": 100},
    "saved at other steps than measured": {"checks.every": 3, "checks.save_every": 4},
    "a mixture of datasets": {"data.mix": [{"path": "sample:tickets.jsonl", "share": 0.5}]},
    "all weights": {"adaptation": {"kind": "full"}},
    "a 4-bit base": {"adaptation": {"kind": "qlora", "dropout": 0.1}},
}  # fmt: skip


@pytest.fixture
def threads() -> Iterator[None]:
    """More than one, for once."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def changed(recipe: Recipe, choices: dict[str, Any]) -> Recipe:
    small = {
        "training.micro_batch": 2, "training.epochs": 20, "training.max_length": 128,
        "adaptation": LORA, **choices,
    }  # fmt: skip
    for path, value in small.items():
        if path != "stop at":
            recipe = recipe.edit(path, value)
    return recipe


@pytest.mark.parametrize("name", SETUPS)
def test_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path: Path, recipe: Recipe, name: str
) -> None:
    choices = SETUPS[name]
    goes_on_alike(tmp_path, changed(recipe, choices), choices.get("stop at", 5))


def test_two_threads_add_up_alike(tmp_path: Path, recipe: Recipe, threads: None) -> None:
    goes_on_alike(tmp_path, changed(recipe, {}))
